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

/** The concepts that `soundalike train concepts` learns. */
const LEARNED = new Set(["genre", "mood", "instrument", "era", "tempo", "key"]);

/** The colours of spaces of other models, in the order in which they are shown. */
const MORE = ["#0f93a8", "#c94b86", "#6b8f1d", "#7263cf", "#96613c", "#75808c"];

/**
 * @param {LibraryRecord} library
 * @param {string | null} model Null is the default model.
 */
function modelOf(library, model) {
  return model ?? library.models.find((one) => one.default)?.name;
}

/**
 * The spaces of a model; null is the default model.
 * @param {LibraryRecord} library
 * @param {string | null} model
 */
export function spacesOf(library, model) {
  const name = modelOf(library, model);
  return library.spaces.filter((space) => space.model === name);
}

/**
 * The spaces of all other models that a search with a model may name, under the names that answers give them: the short
 * one, or MODEL/SPACE where several models have a space of that name.
 * @param {LibraryRecord} library
 * @param {string | null} model
 */
export function otherSpaces(library, model) {
  const name = modelOf(library, model);
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const space of library.spaces) counts.set(space.name, (counts.get(space.name) ?? 0) + 1);
  return library.spaces
    .filter((space) => space.model !== name)
    .map((space) => (counts.get(space.name) === 1 ? space : { ...space, name: `${space.model}/${space.name}` }));
}

/**
 * Whether a space of another model has a slider without being added: it is a learned concept.
 * @param {SpaceInfo} space
 */
export function isConcept(space) {
  return space.group === "concept" && LEARNED.has(space.name.slice(space.name.lastIndexOf("/") + 1));
}

/**
 * The spaces that a search shows: those of its model, and the others that it names.
 * @param {LibraryRecord} library
 * @param {string | null} model
 * @param {...(Record<string, unknown> | null)} named Weights and bounds.
 */
export function searchSpaces(library, model, ...named) {
  const names = new Set(named.flatMap((one) => Object.keys(one ?? {})));
  const others = otherSpaces(library, model).filter((space) => names.has(space.name));
  const rest = others.filter((space) => !isConcept(space)).map((space, n) => ({ ...space, colour: MORE[n % MORE.length] }));
  return [...spacesOf(library, model), ...others.filter(isConcept), ...rest];
}

/**
 * Spaces by model.
 * @param {SpaceInfo[]} spaces
 */
export function byModel(spaces) {
  const models = [...new Set(spaces.map((space) => space.model))];
  return models.map((model) => ({ title: model, spaces: spaces.filter((space) => space.model === model) }));
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
