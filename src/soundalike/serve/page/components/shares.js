/**
 * The shares of a score as a stacked bar: shares for the match grow to the right of the zero line, shares against it to
 * the left. All bars of a list have one scale.
 */

import { fill, h, tint } from "../dom.js";
import { signed } from "../words.js";

/** @typedef {{name: string, colour: string, share: number}} Share */
/** @typedef {{left: number, right: number}} Scale How far the bars of a list reach from zero. */

/**
 * The scale that fits all rows of shares.
 * @param {number[][]} rows
 * @returns {Scale}
 */
export function scaleOf(rows) {
  const sums = rows.map((row) => ({
    left: -row.reduce((sum, share) => sum + Math.min(share, 0), 0),
    right: row.reduce((sum, share) => sum + Math.max(share, 0), 0),
  }));
  return { left: Math.max(0, ...sums.map((one) => one.left)), right: Math.max(0, ...sums.map((one) => one.right)) };
}

/**
 * Where the segments of a bar are, in percent of its width.
 * @param {number[]} shares
 * @param {Scale} scale
 */
export function segments(shares, scale) {
  const unit = 100 / (scale.left + scale.right || 1);
  let [below, above] = [scale.left, scale.left];
  return shares.map((share) => {
    const start = share < 0 ? below + share : above;
    if (share < 0) below += share;
    else above += share;
    return { start: start * unit, width: Math.abs(share) * unit };
  });
}

/** @returns {{element: HTMLElement, update: (shares: Share[], scale: Scale) => void}} */
export function shareBar() {
  const zero = h("b", {});
  const element = h("div", { class: "share-bar", role: "img" }, zero);
  /** @type {Map<string, HTMLElement>} */
  const parts = new Map();

  /**
   * @param {Share[]} shares
   * @param {Scale} scale
   */
  function update(shares, scale) {
    const places = segments(shares.map((one) => one.share), scale);
    const seen = new Set();
    for (const [at, { name, colour, share }] of shares.entries()) {
      if (!share) continue;
      seen.add(name);
      let part = parts.get(name);
      if (!part) {
        part = h("i", { "data-space": name });
        tint(part, colour);
        parts.set(name, part);
        zero.before(part);
      }
      part.title = `${name} ${signed(share)}`;
      part.style.left = `${places[at].start.toFixed(3)}%`;
      part.style.width = `${places[at].width.toFixed(3)}%`;
    }
    for (const [name, part] of parts) {
      if (!seen.has(name)) {
        part.remove();
        parts.delete(name);
      }
    }
    zero.style.left = `${((100 * scale.left) / (scale.left + scale.right || 1)).toFixed(3)}%`;
    element.setAttribute("aria-label", `Shares: ${shares.map((one) => `${one.name} ${signed(one.share)}`).join(", ")}`);
  }

  return { element, update };
}

/**
 * The colours and names of spaces.
 * @param {{name: string, colour: string}[]} spaces
 */
export function legend(spaces) {
  const list = h("ul", { class: "legend" });
  fill(
    list,
    ...spaces.map((space) => {
      const item = h("li", {}, h("span", { class: "dot" }), space.name);
      tint(item, space.colour);
      return item;
    }),
  );
  return list;
}
