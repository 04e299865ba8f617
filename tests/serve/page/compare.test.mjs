import assert from "node:assert/strict";
import { test } from "node:test";
import * as passages from "../../../src/soundalike/serve/page/views/compare/passages.js";
import { readCompare, recordingOf, writeCompare } from "../../../src/soundalike/serve/page/views/compare/state.js";

const read = (text) => readCompare(new URLSearchParams(text));

test("a comparison goes to an address and back", () => {
  const all = {
    a: { track: 12, upload: null }, b: { track: null, upload: "x-1" }, weights: { melody: -0.5 }, model: "compact",
    matrix: ["melody", "timbre"], stems: "spleeter", meet: false, together: true,
  };
  assert.deepEqual(readCompare(writeCompare(all)), all);
  assert.equal(writeCompare(read("a=1&b=2")).toString(), "a=1&b=2");
});

test("nonsense in the address of a comparison is left out", () => {
  const found = read("a=-3&b=u:&w=melody");
  assert.equal(found.a, null);
  assert.equal(found.b, null);
  assert.deepEqual(found.weights, {});
  assert.deepEqual(recordingOf({ track: null, upload: "y" }, { start: 1, end: 2 }), { upload: "y", start: 1, end: 2 });
});

test("a ribbon joins the two spans", () => {
  const path = passages.ribbon({ a: { start: 0, end: 5 }, b: { start: 10, end: 20 } }, { a: 10, b: 20 }, { width: 100, height: 40 });
  assert.equal(path, "M0.0 0C0.0 20 50.0 20 50.0 40H100.0C100.0 20 50.0 20 50.0 0Z");
});

test("the same passages of several spaces are drawn side by side", () => {
  const same = { a: { start: 0, end: 8 }, b: { start: 4, end: 6 } };
  const other = { a: { start: 0, end: 8 }, b: { start: 0, end: 2 } };
  assert.deepEqual(passages.sideBySide([same, other, same]), [
    { a: { start: 0, end: 4 }, b: { start: 4, end: 5 } }, other, { a: { start: 4, end: 8 }, b: { start: 5, end: 6 } },
  ]);
});

test("excerpts meet in tempo, key and beat", () => {
  const pair = { a: { start: 20, end: 30 }, b: { start: 40, end: 50 } };
  const { a, b } = passages.meetingExcerpts(pair, { a0: 20, b0: 41, ratio: 1.25 }, 2, 100);
  assert.deepEqual(a, { start: 20, end: 30, semitones: 0, ratio: 1 });
  assert.deepEqual(b, { start: 41, end: 49, semitones: -2, ratio: 0.8 });
  assert.equal(passages.excerptAddress("/x", b), "/x?start=41.000&end=49.000&semitones=-2&tempo_ratio=0.80000");
  assert.equal(passages.excerptAddress("/x", a), "/x?start=20.000&end=30.000");
});

test("excerpts that would begin before B, or end after it, are cut on both sides", () => {
  const pair = { a: { start: 10, end: 20 }, b: { start: 0, end: 8 } };
  const before = passages.meetingExcerpts(pair, { a0: 10, b0: -1, ratio: 2 }, 0, 60);
  assert.equal(before.a.start, 12);
  assert.equal(before.b.start, 0);
  const after = passages.meetingExcerpts(pair, { a0: 10, b0: 5, ratio: 2 }, 0, 8);
  assert.equal(after.b.end, 8);
  assert.equal(after.a.end, 16);
});

test("the best pairs do not overlap each other", () => {
  const spans = [0, 5, 10, 30].map((start) => ({ start, end: start + 12 }));
  const z = [[5, 4.9, 1, 0], [4.8, 4.7, 1, 0], [1, 1, 3, null], [0, 0, null, 2]];
  const found = passages.bestPairs(z, spans, spans, 3);
  assert.deepEqual(found.map(({ row, column }) => [row, column]), [[0, 0], [2, 2], [3, 3]]);
});

test("z-scores keep what cannot be compared", () => {
  assert.deepEqual(passages.zScores([[0.5, null]], 0.1, 0.2), [[2, null]]);
  assert.equal(passages.strength(-1), 0);
  assert.equal(passages.strength(9), 1);
});

test("an axis has round times", () => {
  assert.deepEqual(passages.ticks(36, 8), [0, 5, 10, 15, 20, 25, 30, 35]);
  assert.deepEqual(passages.ticks(3, 8), [0, 1, 2, 3]);
});
