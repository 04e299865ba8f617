import assert from "node:assert/strict";
import { test } from "node:test";
import { newestWins, problemOf } from "../../../src/soundalike/serve/page/api.js";
import { moved, readEntries } from "../../../src/soundalike/serve/page/playlist.js";
import { scaleOf, segments } from "../../../src/soundalike/serve/page/components/shares.js";
import { across, alignedPassages, levelled, lineOf } from "../../../src/soundalike/serve/page/sound.js";

const pair = (a, b) => ({ a: { start: a, end: a + 10 }, b: { start: b, end: b + 10 }, similarity: 1 });

test("a moment of A and the same beat of B", () => {
  // B is A 1.25 times as fast, and its passage starts half a second before the music of A's.
  const line = { a0: 20, b0: 40.5, ratio: 1.25 };
  assert.equal(across(line, "a", 25), 44.5);
  assert.equal(across(line, "b", 44.5), 25);
});

test("the passages that most spaces name are the aligned ones", () => {
  const record = {
    query: { start: 0, end: 60 }, weights: { melody: 1, rhythm: 1, timbre: 1, harmony: 0 },
    matches: [{ start: 5, end: 15, alignment: { semitones: 0, tempo_ratio: 2, offset: -0.5, agreement: 1 } }],
    passages: { melody: pair(0, 5), rhythm: pair(20, 30), timbre: pair(20, 30), harmony: pair(0, 5) },
  };
  assert.equal(alignedPassages(record).a.start, 20);
  assert.deepEqual(lineOf(record), { a0: 20, b0: 29.5, ratio: 2 });
  record.passages = { melody: null, rhythm: null, timbre: null, harmony: pair(0, 5) };
  record.matches[0].alignment = null;
  assert.deepEqual(lineOf(record), { a0: 0, b0: 5, ratio: 1 });
});

test("volumes bring recordings to one level", () => {
  assert.ok(Math.abs(levelled(-14) / levelled(-17) - 10 ** (-3 / 20)) < 1e-9);
  assert.equal(levelled(-40), 1);
  assert.equal(levelled(null), 1);
});

test("the newest question wins, and one is asked at a time", async () => {
  const begun = [];
  const finish = [];
  const answers = [];
  const queue = newestWins(
    (value) => new Promise((resolve) => { begun.push(value); finish.push(resolve); }),
    (result, value) => answers.push([result, value]),
    () => answers.push("failed"),
  );
  for (const value of [1, 2, 3]) queue.ask(value);
  assert.deepEqual(begun, [1]);
  finish[0]("one");
  await new Promise(setImmediate);
  assert.deepEqual(begun, [1, 3]);
  queue.drop();
  finish[1]("three");
  await new Promise(setImmediate);
  assert.deepEqual(answers, [["one", 1]]);
});

test("a failure is told unless a newer question waits", async () => {
  const told = [];
  const queue = newestWins(async (value) => { throw new Error(value); }, () => told.push("done"), (error) => told.push(error.message));
  queue.ask("first");
  queue.ask("second");
  await new Promise(setImmediate);
  assert.deepEqual(told, ["second"]);
});

test("problem documents become their sentence", () => {
  assert.equal(problemOf(400, '{"detail": "unknown space"}').message, "unknown space");
  assert.equal(problemOf(502, "<html>").message, "the server answered with status 502");
});

test("share bars have one scale", () => {
  const scale = scaleOf([[1, -0.5], [2, 1]]);
  assert.deepEqual(scale, { left: 0.5, right: 3 });
  assert.deepEqual(segments([2, -0.5, 1], { left: 1, right: 3 }), [{ start: 25, width: 50 }, { start: 12.5, width: 12.5 }, { start: 75, width: 25 }]);
});

test("stored playlists", () => {
  assert.deepEqual(readEntries('[{"id": 3, "title": "T"}, {"id": "x"}, null]'), [{ id: 3, title: "T", artist: "" }]);
  assert.deepEqual(readEntries("{"), []);
  assert.deepEqual(readEntries(null), []);
  assert.deepEqual(moved([1, 2, 3], 0, 1), [2, 1, 3]);
  assert.deepEqual(moved([1, 2, 3], 2, 1), [1, 2, 3]);
});
