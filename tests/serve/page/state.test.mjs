import assert from "node:assert/strict";
import { test } from "node:test";
import * as state from "../../../src/soundalike/serve/page/state.js";
import { byModel, grouped, isConcept, otherSpaces, searchSpaces, sliderWeights, spacesOf } from "../../../src/soundalike/serve/page/spaces.js";

const read = (text) => state.readSearch(new URLSearchParams(text));

test("a state goes to an address and back", () => {
  const all = {
    track: 12, upload: null, start: 3.25, end: 9.5, weights: { melody: 0.5, "muq/drums": -1 }, by: "passage",
    where: "genre = jazz & year < 1980", like: [3, 5], unlike: [7], otherArtists: true, collapse: true,
    atLeast: { rhythm: 95 }, atMost: { timbre: 30.5 }, k: 40, model: "compact", stem: "spleeter/vocals",
  };
  assert.deepEqual(state.readSearch(state.writeSearch(all)), all);
  assert.deepEqual(read(state.address("/", state.writeSearch(all)).slice(2)), all);
});

test("the address of the default state is short", () => {
  assert.equal(state.address("/", state.writeSearch(read(""))), "/");
  assert.equal(state.address("/", state.writeSearch(read("track=12"))), "/?track=12");
  assert.equal(state.address("/", state.writeSearch(read("track=1&w=melody:0.5,timbre:-1"))), "/?track=1&w=melody:0.5,timbre:-1");
});

test("nonsense in an address is left out", () => {
  const found = read("track=-1&start=9&end=3&w=melody,rhythm:x,timbre:1&by=song&like=1,a,1&k=1e9&least=:3");
  assert.equal(found.track, null);
  assert.equal(found.start, null);
  assert.deepEqual(found.weights, { timbre: 1 });
  assert.equal(found.by, null);
  assert.deepEqual(found.like, [1]);
  assert.equal(found.k, 200);
  assert.deepEqual(found.atLeast, {});
});

test("what is asked of the server", () => {
  assert.equal(state.searchRequest(read("")), null);
  assert.equal(state.searchRequest(read("track=1&w=melody:0")), null);
  const asked = state.searchRequest(read("track=1&start=1&end=2&w=melody:0.5,timbre:0&like=4"));
  assert.deepEqual(asked.query, { track: 1, start: 1, end: 2 });
  assert.deepEqual(asked.weights, { melody: 0.5 });
  assert.deepEqual(asked.like, [{ track: 4 }]);
  assert.equal(asked.where, null);
  assert.equal(state.searchRequest(read("upload=x")).weights, null);
  const { stem, separator, ...rest } = state.searchRequest(read("track=1&stem=spleeter/vocals&like=4"));
  assert.deepEqual([stem, separator, "like" in rest], ["vocals", "spleeter", false]);
  assert.ok(!("stem" in state.searchRequest(read("upload=x&stem=spleeter/vocals"))));
  assert.equal(read("track=1&stem=vocals").stem, null);
});

test("presets fit the sliders", () => {
  assert.deepEqual(state.presetWeights({ melody: 2, timbre: -1 }, ["melody", "rhythm", "timbre"]), { melody: 1, rhythm: 0, timbre: -0.5 });
  assert.ok(state.sameQuestion({ a: 1, b: 0.5 }, { a: 0.5, b: 0.25, c: 0 }));
  assert.ok(!state.sameQuestion({ a: 1 }, { a: -1 }));
  assert.ok(!state.sameQuestion({ a: 0 }, { a: 0 }));
});

test("spaces of the model that is used", () => {
  const space = (name, model, group) => ({ name, model, group, source: "mix", colour: "#000", dim: 1 });
  const spaces = [space("melody", "x", "factor"), space("jazz", "x", "concept"), space("drums", "y", "instrument")];
  const library = { spaces, models: [{ name: "x", default: true }, { name: "y", default: false }] };
  assert.deepEqual(spacesOf(library, null).map((one) => one.name), ["melody", "jazz"]);
  assert.deepEqual(spacesOf(library, "y").map((one) => one.name), ["drums"]);
  assert.deepEqual(grouped(spaces).map((one) => one.title), ["Factors", "Instruments", "Concepts"]);
  assert.deepEqual(sliderWeights(spaces.slice(0, 2), null), { melody: 0.5, jazz: 0.5 });
  assert.deepEqual(sliderWeights(spaces.slice(0, 2), { jazz: -1 }), { melody: 0, jazz: -1 });
});

test("spaces of other models have the names that answers give them", () => {
  const space = (name, model) => ({ name, model, group: "factor", source: "mix", colour: "#000", dim: 1 });
  const spaces = [space("melody", "x"), space("melody", "y"), space("drums", "y"), space("bass", "z"), space("bass", "w")];
  const library = { spaces, models: [{ name: "x", default: true }, { name: "y", default: false }] };
  const others = otherSpaces(library, null);
  assert.deepEqual(others.map((one) => one.name), ["y/melody", "drums", "z/bass", "w/bass"]);
  assert.deepEqual(otherSpaces(library, "y").map((one) => one.name), ["x/melody", "z/bass", "w/bass"]);
  assert.deepEqual(byModel(others).map((one) => [one.title, one.spaces.length]), [["y", 2], ["z", 1], ["w", 1]]);
  assert.deepEqual(searchSpaces(library, null, null).map((one) => one.name), ["melody"]);
  const shown = searchSpaces(library, null, { melody: 1, drums: 0 }, { "y/melody": 90 }, { gone: 3 });
  assert.deepEqual(shown.map((one) => one.name), ["melody", "y/melody", "drums"]);
  assert.equal(new Set(shown.map((one) => one.colour)).size, 3);
});

test("learned concepts of another model have sliders without being added", () => {
  const space = (name, model, group, colour = "#111") => ({ name, model, group, colour, source: "mix", dim: 1 });
  const library = {
    models: [{ name: "compact", default: true }, { name: "mine", default: false }, { name: "clap", default: false }],
    spaces: [space("melody", "compact", "factor"), space("genre", "mine", "concept", "#abc"), space("overall", "clap", "concept")],
  };
  assert.deepEqual(otherSpaces(library, null).filter(isConcept).map((one) => one.name), ["genre"]);
  assert.ok(isConcept(space("mine/tempo", "mine", "concept")) && !isConcept(space("genre", "mine", "instrument")));
  const shown = searchSpaces(library, null, { genre: 1, overall: 1 });
  assert.deepEqual(shown.map((one) => one.name), ["melody", "genre", "overall"]);
  assert.equal(shown[1].colour, "#abc"); // that of its slider, which is there before it is named
});
