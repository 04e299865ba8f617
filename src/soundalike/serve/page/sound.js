/**
 * Recordings that can be played, and how two of them line up. Pure functions, no DOM.
 */

import { titleOf } from "./words.js";

/**
 * What the player needs to know of a recording.
 * @typedef {object} Sound
 * @property {string} key Names the recording: "track/12", "upload/x".
 * @property {number | null} track Its number in the library.
 * @property {string} title
 * @property {string} artist
 * @property {number} duration Seconds; 0 if unknown.
 * @property {number | null} loudness LUFS.
 * @property {string} audio The address of its audio.
 * @property {string | null} peaks The address of its peaks.
 */

/**
 * How the times of two recordings correspond: `b0` is the moment of B that sounds like `a0` of A, and B is `ratio`
 * times as fast.
 * @typedef {object} Line
 * @property {number} a0
 * @property {number} b0
 * @property {number} ratio
 */

/** LUFS to which recordings are lowered. Quieter ones stay as they are: volume cannot exceed 1. */
const LEVEL = -20;

/**
 * The sound of a track, or of a match that is one.
 * @param {{id: number | null, path: string, title: string | null, artist: string | null, duration: number | null,
 *   loudness?: number | null}} record
 * @returns {Sound}
 */
export function trackSound(record) {
  const base = `/api/v1/tracks/${record.id}`;
  return {
    key: `track/${record.id}`,
    track: record.id,
    title: titleOf(record),
    artist: record.artist ?? "",
    duration: record.duration ?? 0,
    loudness: record.loudness ?? null,
    audio: `${base}/audio`,
    peaks: `${base}/peaks`,
  };
}

/**
 * The sound of an upload.
 * @param {import("./types.js").UploadRecord} record
 * @returns {Sound}
 */
export function uploadSound(record) {
  const base = `/api/v1/uploads/${encodeURIComponent(record.id)}`;
  return {
    key: `upload/${record.id}`,
    track: null,
    title: titleOf(record),
    artist: record.artist ?? "",
    duration: record.duration,
    loudness: null,
    audio: `${base}/audio`,
    peaks: `${base}/peaks`,
  };
}

/**
 * The volume that brings recordings of different loudness to the same level.
 * @param {number | null} loudness
 */
export function levelled(loudness) {
  if (loudness === null || !Number.isFinite(loudness)) return 1;
  return Math.min(1, 10 ** ((LEVEL - loudness) / 20));
}

/**
 * The passages that an aligned comparison lines up: the pair that most spaces with a weight name as their best; the
 * matching spans if no space has one.
 * @param {import("./types.js").ComparisonRecord} record
 * @returns {{a: {start: number, end: number}, b: {start: number, end: number}}}
 */
export function alignedPassages(record) {
  const pairs = Object.entries(record.passages)
    .filter(([name]) => record.weights[name])
    .flatMap(([, pair]) => (pair ? [{ a: pair.a, b: pair.b }] : []));
  const [match] = record.matches;
  if (!pairs.length) return { a: record.query, b: { start: match.start, end: match.end } };
  const names = pairs.map((pair) => [pair.a.start, pair.a.end, pair.b.start, pair.b.end].join());
  const votes = names.map((name) => names.filter((other) => other === name).length);
  return pairs[votes.indexOf(Math.max(...votes))];
}

/**
 * The line of a comparison; without an alignment, the starts of the passages correspond.
 * @param {import("./types.js").ComparisonRecord} record
 * @returns {Line}
 */
export function lineOf(record) {
  const { a, b } = alignedPassages(record);
  const alignment = record.matches[0].alignment;
  return { a0: a.start, b0: b.start + (alignment?.offset ?? 0), ratio: alignment?.tempo_ratio ?? 1 };
}

/**
 * The moment of the other recording that corresponds to a moment of one.
 * @param {Line} line
 * @param {"a" | "b"} side Where `time` is.
 * @param {number} time
 */
export function across(line, side, time) {
  return side === "a" ? line.b0 + (time - line.a0) / line.ratio : line.a0 + (time - line.b0) * line.ratio;
}
