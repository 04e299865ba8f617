import assert from "node:assert/strict";
import { test } from "node:test";
import * as words from "../../../src/soundalike/serve/page/words.js";

test("percentiles in words", () => {
  const { closer } = words;
  assert.equal(closer(99.95, "library"), "closer than 1,999 of 2,000 pairs here");
  assert.equal(closer(99.95, "model"), "closer than 1,999 of 2,000 random pairs");
  assert.equal(closer(93.1, "library"), "closer than 93 of 100 pairs here");
  assert.equal(closer(98.9, "model"), "closer than 98 of 100 random pairs");
  assert.equal(closer(99, "model"), "closer than 99 of 100 random pairs");
  assert.equal(closer(0, "model"), "less close than 99 of 100 random pairs");
  assert.equal(closer(100, "library"), "closer than all random pairs here");
  assert.equal(closer(99.9999999, "model"), "closer than 999,999 of 1,000,000 random pairs");
});

test("words never claim more than the percentile", () => {
  for (let percentile = 99; percentile < 100; percentile += 0.003) {
    assert.ok(1 - 1 / words.rarity(percentile) <= percentile / 100 + 1e-9, String(percentile));
  }
});

test("a space with nothing to compare", () => {
  const score = { similarity: null, z: null, weight: 1, share: 0, percentile: null, percentile_source: "model", audible: false };
  assert.equal(words.spaceInWords("melody", score), "melody: n/a, nothing to compare in one of the two");
  assert.equal(words.percent(null), "n/a");
});

test("percentiles in short", () => {
  assert.deepEqual([0, 72.4, 93.42, 98.97, 99, 99.95, 100].map(words.percent), ["0 %", "72 %", "93.4 %", "98.9 %", "1 in 100", "1 in 2,000", "100 %"]);
});

test("clocks", () => {
  assert.deepEqual([0, 7.9, 65, 3729].map((one) => words.clock(one)), ["0:00", "0:07", "1:05", "1:02:09"]);
  assert.equal(words.clock(7.46, 1), "0:07.5");
  assert.equal(words.clock(59.97, 1), "1:00.0");
  for (const [text, seconds] of [["7", 7], ["0:07.5", 7.5], ["1:02:09", 3729], ["0:07,5", 7.5]]) {
    assert.equal(words.parseClock(text), seconds);
  }
  for (const text of ["", "a", "1:2:3:4", "-1", "1:"]) assert.equal(words.parseClock(text), null);
});

test("signed numbers", () => {
  assert.deepEqual([1.2, -0.351, 0, -0.001].map((one) => words.signed(one)), ["+1.20", "−0.35", "0.00", "0.00"]);
});

test("names and facts", () => {
  assert.equal(words.titleOf({ title: null, path: "/music/a b.flac" }), "a b");
  assert.equal(words.titleOf({ title: "T", path: "/music/a.flac" }), "T");
  assert.equal(words.titleOf({ title: null, path: "C:\\music\\.mp3" }), ".mp3");
  const plain = (text) => text.replaceAll("\u00a0", " ");
  assert.equal(words.line("a b", null, "c"), "a\u00a0b · c");
  assert.equal(plain(words.facts({ bpm: 119.6, key: "C major", duration: 185 })), "120 BPM · C major · 3:05");
  assert.equal(words.facts({ bpm: null, key: null, duration: null }), "");
  assert.equal(plain(words.toMeet(1.02, -1)), "tempo +2 %, −1 semitone");
  assert.equal(words.toMeet(1.001, 0), "");
  assert.equal(plain(words.toMeet(null, 2)), "+2 semitones");
  assert.equal(plain(words.toFit(1.111, -3)), "stretch 1.11 ×, −3 semitones");
  assert.equal(plain(words.toFit(null, 0)), "0 semitones");
  assert.equal(words.toFit(null, null), "");
  assert.equal(words.counted(1, "track"), "1 track");
  assert.equal(words.counted(1200, "copy", "copies"), "1,200 copies");
  assert.deepEqual([999, 1500, 200e6].map(words.size), ["999 bytes", "1.5 kB", "200 MB"]);
});
