/**
 * Numbers and names as people read them. Pure functions, no DOM.
 */

/** @typedef {import("./types.js").SpaceScore} SpaceScore */

const MINUS = "\u2212";
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const STEPS = [1, 2, 5];
const RAREST = 1_000_000;

/**
 * A whole number with separators: "1,999".
 * @param {number} value
 */
export function count(value) {
  return whole.format(value);
}

/**
 * A count with its noun: "1 track", "36 tracks".
 * @param {number} value
 * @param {string} noun
 * @param {string} [nouns]
 */
export function counted(value, noun, nouns = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : nouns}`;
}

/**
 * A number with its sign: "+1.20", "−0.35"; what rounds to nothing has none.
 * @param {number} value
 * @param {number} [digits]
 */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? MINUS : "+") + text;
}

/**
 * Seconds as a clock: "0:07", "3:05", "1:02:09"; with `digits`, parts of a second: "0:07.5".
 * @param {number} seconds
 * @param {number} [digits]
 */
export function clock(seconds, digits = 0) {
  const unit = 10 ** digits;
  const all = Math.max(0, digits ? Math.round(seconds * unit) / unit : Math.floor(seconds + 1e-6));
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  const rest = (all % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/**
 * Seconds from what a person types: "7", "0:07.5", "1:02:09"; null if it is no time.
 * @param {string} text
 */
export function parseClock(text) {
  const parts = text.trim().split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+([.,]\d+)?$/.test(part))) return null;
  return parts.reduce((sum, part) => sum * 60 + Number(part.replace(",", ".")), 0);
}

/**
 * How rare a percentile is, as a number of pairs of which one is closer: a round number that does not exceed it.
 *
 * 99.95 is 2,000: one pair of 2,000 is at least as close.
 * @param {number} percentile
 */
export function rarity(percentile) {
  const exact = 1 / Math.max(1 - percentile / 100, 1 / RAREST);
  let round = 100;
  for (let power = 100; power <= RAREST; power *= 10) {
    for (const step of STEPS) if (step * power <= Math.min(exact * (1 + 1e-9), RAREST)) round = step * power;
  }
  return round;
}

/**
 * A percentile in words: "closer than 1,999 of 2,000 pairs here".
 * @param {number} percentile 0 to 100.
 * @param {"library" | "model"} source Whose random pairs they are.
 */
export function closer(percentile, source) {
  const pairs = source === "library" ? "pairs here" : "random pairs";
  if (percentile >= 100) return source === "library" ? "closer than all random pairs here" : "closer than all random pairs";
  if (percentile < 0.5) return `less close than 99 of 100 ${pairs}`;
  if (percentile < 99) return `closer than ${Math.min(98, Math.round(percentile))} of 100 ${pairs}`;
  const of = rarity(percentile);
  return `closer than ${count(of - 1)} of ${count(of)} ${pairs}`;
}

/**
 * What a space says about a match, in words.
 * @param {string} name
 * @param {SpaceScore} score
 */
export function spaceInWords(name, score) {
  if (!score.audible || score.percentile === null) return `${name}: n/a, nothing to compare in one of the two`;
  return `${name}: ${closer(score.percentile, score.percentile_source)}`;
}

/**
 * A percentile in short: "72 %", "98.4 %", and from 99 on the share of pairs that are as close, "1 in 2,000".
 * @param {number | null} percentile
 */
export function percent(percentile) {
  if (percentile === null) return "n/a";
  if (percentile >= 100) return "100 %";
  if (percentile >= 99) return `1 in ${count(rarity(percentile))}`;
  return `${Math.min(percentile, 98.9).toFixed(percentile < 90 ? 0 : 1)} %`;
}

/**
 * The last part of a path, without its ending.
 * @param {string} path
 */
export function fileName(path) {
  const name = path.split(/[\\/]/).pop() || path;
  return name.replace(/\.[A-Za-z0-9]{1,5}$/, "") || name;
}

/**
 * What to call a recording: its title, or else the name of its file.
 * @param {{title?: string | null, path?: string, name?: string}} record
 */
export function titleOf(record) {
  return record.title || fileName(record.path ?? record.name ?? "") || "untitled";
}

/**
 * Parts of a line, which breaks between them and not inside.
 * @param {(string | null | undefined)[]} parts
 */
export function line(...parts) {
  return parts
    .filter(Boolean)
    .map((part) => (part ?? "").replaceAll(" ", "\u00a0"))
    .join(" · ");
}

/**
 * Tempo, key and duration in one line: "120 BPM · C major · 3:05". What is unknown is left out.
 * @param {{bpm?: number | null, key?: string | null, duration?: number | null}} record
 */
export function facts(record) {
  const parts = [];
  if (record.bpm) parts.push(`${Math.round(record.bpm)} BPM`);
  if (record.key) parts.push(record.key);
  if (record.duration) parts.push(clock(record.duration));
  return line(...parts);
}

/**
 * What it takes to bring a match to the tempo and key of the query: "tempo +2 %, −1 semitone"; "" for nothing.
 * @param {number | null} stretch
 * @param {number | null} semitones
 */
export function toMeet(stretch, semitones) {
  const parts = [];
  if (stretch !== null && Math.abs(stretch - 1) >= 0.005) {
    parts.push(`tempo ${signed(100 * (stretch - 1), 0)} %`);
  }
  if (semitones) parts.push(`${signed(semitones, 0)} semitone${Math.abs(semitones) === 1 ? "" : "s"}`);
  return parts.map((part) => part.replaceAll(" ", "\u00a0")).join(", ");
}

/**
 * What a loop needs to fit the query: "stretch 1.11 ×, −3 semitones"; "" if nothing is known.
 * @param {number | null} stretch
 * @param {number | null} semitones
 */
export function toFit(stretch, semitones) {
  const parts = [];
  if (stretch !== null) parts.push(`stretch ${stretch.toFixed(2)} ×`);
  if (semitones !== null) parts.push(`${semitones ? signed(semitones, 0) : 0} semitone${Math.abs(semitones) === 1 ? "" : "s"}`);
  return parts.map((part) => part.replaceAll(" ", "\u00a0")).join(", ");
}

/**
 * Bytes as a size: "200 MB".
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
