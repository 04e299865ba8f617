/**
 * What the address of the Compare view says. Pure functions, no DOM.
 *
 * `a` and `b` are numbers of tracks, or uploads as "u:ID"; `w` holds weights; `matrix` the spaces of which matrices are
 * shown; `stems` the separator of which the stems are compared; `meet=0` plays B as it is; `together=1` plays both at once.
 */

import { readTrack, readValues, writeValues } from "../../state.js";

/** @typedef {{track: number | null, upload: string | null}} Source */

/**
 * @typedef {object} CompareState
 * @property {Source | null} a
 * @property {Source | null} b
 * @property {Record<string, number> | null} weights Null weighs every space the same.
 * @property {string | null} model
 * @property {string[] | null} matrix Null shows that of the first space.
 * @property {string | null} stems The separator of which the stems are compared.
 * @property {boolean} meet
 * @property {boolean} together
 */

/**
 * @param {string | null} text
 * @returns {Source | null}
 */
export function readSource(text) {
  if (text?.startsWith("u:") && text.length > 2) return { track: null, upload: text.slice(2) };
  const track = readTrack(text);
  return track === null ? null : { track, upload: null };
}

/** @param {Source} source */
export function writeSource(source) {
  return source.track === null ? `u:${source.upload}` : String(source.track);
}

/**
 * @param {URLSearchParams} params
 * @returns {CompareState}
 */
export function readCompare(params) {
  const [weights, matrix] = [params.get("w"), params.get("matrix")];
  return {
    a: readSource(params.get("a")),
    b: readSource(params.get("b")),
    weights: weights === null ? null : readValues(weights),
    model: params.get("model") || null,
    matrix: matrix === null ? null : matrix.split(",").filter(Boolean),
    stems: params.get("stems") || null,
    meet: params.get("meet") !== "0",
    together: params.get("together") === "1",
  };
}

/** @param {CompareState} state */
export function writeCompare(state) {
  const params = new URLSearchParams();
  if (state.a) params.set("a", writeSource(state.a));
  if (state.b) params.set("b", writeSource(state.b));
  if (state.weights !== null) params.set("w", writeValues(state.weights));
  if (state.model) params.set("model", state.model);
  if (state.matrix !== null) params.set("matrix", state.matrix.join(","));
  if (state.stems) params.set("stems", state.stems);
  if (!state.meet) params.set("meet", "0");
  if (state.together) params.set("together", "1");
  return params;
}

/**
 * A recording as requests name it.
 * @param {Source} source
 * @param {{start: number, end: number}} [span]
 * @returns {import("../../types.js").RecordingRequest}
 */
export function recordingOf(source, span) {
  const named = source.track === null ? { upload: source.upload ?? "" } : { track: source.track };
  return span ? { ...named, start: span.start, end: span.end } : named;
}
