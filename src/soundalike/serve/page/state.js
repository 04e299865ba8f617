/**
 * What the URL says, and requests made of it. Pure functions, no DOM.
 *
 * The query string is the state of a view: every change that a person may want to go back from is in it. `w` holds
 * weights (`melody:0.5,timbre:-1`), lists of tracks are joined by commas.
 */

/**
 * The state of the Search view.
 * @typedef {object} SearchState
 * @property {number | null} track The query: a track of the library ...
 * @property {string | null} upload ... or an upload.
 * @property {number | null} start
 * @property {number | null} end
 * @property {Record<string, number> | null} weights Null weighs every space the same.
 * @property {"track" | "passage" | null} by
 * @property {string} where
 * @property {number[]} like
 * @property {number[]} unlike
 * @property {boolean} otherArtists Leave out the artists of the query.
 * @property {boolean} collapse Show one version of each piece.
 * @property {Record<string, number>} atLeast
 * @property {Record<string, number>} atMost
 * @property {number} k
 * @property {string | null} model
 * @property {string | null} stem The stem of the track to search with, as SEPARATOR/STEM; null is the mix.
 */

export const MATCHES = 20;
const MOST = 200;

/**
 * A finite number, or null.
 * @param {string | null} text
 */
export function readNumber(text) {
  if (text === null || text.trim() === "") return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/**
 * A track number, or null.
 * @param {string | null} text
 */
export function readTrack(text) {
  const value = readNumber(text);
  return value !== null && Number.isSafeInteger(value) && value >= 1 ? value : null;
}

/**
 * Numbers per space: "melody:0.5,timbre:-1".
 * @param {string | null} text
 * @returns {Record<string, number>}
 */
export function readValues(text) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const part of (text ?? "").split(",")) {
    const at = part.lastIndexOf(":");
    const value = at > 0 ? readNumber(part.slice(at + 1)) : null;
    if (value !== null) found[part.slice(0, at)] = value;
  }
  return found;
}

/**
 * @param {Record<string, number>} values
 */
export function writeValues(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name}:${Number(value.toFixed(3))}`)
    .join(",");
}

/**
 * @param {string | null} text
 */
function readTracks(text) {
  const numbers = (text ?? "").split(",").map(readTrack);
  return [...new Set(numbers.filter((one) => one !== null))];
}

/**
 * @param {string | null} text
 * @returns {"track" | "passage" | null}
 */
function readLevel(text) {
  return text === "track" || text === "passage" ? text : null;
}

/** @param {string | null} text */
function readStem(text) {
  return text && /^[^/]+\/[^/]+$/.test(text) ? text : null;
}

/**
 * @param {URLSearchParams} params
 * @returns {SearchState}
 */
export function readSearch(params) {
  const weights = params.get("w");
  const start = readNumber(params.get("start"));
  const end = readNumber(params.get("end"));
  const inOrder = start !== null && end !== null && start >= 0 && start < end;
  return {
    track: readTrack(params.get("track")),
    upload: params.get("upload") || null,
    start: inOrder ? start : null,
    end: inOrder ? end : null,
    weights: weights === null ? null : readValues(weights),
    by: readLevel(params.get("by")),
    where: params.get("where") ?? "",
    like: readTracks(params.get("like")),
    unlike: readTracks(params.get("unlike")),
    otherArtists: params.get("artists") === "other",
    collapse: params.get("collapse") === "1",
    atLeast: readValues(params.get("least")),
    atMost: readValues(params.get("most")),
    k: Math.min(MOST, Math.max(1, Math.floor(readNumber(params.get("k")) ?? MATCHES))),
    model: params.get("model") || null,
    stem: readStem(params.get("stem")),
  };
}

/**
 * @param {SearchState} state
 */
export function writeSearch(state) {
  /** @type {[string, string][]} */
  const pairs = [];
  /** @type {(name: string, value: unknown) => void} */
  const add = (name, value) => {
    if (value !== null && value !== "" && value !== false) pairs.push([name, String(value)]);
  };
  add("track", state.track);
  add("upload", state.track === null ? state.upload : null);
  add("start", state.start === null ? null : Number(state.start.toFixed(2)));
  add("end", state.end === null ? null : Number(state.end.toFixed(2)));
  if (state.weights !== null) pairs.push(["w", writeValues(state.weights)]);
  add("by", state.by);
  add("where", state.where);
  add("like", state.like.join(","));
  add("unlike", state.unlike.join(","));
  add("artists", state.otherArtists ? "other" : null);
  add("collapse", state.collapse ? 1 : null);
  add("least", writeValues(state.atLeast));
  add("most", writeValues(state.atMost));
  add("k", state.k === MATCHES ? null : state.k);
  add("model", state.model);
  add("stem", state.track === null ? null : state.stem);
  return new URLSearchParams(pairs);
}

/**
 * The address of a view.
 * @param {string} path
 * @param {URLSearchParams} [params]
 */
export function address(path, params) {
  // Commas, colons and slashes may stand in a query as they are, and are easier to read.
  const query = params?.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2F", "/");
  return query ? `${path}?${query}` : path;
}

/**
 * Weights without those of 0.
 * @param {Record<string, number>} weights
 */
export function nonzero(weights) {
  return Object.fromEntries(Object.entries(weights).filter(([, weight]) => weight !== 0));
}

/**
 * The body of POST /search; null while there is no query, or every weight is 0.
 * @param {SearchState} state
 */
export function searchRequest(state) {
  if (state.track === null && state.upload === null) return null;
  const weights = state.weights === null ? null : nonzero(state.weights);
  if (weights !== null && !Object.keys(weights).length) return null;
  const source = state.track !== null ? { track: state.track } : { upload: state.upload };
  const region = state.start === null ? {} : { start: state.start, end: state.end };
  const asked = {
    query: { ...source, ...region }, weights, k: state.k, by: state.by, where: state.where.trim() || null,
    at_least: state.atLeast, at_most: state.atMost, model: state.model,
  };
  if (state.stem !== null && state.track !== null) {
    const [separator, stem] = state.stem.split("/");
    return { ...asked, stem, separator };
  }
  return {
    ...asked,
    like: state.like.map((track) => ({ track })),
    unlike: state.unlike.map((track) => ({ track })),
    collapse: state.collapse,
    exclude_same_artist: state.otherArtists,
  };
}

/**
 * Weights of a preset for sliders from -1 to 1: its largest is 1, spaces that it does not name weigh 0.
 * @param {Record<string, number>} preset
 * @param {string[]} names
 */
export function presetWeights(preset, names) {
  const most = Math.max(...Object.values(preset).map(Math.abs), 1e-9);
  return Object.fromEntries(names.map((name) => [name, (preset[name] ?? 0) / most]));
}

/**
 * Whether two sets of weights ask the same question: they do if they differ by a positive factor.
 * @param {Record<string, number>} one
 * @param {Record<string, number>} other
 */
export function sameQuestion(one, other) {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  const sizes = [one, other].map((weights) => names.reduce((sum, name) => sum + Math.abs(weights[name] ?? 0), 0));
  if (!sizes[0] || !sizes[1]) return false;
  return names.every((name) => Math.abs((one[name] ?? 0) / sizes[0] - (other[name] ?? 0) / sizes[1]) < 1e-3);
}
