/**
 * Which colour a point has, and what the legend says. Pure functions, no DOM.
 */

import { counted } from "../../words.js";

/**
 * The groups of a map: `codes` holds the group of every point.
 * @typedef {object} Colouring
 * @property {Uint8Array} codes
 * @property {{name: string, colour: string, count: number}[]} groups
 */

const CLASSES = ["#d9602b", "#2f7fd6", "#1f9d78", "#b45bb6", "#c99a1a", "#d0416f", "#5a56d6", "#6f9a28"];
const SCALE = ["#3b4cc0", "#2f7fd6", "#1f9d78", "#8fae2b", "#e0a21b", "#d9602b", "#b3261e"];
const REST = "#85838d";
/** The circle of fifths: each has the colour of its place, so that related keys look alike. */
const FIFTHS = ["C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#", "F"];
const FLATS = /** @type {Record<string, string>} */ ({ Db: "C#", Eb: "D#", Gb: "F#", Ab: "G#", Bb: "A#", Cb: "B", Fb: "E", "E#": "F", "B#": "C" });
const WHEEL = ["#d9443f", "#dd6f2c", "#d49a1e", "#a9a822", "#6f9a28", "#1f9d58", "#1a9a98", "#2f7fd6", "#5a62dd", "#8655cf", "#b45bb6", "#d0416f"];
const TEMPOS = [80, 100, 120, 140, 160];
const CLOSE = /** @type {[number, string][]} */ ([[99, "closer than 99 of 100"], [95, "closer than 95 of 100"], [80, "closer than 80 of 100"], [50, "closer than most"]]);

/**
 * @param {number[]} codes Of groups that may be empty, which are left out.
 * @param {{name: string, colour: string}[]} groups
 * @returns {Colouring}
 */
function colouring(codes, groups) {
  const counts = groups.map(() => 0);
  for (const code of codes) counts[code] += 1;
  const kept = groups.map((group, at) => ({ ...group, count: counts[at] })).filter((group) => group.count);
  const places = counts.map((_, at) => counts.slice(0, at).filter(Boolean).length);
  return { codes: Uint8Array.from(codes, (code) => places[code]), groups: kept };
}

/**
 * By the eight most frequent values; the rest is one group.
 * @param {(string | number | null)[]} values
 */
function byValue(values) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const value of values) if (value !== null && value !== "") counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  const names = [...counts].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0])).slice(0, CLASSES.length).map(([name]) => name);
  const groups = [...names.map((name, at) => ({ name, colour: CLASSES[at] })), { name: "other", colour: REST }, { name: "unknown", colour: REST }];
  return colouring(values.map((value) => {
    if (value === null || value === "") return names.length + 1;
    const at = names.indexOf(String(value));
    return at < 0 ? names.length : at;
  }), groups);
}

/**
 * The place of a key on the circle of fifths, where relative keys are together; -1 if it is no key.
 * @param {string | number | null} key Such as "B minor", "Eb major", "F#m".
 */
export function fifth(key) {
  const found = /^([A-G])([#♯b♭]?)\s*(m(?!aj)|min|moll)?/i.exec(String(key ?? ""));
  if (!found) return -1;
  const name = found[1].toUpperCase() + found[2].replace("♯", "#").replace("♭", "b").toLowerCase();
  const place = FIFTHS.indexOf(FLATS[name] ?? name);
  return found[3] ? (place + 9) % 12 : place;
}

/** @param {(string | number | null)[]} values */
function byKey(values) {
  const groups = FIFTHS.map((name, at) => ({ name: `${name}, ${FIFTHS[(at + 3) % 12]}m`, colour: WHEEL[at] }));
  return colouring(values.map((value) => {
    const place = fifth(value);
    return place < 0 ? 12 : place;
  }), [...groups, { name: "unknown", colour: REST }]);
}

/**
 * By bounds: values below the first, between, and from the last on.
 * @param {(string | number | null)[]} values
 * @param {number[]} bounds
 * @param {string[]} names
 */
function byBounds(values, bounds, names) {
  const groups = [...names.map((name, at) => ({ name, colour: SCALE[Math.round((at * (SCALE.length - 1)) / Math.max(names.length - 1, 1))] })), { name: "unknown", colour: REST }];
  return colouring(values.map((value) => (typeof value === "number" ? bounds.filter((bound) => value >= bound).length : names.length)), groups);
}

/**
 * @param {string} field
 * @param {(string | number | null)[]} values One per point.
 * @returns {Colouring}
 */
export function colourBy(field, values) {
  if (field === "key") return byKey(values);
  if (field === "bpm") {
    const names = TEMPOS.map((bound, at) => (at ? `${TEMPOS[at - 1]}–${bound} BPM` : `under ${bound} BPM`));
    return byBounds(values, TEMPOS, [...names, `from ${TEMPOS[TEMPOS.length - 1]} BPM`]);
  }
  if (field === "year") {
    const decades = [1960, 1970, 1980, 1990, 2000, 2010, 2020];
    return byBounds(values, decades, ["before 1960", ...decades.map((year) => `${year}s`)]);
  }
  return byValue(values);
}

/**
 * By how close points are to a track in a space. Only the closest ones are known.
 * @param {number[]} ids
 * @param {Map<number, number>} percentiles
 * @param {string} colour That of the space.
 * @returns {Colouring}
 */
export function colourByCloseness(ids, percentiles, colour) {
  const groups = [...CLOSE.map(([, name], at) => ({ name, colour: mixed(colour, REST, (at / CLOSE.length) ** 0.7) })), { name: "farther", colour: REST }];
  return colouring(ids.map((id) => {
    const percentile = percentiles.get(id) ?? -1;
    const at = CLOSE.findIndex(([bound]) => percentile >= bound);
    return at < 0 ? CLOSE.length : at;
  }), groups);
}

/**
 * The red, green and blue of "#rrggbb", 0 to 1.
 * @param {string} colour
 */
export function rgb(colour) {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
}

/**
 * @param {string} one
 * @param {string} other
 * @param {number} share Of the other.
 */
function mixed(one, other, share) {
  const [a, b] = [rgb(one), rgb(other)];
  return `#${a.map((value, at) => Math.round(255 * (value + (b[at] - value) * share)).toString(16).padStart(2, "0")).join("")}`;
}

/**
 * A legend, as text.
 * @param {Colouring["groups"]} groups
 */
export function legendText(groups) {
  return groups.map(({ name, count }) => `${name}: ${counted(count, "track")}`).join(", ");
}
