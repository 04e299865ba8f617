import assert from "node:assert/strict";
import { test } from "node:test";
import { progressInWords, secondsLeft } from "../../../src/soundalike/serve/page/jobs.js";
import { groupsOf } from "../../../src/soundalike/serve/page/views/library/families.js";
import { indexInWords, jobTitle, readLibrary, writeLibrary } from "../../../src/soundalike/serve/page/views/library/state.js";

test("a page of the library goes to an address and back", () => {
  const all = { part: "failures", q: "canon", page: 3 };
  assert.deepEqual(readLibrary(writeLibrary(all)), all);
  assert.equal(writeLibrary(readLibrary(new URLSearchParams("show=shoes&page=-2"))).toString(), "");
});

const progress = { done: 12, total: 64, unit: "file", message: "encoding", seconds_of_audio: null, current: null };

test("progress in words", () => {
  assert.equal(progressInWords({ state: "waiting", progress }), "waiting for another job to end");
  assert.equal(progressInWords({ state: "running", progress }), "encoding · 12 of 64 files");
  assert.equal(progressInWords({ state: "running", progress: { ...progress, total: null, done: 0 } }), "encoding");
});

test("the time that is left follows from the pace", () => {
  const started = "2024-01-01T00:00:00Z";
  const at = (seconds) => Date.parse(started) + 1000 * seconds;
  assert.equal(secondsLeft({ state: "running", started, progress: { ...progress, done: 16 } }, at(20)), 60);
  assert.equal(secondsLeft({ state: "running", started, progress }, at(2)), null);
  assert.equal(secondsLeft({ state: "waiting", started: null, progress }, at(20)), null);
});

test("what an index run did", () => {
  const none = { added: 0, changed: 0, moved: 0, copied: 0, pruned: 0, unchanged: 0, missing: 0, failed: [], interrupted: false };
  assert.equal(indexInWords(none), "nothing new was found");
  assert.equal(indexInWords({ ...none, added: 1, unchanged: 2, failed: [{}] }), "1 track added, 2 tracks unchanged; 1 file could not be read");
  assert.equal(jobTitle({ kind: "index", arguments: { sources: ["/music"] } }), "Indexing /music");
});

test("duplicates and versions are groups of files", () => {
  const copies = groupsOf({ kind: "duplicates", result: { duplicates: [{ best: "/a", copies: [{ path: "/b", reason: "lossless" }] }], related: [{ a: "/c", b: "/d", relation: "part of" }] } });
  assert.deepEqual(copies.map((one) => one.title), ["2 files of one recording", "They share audio"]);
  assert.deepEqual(copies[0].files, [{ path: "/a", note: "best file", best: true }, { path: "/b", note: "the best is lossless", best: false }]);
  assert.equal(copies[1].files[1].note, "part of the first");
  const found = groupsOf({ kind: "versions", result: { families: [{ versions: [{ path: "/a", copies: ["/x"] }, { path: "/b", copies: [] }] }], candidates: [{ a: "/c", b: "/d", score: 2.5 }] } });
  assert.deepEqual(found.map((one) => one.files.map((file) => file.path)), [["/a", "/x", "/b"], ["/c", "/d"]]);
});
