/**
 * The spaces of a library: one slider, one colour, one axis each. There may be any number. Pure functions, no DOM.
 */

/** @typedef {import("./types.js").SpaceInfo} SpaceInfo */
/** @typedef {import("./types.js").LibraryRecord} LibraryRecord */

/** Where sliders stand when the address says nothing: all alike, with room on both sides. */
export const MIDDLE = 0.5;

const GROUPS = /** @type {const} */ ([
  ["factor", "Factors"],
  ["instrument", "Instruments"],
  ["concept", "Concepts"],
]);

/**
 * The spaces that a search with a model uses; null is the default model.
 * @param {LibraryRecord} library
 * @param {string | null} model
 */
export function spacesOf(library, model) {
  const name = model ?? library.models.find((one) => one.default)?.name;
  return library.spaces.filter((space) => space.model === name);
}

/**
 * How a match compares with the query in each space. With further examples, the spaces of a match are mixtures without
 * percentiles; those of the query are with the examples.
 * @param {import("./types.js").SearchMatch} match
 */
export function againstQuery(match) {
  return match.examples[0]?.spaces ?? match.spaces;
}

/**
 * Spaces by what they compare, without empty groups.
 * @param {SpaceInfo[]} spaces
 */
export function grouped(spaces) {
  return GROUPS.map(([group, title]) => ({ title, spaces: spaces.filter((space) => space.group === group) })).filter(
    (one) => one.spaces.length,
  );
}

/**
 * Where the sliders of spaces stand.
 * @param {SpaceInfo[]} spaces
 * @param {Record<string, number> | null} weights Null weighs every space the same.
 * @returns {Record<string, number>}
 */
export function sliderWeights(spaces, weights) {
  return Object.fromEntries(spaces.map(({ name }) => [name, weights === null ? MIDDLE : (weights[name] ?? 0)]));
}
