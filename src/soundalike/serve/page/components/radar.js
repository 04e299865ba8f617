/**
 * A radar (Kiviat) chart: one axis per space, from the centre (percentile 0) to the rim (100). The ring in the middle
 * is 50, an average pair. A space with nothing to compare has a hollow mark near the centre, and the area passes it by.
 */

import { fill, s, tint } from "../dom.js";
import { percent } from "../words.js";

/** @typedef {{name: string, colour: string, percentile: number | null, weight?: number}} Axis */

const RADIUS = 40;
const CENTRE = 50;
const ABSENT = 0.15;

/**
 * @param {number} index
 * @param {number} count
 * @param {number} share Of the radius.
 */
export function point(index, count, share) {
  const angle = (2 * Math.PI * index) / count - Math.PI / 2;
  return { x: CENTRE + RADIUS * share * Math.cos(angle), y: CENTRE + RADIUS * share * Math.sin(angle) };
}

/** @param {{x: number, y: number}[]} points */
function path(points) {
  return points.map(({ x, y }, at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") + "Z";
}

/**
 * The chart, as text for those who do not see it.
 * @param {Axis[]} axes
 */
export function radarText(axes) {
  return `Percentiles: ${axes.map((axis) => `${axis.name} ${percent(axis.percentile)}`).join(", ")}`;
}

/** @returns {{element: SVGSVGElement, update: (axes: Axis[]) => void}} */
export function radar() {
  const element = s("svg", { class: "radar", viewBox: "0 0 100 100", role: "img" });

  /** @param {Axis[]} axes */
  function update(axes) {
    element.setAttribute("aria-label", radarText(axes));
    const values = axes.map((axis) => (axis.percentile === null ? ABSENT : axis.percentile / 100));
    const tips = axes.map((_, at) => point(at, axes.length, 1));
    const marks = axes.map((axis, at) => {
      const { x, y } = point(at, axes.length, values[at]);
      const kind = axis.percentile === null ? "radar-mark absent" : axis.weight === 0 ? "radar-mark off" : "radar-mark";
      const mark = s("circle", { class: kind, cx: x, cy: y, r: axes.length > 8 ? 3 : 5 });
      mark.append(s("title", {}, `${axis.name}: ${percent(axis.percentile)}`));
      tint(mark, axis.colour);
      return mark;
    });
    const corners = values.map((value, at) => point(at, axes.length, value)).filter((_, at) => axes[at].percentile !== null);
    // Two points have no area; the spokes and marks say it all.
    const area = corners.length > 2 ? s("path", { class: "radar-area", d: path(corners) }) : null;
    fill(
      element,
      s("circle", { class: "radar-rim", cx: CENTRE, cy: CENTRE, r: RADIUS }),
      s("circle", { class: "radar-ring", cx: CENTRE, cy: CENTRE, r: RADIUS / 2 }),
      ...tips.map(({ x, y }) => s("line", { class: "radar-axis", x1: CENTRE, y1: CENTRE, x2: x, y2: y })),
      area,
      ...marks,
    );
  }

  return { element, update };
}
