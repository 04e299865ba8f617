import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL, bounded, panned, pointSize, toMap, toScreen, zoomed } from "../../../src/soundalike/serve/page/views/map/camera.js";
import { colourBy, colourByCloseness, fifth, rgb } from "../../../src/soundalike/serve/page/views/map/colours.js";
import { onMap } from "../../../src/soundalike/serve/page/views/search/results.js";
import { Grid, isInside } from "../../../src/soundalike/serve/page/views/map/grid.js";
import { mapRequest, readMap, readPoints, writeMap } from "../../../src/soundalike/serve/page/views/map/state.js";

const SIZE = { width: 800, height: 600 };

/** Places that are always the same. */
function scattered(count, seed = 7) {
  const xy = new Float32Array(2 * count);
  let state = seed;
  for (let at = 0; at < xy.length; at += 1) {
    state = (state * 1103515245 + 12345) % 2147483648;
    xy[at] = (2 * state) / 2147483648 - 1;
  }
  return xy;
}

const near = (one, other) => assert.ok(Math.abs(one.x - other.x) < 1e-9 && Math.abs(one.y - other.y) < 1e-9, JSON.stringify([one, other]));

test("a map goes to an address and back", () => {
  const all = {
    weights: { melody: 1, timbre: -0.5 }, colour: "space:melody", near: 4, hits: [5, 6], picked: [1], method: "pca",
    where: "genre = jazz", model: "compact", at: { x: 0.25, y: -0.5, zoom: 4 },
  };
  assert.deepEqual(readMap(writeMap(all)), all);
  assert.equal(writeMap(readMap(new URLSearchParams("colour=shoe&near=-1&hits=a,,3,3&at=1,2&method=tsne"))).toString(), "hits=3");
});

test("a map needs a positive weight", () => {
  const state = readMap(new URLSearchParams("w=melody:-1,timbre:0"));
  assert.equal(mapRequest(state), null);
  assert.deepEqual(mapRequest({ ...state, weights: { melody: 1, timbre: 0 }, where: " " }), { kind: "map", weights: { melody: 1 }, method: "auto", where: null, model: null });
});

test("points are read as the server writes them", () => {
  const bytes = new ArrayBuffer(32);
  const view = new DataView(bytes);
  view.setBigInt64(0, 7n, true);
  view.setBigInt64(8, 2n ** 40n, true);
  [0.5, -0.5, 1, -1].forEach((value, at) => view.setFloat32(16 + 4 * at, value, true));
  const { ids, xy } = readPoints(bytes);
  assert.deepEqual(ids, [7, 2 ** 40]);
  assert.deepEqual([...xy], [0.5, -0.5, 1, -1]);
});

test("the camera goes to the screen and back", () => {
  const camera = { x: 0.3, y: -0.2, zoom: 5 };
  const place = { x: 0.4, y: -0.1 };
  near(toMap(camera, SIZE, toScreen(camera, SIZE, place)), place);
  near(toScreen(ALL, SIZE, { x: 0, y: 0 }), { x: 400, y: 300 });
  assert.ok(toScreen(ALL, SIZE, { x: 0, y: 1 }).y > 0);
});

test("zooming keeps the place under the mouse, and panning follows it", () => {
  const camera = { x: 0.1, y: 0.1, zoom: 2 };
  const at = { x: 500, y: 200 };
  near(toMap(zoomed(camera, SIZE, 3, at), SIZE, at), toMap(camera, SIZE, at));
  const before = toMap(camera, SIZE, at);
  near(toScreen(panned(camera, SIZE, 30, -20), SIZE, before), { x: 530, y: 180 });
  assert.deepEqual(bounded({ x: 9, y: -9, zoom: 1e9 }), { x: 1, y: -1, zoom: 400 });
  assert.ok(pointSize(100, 1) > pointSize(100_000, 1) && pointSize(100, 9) > pointSize(100, 1));
});

test("the grid finds what a search of all points finds", () => {
  const xy = scattered(3000);
  const grid = new Grid(xy);
  const all = [...Array(3000).keys()];
  const odd = (at) => at % 2 === 1;
  for (const place of [{ x: 0, y: 0 }, { x: -1, y: 1 }, { x: 0.73, y: -0.2 }]) {
    for (const wanted of [undefined, odd]) {
      const distance = (at) => Math.hypot(xy[2 * at] - place.x, xy[2 * at + 1] - place.y);
      const best = all.filter((at) => !wanted || wanted(at)).reduce((one, other) => (distance(other) < distance(one) ? other : one));
      assert.equal(grid.nearest(place, 0.5, wanted), best);
      assert.equal(grid.nearest(place, distance(best) / 2, wanted), null);
    }
  }
  assert.equal(new Grid(new Float32Array()).nearest({ x: 0, y: 0 }, 9), null);
});

