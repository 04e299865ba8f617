/**
 * Pairs of passages: how they are drawn, how they are played, and which are most alike. Pure functions, no DOM.
 */

/** @typedef {{start: number, end: number}} Span */
/** @typedef {{a: Span, b: Span}} Pair */
/** @typedef {import("../../sound.js").Line} Line */

/**
 * Part of a recording, and how it is played.
 * @typedef {object} Excerpt
 * @property {number} start
 * @property {number} end
 * @property {number} semitones
 * @property {number} ratio 1.25 plays it 25 % faster.
 */

/** What the server stretches and transposes at most. */
const FASTEST = 4;
const HIGHEST = 24;

/**
 * The outline of a ribbon from a span above to one below, in a box from (0, 0) to (width, height).
 * @param {Pair} pair
 * @param {{a: number, b: number}} durations
 * @param {{width: number, height: number}} box
 */
export function ribbon(pair, durations, { width, height }) {
  const at = (/** @type {number} */ time, /** @type {number} */ duration) => ((width * Math.min(time, duration)) / (duration || 1)).toFixed(1);
  const [a0, a1] = [at(pair.a.start, durations.a), at(pair.a.end, durations.a)];
  const [b0, b1] = [at(pair.b.start, durations.b), at(pair.b.end, durations.b)];
  const middle = height / 2;
  return `M${a0} 0C${a0} ${middle} ${b0} ${middle} ${b0} ${height}H${b1}C${b1} ${middle} ${a1} ${middle} ${a1} 0Z`;
}

/**
 * Pairs as they are drawn: those that are the same share their width, so that each can be seen and pressed.
 * @param {Pair[]} pairs
 * @returns {Pair[]}
 */
export function sideBySide(pairs) {
  const keys = pairs.map(({ a, b }) => [a.start, a.end, b.start, b.end].join());
  return pairs.map((pair, at) => {
    const among = keys.filter((key) => key === keys[at]).length;
    const place = keys.slice(0, at).filter((key) => key === keys[at]).length;
    const part = (/** @type {Span} */ { start, end }) => ({
      start: start + ((end - start) * place) / among, end: start + ((end - start) * (place + 1)) / among,
    });
    return { a: part(pair.a), b: part(pair.b) };
  });
}

/**
 * What to play of a pair as it is.
 * @param {Pair} pair
 * @returns {{a: Excerpt, b: Excerpt}}
 */
export function plainExcerpts(pair) {
  const plain = { semitones: 0, ratio: 1 };
  return { a: { ...pair.a, ...plain }, b: { ...pair.b, ...plain } };
}

/**
 * What to play of a pair so that B meets A in tempo, key and beat.
 * @param {Pair} pair
 * @param {Line} line How the two line up.
 * @param {number} semitones B is A transposed by this interval.
 * @param {number} duration Seconds of B; 0 if unknown.
 * @returns {{a: Excerpt, b: Excerpt}}
 */
export function meetingExcerpts(pair, line, semitones, duration) {
  const ratio = Math.min(Math.max(line.ratio, 1 / FASTEST), FASTEST);
  // Where B would begin before its start, both begin as much later.
  const late = Math.max(0, -line.b0);
  const [a, b] = [line.a0 + late * ratio, line.b0 + late];
  const length = Math.max(pair.a.end - pair.a.start, 0.5);
  const seconds = duration > b ? Math.min(length, (duration - b) * ratio) : length;
  const up = Math.min(Math.max(-semitones, -HIGHEST), HIGHEST);
  return {
    a: { start: a, end: a + seconds, semitones: 0, ratio: 1 },
    b: { start: b, end: b + seconds / ratio, semitones: up, ratio: 1 / ratio },
  };
}

/**
 * The address of an excerpt.
 * @param {string} audio That of the recording.
 * @param {Excerpt} excerpt
 */
export function excerptAddress(audio, excerpt) {
  const params = new URLSearchParams({ start: excerpt.start.toFixed(3), end: excerpt.end.toFixed(3) });
  if (excerpt.semitones) params.set("semitones", String(excerpt.semitones));
  if (excerpt.ratio !== 1) params.set("tempo_ratio", excerpt.ratio.toFixed(5));
  return `${audio}?${params}`;
}

/**
 * Similarities in standard deviations of random pairs; null where one of the two has nothing to compare.
 * @param {(number | null)[][]} matrix
 * @param {number} mean
 * @param {number} sigma
 */
export function zScores(matrix, mean, sigma) {
  return matrix.map((row) => row.map((cell) => (cell === null ? null : (cell - mean) / (sigma || 1))));
}

/**
 * The most similar pairs of a matrix. Passages overlap, so that neighbours of a pair are left out.
 * @param {(number | null)[][]} z
 * @param {Span[]} a
 * @param {Span[]} b
 * @param {number} count
 * @returns {{row: number, column: number, z: number}[]}
 */
export function bestPairs(z, a, b, count) {
  /** @type {{row: number, column: number, z: number}[]} */
  const cells = [];
  for (const [row, line] of z.entries()) {
    for (const [column, value] of line.entries()) if (value !== null) cells.push({ row, column, z: value });
  }
  cells.sort((one, other) => other.z - one.z);
  /** @type {typeof cells} */
  const found = [];
  for (const cell of cells) {
    if (found.length === count) break;
    if (!found.some((one) => overlap(a[one.row], a[cell.row]) && overlap(b[one.column], b[cell.column]))) found.push(cell);
  }
  return found;
}

/**
 * Whether two spans share more than half of the shorter one.
 * @param {Span} one
 * @param {Span} other
 */
function overlap(one, other) {
  const shared = Math.min(one.end, other.end) - Math.max(one.start, other.start);
  return shared > Math.min(one.end - one.start, other.end - other.start) / 2;
}

/**
 * How strong the colour of a cell is: 0 at one standard deviation below an average pair, 1 at four above it.
 * @param {number} z
 */
export function strength(z) {
  return Math.min(Math.max((z + 1) / 5, 0), 1);
}

/**
 * Round times for an axis.
 * @param {number} duration
 * @param {number} most How many at most.
 */
export function ticks(duration, most) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((one) => duration / one <= most) ?? 1800;
  return Array.from({ length: Math.floor(duration / step) + 1 }, (_, at) => at * step);
}
