/**
 * Finds points of a map by where they are: a uniform grid of cells. Pure, no DOM.
 */

/** @typedef {{x: number, y: number}} Point */
/** @typedef {"left" | "right" | "up" | "down"} Direction */
/** @typedef {(index: number) => boolean} Wanted */

const AXES = { left: [-1, 0], right: [1, 0], up: [0, 1], down: [0, -1] };
const PER_CELL = 4;
const MOST_CELLS = 512;

export class Grid {
  /** @param {Float32Array} xy x and y of the first point, of the second, ... in [-1, 1]. */
  constructor(xy) {
    this.xy = xy;
    this.count = xy.length / 2;
    this.side = Math.min(Math.max(Math.round(Math.sqrt(this.count / PER_CELL)), 1), MOST_CELLS);
    // A counting sort: the points of cell c are order[starts[c]] to order[starts[c + 1]].
    this.starts = new Uint32Array(this.side * this.side + 1);
    this.order = new Uint32Array(this.count);
    const cells = new Uint32Array(this.count);
    for (let at = 0; at < this.count; at += 1) {
      cells[at] = this.#column(xy[2 * at + 1]) * this.side + this.#column(xy[2 * at]);
      this.starts[cells[at] + 1] += 1;
    }
    for (let cell = 0; cell < this.side * this.side; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    for (let at = 0; at < this.count; at += 1) {
      this.order[next[cells[at]]] = at;
      next[cells[at]] += 1;
    }
  }

  /**
   * The point that is nearest to a place, or null.
   * @param {Point} place
   * @param {number} radius Farther ones do not count.
   * @param {Wanted} [wanted]
   */
  nearest(place, radius, wanted) {
    // What is found within a small box need not be looked for in a larger one.
    for (let reach = Math.min(2 / this.side, radius); ; reach = Math.min(2 * reach, radius)) {
      let best = null;
      let least = reach * reach;
      this.#inBox(place.x - reach, place.x + reach, place.y - reach, place.y + reach, (at) => {
        const distance = (this.xy[2 * at] - place.x) ** 2 + (this.xy[2 * at + 1] - place.y) ** 2;
        if (distance <= least && (!wanted || wanted(at))) [best, least] = [at, distance];
      });
      if (best !== null || reach >= radius) return /** @type {number | null} */ (best);
    }
  }

  /**
   * The nearest point in a direction from another: within 45 degrees of it. Null if there is none.
   * @param {number} from
   * @param {Direction} direction
   * @param {Wanted} [wanted]
   */
  towards(from, direction, wanted) {
    const [ux, uy] = AXES[direction];
    const [x, y] = [this.xy[2 * from], this.xy[2 * from + 1]];
    for (let radius = 4 / this.side; ; radius *= 2) {
      let best = null;
      let least = Infinity;
      this.#inBox(x - radius, x + radius, y - radius, y + radius, (at) => {
        const [dx, dy] = [this.xy[2 * at] - x, this.xy[2 * at + 1] - y];
        const along = dx * ux + dy * uy;
        const across = Math.abs(dx * uy) + Math.abs(dy * ux);
        // What lies a little to the side is farther than what lies straight ahead.
        const distance = along + 2 * across;
        if (along > 0 && across <= along && along <= radius && distance < least && (!wanted || wanted(at))) [best, least] = [at, distance];
      });
      if (best !== null || radius > 4) return /** @type {number | null} */ (best);
    }
  }

  /**
   * The points inside a polygon.
   * @param {Point[]} polygon
   * @param {Wanted} [wanted]
   */
  inside(polygon, wanted) {
    /** @type {number[]} */
    const found = [];
    if (polygon.length < 3) return found;
    const [xs, ys] = [polygon.map((one) => one.x), polygon.map((one) => one.y)];
    this.#inBox(Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys), (at) => {
      if ((!wanted || wanted(at)) && isInside(polygon, this.xy[2 * at], this.xy[2 * at + 1])) found.push(at);
    });
    return found.sort((one, other) => one - other);
  }

  /** @param {number} value */
  #column(value) {
    return Math.min(Math.max(Math.floor(((value + 1) / 2) * this.side), 0), this.side - 1);
  }

  /**
   * Visit the points of all cells that a box touches.
   * @param {number} left
   * @param {number} right
   * @param {number} low
   * @param {number} high
   * @param {(index: number) => void} visit
   */
  #inBox(left, right, low, high, visit) {
    const [first, last] = [this.#column(left), this.#column(right)];
    for (let row = this.#column(low); row <= this.#column(high); row += 1) {
      const end = this.starts[row * this.side + last + 1];
      for (let at = this.starts[row * this.side + first]; at < end; at += 1) visit(this.order[at]);
    }
  }
}

/**
 * Whether a place is inside a polygon: a ray from it crosses the outline an odd number of times.
 * @param {Point[]} polygon
 * @param {number} x
 * @param {number} y
 */
export function isInside(polygon, x, y) {
  let inside = false;
  for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at, at += 1) {
    const [one, other] = [polygon[at], polygon[before]];
    if (one.y > y !== other.y > y && x < ((other.x - one.x) * (y - one.y)) / (other.y - one.y) + one.x) inside = !inside;
  }
  return inside;
}
