/**
 * What the address of the Map view says. Pure functions, no DOM.
 *
 * `w` holds weights; `colour` what colours points: a field, or "space:NAME" for closeness to the track `near`; `hits`
 * tracks that are marked; `picked` those that are selected; `at` the part that is shown: x, y and zoom.
 */

import { nonzero, readNumber, readTrack, readValues, writeValues } from "../../state.js";

/** @typedef {import("./camera.js").Camera} Camera */

export const FIELDS = /** @type {const} */ (["genre", "key", "bpm", "year"]);
const MOST_PICKED = 200;
const METHODS = /** @type {const} */ (["auto", "umap", "pca"]);

/**
 * @typedef {object} MapState
 * @property {Record<string, number> | null} weights Null weighs every space the same.
 * @property {string} colour "" takes the genre where tracks have one, and else the key.
 * @property {number | null} near
 * @property {number[]} hits
 * @property {number[]} picked The tracks that are selected, unless they are too many for an address.
 * @property {"auto" | "umap" | "pca"} method
 * @property {string} where
 * @property {string | null} model
 * @property {Camera | null} at Null shows all of it.
 */

/**
 * @param {string | null} text
 * @returns {Camera | null}
 */
function readCamera(text) {
  const [x, y, zoom] = (text ?? "").split(",").map(readNumber);
  return x != null && y != null && zoom != null && zoom > 0 ? { x, y, zoom } : null;
}

/** @param {string | null} text */
function readTracks(text) {
  return [...new Set((text ?? "").split(",").map(readTrack).filter((one) => one !== null))];
}

/**
 * @param {URLSearchParams} params
 * @returns {MapState}
 */
export function readMap(params) {
  const weights = params.get("w");
  const colour = params.get("colour") ?? "";
  return {
    weights: weights === null ? null : readValues(weights),
    colour: FIELDS.some((name) => name === colour) || /^space:./.test(colour) ? colour : "",
    near: readTrack(params.get("near")),
    hits: readTracks(params.get("hits")),
    picked: readTracks(params.get("picked")),
    method: METHODS.find((name) => name === params.get("method")) ?? "auto",
    where: params.get("where") ?? "",
    model: params.get("model") || null,
    at: readCamera(params.get("at")),
  };
}

/** @param {MapState} state */
export function writeMap(state) {
  const params = new URLSearchParams();
  if (state.weights !== null) params.set("w", writeValues(state.weights));
  if (state.colour) params.set("colour", state.colour);
  if (state.near !== null) params.set("near", String(state.near));
  if (state.hits.length) params.set("hits", state.hits.join(","));
  if (state.picked.length && state.picked.length <= MOST_PICKED) params.set("picked", state.picked.join(","));
  if (state.method !== "auto") params.set("method", state.method);
  if (state.where) params.set("where", state.where);
  if (state.model) params.set("model", state.model);
  if (state.at) params.set("at", [state.at.x, state.at.y, state.at.zoom].map((one) => Number(one.toFixed(4))).join(","));
  return params;
}

/**
 * The job that makes the map of a state; null if no space has a positive weight.
 * @param {MapState} state
 */
export function mapRequest(state) {
  const weights = state.weights === null ? null : nonzero(state.weights);
  if (weights !== null && !Object.values(weights).some((weight) => weight > 0)) return null;
  return { kind: "map", weights, method: state.method, where: state.where.trim() || null, model: state.model };
}

/**
 * The ids and coordinates of a map, as `GET /jobs/{id}/map` answers them.
 * @param {ArrayBuffer} bytes
 * @returns {{ids: number[], xy: Float32Array}}
 */
export function readPoints(bytes) {
  const count = Math.floor(bytes.byteLength / 16);
  const view = new DataView(bytes);
  const ids = Array.from({ length: count }, (_, at) => Number(view.getBigInt64(8 * at, true)));
  const xy = new Float32Array(2 * count);
  for (let at = 0; at < xy.length; at += 1) xy[at] = view.getFloat32(8 * count + 4 * at, true);
  return { ids, xy };
}