test("arrow keys lead to a neighbour in their direction, and back out of every corner", () => {
  const xy = new Float32Array([0, 0, 0.5, 0.1, -0.5, 0, 0, 0.9, 0.02, -0.9]);
  const grid = new Grid(xy);
  assert.deepEqual(["right", "left", "up", "down"].map((way) => grid.towards(0, way)), [1, 2, 3, 4]);
  assert.equal(grid.towards(1, "right"), null);
  assert.equal(grid.towards(0, "right", (at) => at !== 1), null);
});

test("a lasso holds what is inside of it", () => {
  const xy = scattered(2000, 3);
  const star = [{ x: -0.8, y: -0.8 }, { x: 0, y: 0.9 }, { x: 0.8, y: -0.8 }, { x: 0, y: -0.2 }];
  const found = new Grid(xy).inside(star);
  assert.deepEqual(found, [...Array(2000).keys()].filter((at) => isInside(star, xy[2 * at], xy[2 * at + 1])));
  assert.ok(found.length > 100 && found.length < 1000);
  assert.ok(isInside(star, 0, 0.5) && !isInside(star, 0, -0.5) && !isInside(star, 0.9, 0.9));
  assert.deepEqual(new Grid(xy).inside(star.slice(0, 2)), []);
});

test("the eight most frequent genres have a colour, and the rest is one group", () => {
  const values = [..."aaabbcdefghij", null, "other"].map((one) => one);
  const { codes, groups } = colourBy("genre", values);
  assert.deepEqual(groups.map((one) => one.name), ["a", "b", "c", "d", "e", "f", "g", "h", "other", "unknown"]);
  assert.deepEqual(groups.map((one) => one.count), [3, 2, 1, 1, 1, 1, 1, 1, 3, 1]);
  assert.equal(codes[13], 9);
  assert.equal(new Set(groups.slice(0, 9).map((one) => one.colour)).size, 9);
});

test("relative keys have one colour", () => {
  assert.equal(fifth("C major"), fifth("A minor"));
  assert.equal(fifth("Eb major"), fifth("Cm"));
  assert.equal(fifth("F#m"), fifth("A"));
  assert.equal(fifth("Bb"), fifth("A# major"));
  assert.notEqual(fifth("C major"), fifth("C minor"));
  assert.equal(fifth(null), -1);
  const { groups } = colourBy("key", ["A minor", "C major", "", null]);
  assert.deepEqual(groups.map(({ name, count }) => [name, count]), [["C, Am", 2], ["unknown", 2]]);
});

test("numbers have groups in their order", () => {
  assert.deepEqual(colourBy("bpm", [79, 80, 200, null]).groups.map((one) => one.name), ["under 80 BPM", "80–100 BPM", "from 160 BPM", "unknown"]);
  assert.deepEqual(colourBy("year", [1959, 1960, 2024]).groups.map((one) => one.name), ["before 1960", "1960s", "2020s"]);
});

test("closeness has groups by percentile", () => {
  const { codes, groups } = colourByCloseness([1, 2, 3], new Map([[1, 99.5], [2, 60]]), "#d9602b");
  assert.deepEqual(groups.map((one) => one.name), ["closer than 99 of 100", "closer than most", "farther"]);
  assert.deepEqual([...codes], [0, 1, 2]);
  assert.equal(groups[0].colour, "#d9602b");
  assert.deepEqual(rgb("#ff0080").map((one) => Math.round(255 * one)), [255, 0, 128]);
});

test("results of a search lead to the map", () => {
  const matches = [{ id: 3 }, { id: null }, { id: 5 }];
  assert.equal(onMap({ matches, weights: { melody: 1, timbre: 1 }, models: ["compact"] }), "/map?hits=3,5&model=compact");
  for (const weights of [{ melody: 1, timbre: -0.5 }, { melody: 1, "dsp/rhythm": 1 }]) {
    const models = ["compact", ...("dsp/rhythm" in weights ? ["dsp"] : [])];
    const read = readMap(new URL(onMap({ matches, weights, models }), "http://x").searchParams);
    assert.deepEqual([read.hits, read.weights, read.model], [[3, 5], weights, "compact"]);
  }
});
