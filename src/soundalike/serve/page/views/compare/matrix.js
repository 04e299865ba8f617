/**
 * How alike every passage of A is to every passage of B, in one space, as a picture to click into. With the keyboard:
 * arrow keys move from cell to cell, and Enter plays the pair.
 */

import { fill, h, tint } from "../../dom.js";
import { cssColour } from "../../theme.js";
import { clock, counted, signed } from "../../words.js";
import { bestPairs, strength, ticks, zScores } from "./passages.js";

/** @typedef {import("../../types.js").SpaceInfo} SpaceInfo */
/** @typedef {import("./passages.js").Span} Span */
/** @typedef {import("./passages.js").Pair} Pair */
/** @typedef {{a: {start: number[], end: number[]}, b: {start: number[], end: number[]},
 *   spaces: Record<string, (number | null)[][]>, mean: Record<string, number>, sigma: Record<string, number>}} Matrices */

const BEST = 10;
const EDGE = { left: 44, bottom: 26 };
const TALLEST = 420;
const HIGHEST_ROW = 72;

/** @param {{start: number[], end: number[]}} times @returns {Span[]} */
const spans = (times) => times.start.map((start, at) => ({ start, end: times.end[at] }));

/**
 * @param {SpaceInfo} space
 * @param {Matrices} matrices
 * @param {{play: (pair: Pair) => void, announce: (text: string) => void}} tell
 */
export function matrixView(space, matrices, tell) {
  const { name, colour } = space;
  const z = zScores(matrices.spaces[name], matrices.mean[name], matrices.sigma[name]);
  const [a, b] = [spans(matrices.a), spans(matrices.b)];
  const best = bestPairs(z, a, b, BEST);
  const canvas = h("canvas", { class: "matrix-canvas", tabIndex: 0, role: "application", "aria-roledescription": "matrix of passages" });
  const note = h("p", { class: "matrix-note number" });
  const table = h(
    "table", { class: "matrix-table" }, h("caption", {}, "The most similar pairs"),
    h("thead", {}, h("tr", {}, ...["A", "B", "z", ""].map((text) => h("th", { scope: "col" }, text || h("span", { class: "unseen" }, "Play"))))),
    h("tbody", {}, ...best.map(({ row, column, z: value }) => {
      const words = `A ${clock(a[row].start)}–${clock(a[row].end)} with B ${clock(b[column].start)}–${clock(b[column].end)}`;
      const play = h("button", { type: "button", class: "button small", "aria-label": `Play ${words}`, onclick: () => press(row, column) }, "Play");
      return h("tr", {}, h("td", {}, `${clock(a[row].start)}–${clock(a[row].end)}`), h("td", {}, `${clock(b[column].start)}–${clock(b[column].end)}`), h("td", {}, signed(value, 1)), h("td", {}, play));
    })),
  );
  const dot = h("span", { class: "dot" });
  const element = h(
    "figure", { class: "matrix", "data-space": name },
    h("figcaption", {}, dot, name, h("span", { class: "matrix-scale" }, "average", h("i", {}), "alike")), canvas, note,
    best.length > 1 && h("details", {}, h("summary", {}, `The ${counted(best.length, "best pair")}`), table),
  );
  tint(element, colour);
  let [row, column] = best.length ? [best[0].row, best[0].column] : [0, 0];

  function words() {
    const value = z[row]?.[column] ?? null;
    const likeness = value === null ? "nothing to compare" : `${signed(value, 1)} standard deviations from an average pair`;
    return `A ${clock(a[row].start)}–${clock(a[row].end)}, B ${clock(b[column].start)}–${clock(b[column].end)}: ${likeness}`;
  }

  /** @param {boolean} aloud */
  function describe(aloud) {
    note.textContent = words();
    canvas.setAttribute("aria-label", `${name}, ${words()}. Arrow keys move, Enter plays.`);
    if (aloud) tell.announce(words());
    draw();
  }

  /**
   * @param {number} toRow
   * @param {number} toColumn
   */
  function press(toRow, toColumn) {
    [row, column] = [toRow, toColumn];
    describe(false);
    tell.play({ a: a[row], b: b[column] });
  }

  function size() {
    const width = canvas.clientWidth || 300;
    const inner = width - EDGE.left;
    const height = Math.min((inner * a.length) / b.length, TALLEST, a.length * HIGHEST_ROW);
    return { width, height: height + EDGE.bottom, inner, tall: height };
  }

  function draw() {
    const context = canvas.getContext("2d");
    if (!context || !canvas.isConnected) return;
    const { width, height, inner, tall } = size();
    const dense = devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    context.scale(dense, dense);
    const tone = getComputedStyle(dot).backgroundColor;
    context.fillStyle = cssColour("--track");
    context.fillRect(EDGE.left, 0, inner, tall);
    const [wide, high] = [inner / b.length, tall / a.length];
    context.fillStyle = tone;
    for (const [at, line] of z.entries()) {
      for (const [to, value] of line.entries()) {
        if (value === null) continue;
        context.globalAlpha = strength(value);
        // Half a pixel more closes the seams between cells.
        context.fillRect(EDGE.left + to * wide, at * high, wide + 0.5, high + 0.5);
      }
    }
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.strokeStyle = cssColour("--ink");
    context.strokeRect(EDGE.left + column * wide, row * high, Math.max(wide, 5), Math.max(high, 5));
    axes(context, inner, tall);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} inner
   * @param {number} tall
   */
  function axes(context, inner, tall) {
    context.fillStyle = cssColour("--soft");
    context.font = "12px system-ui, sans-serif";
    const [endA, endB] = [a[a.length - 1].end, b[b.length - 1].end];
    context.textAlign = "center";
    for (const time of ticks(endB, Math.max(2, inner / 70))) {
      const x = EDGE.left + (inner * time) / endB;
      if (x < EDGE.left + inner - 14) context.fillText(time ? clock(time) : "B 0:00", Math.max(x, EDGE.left + 18), tall + 17);
    }
    context.textAlign = "right";
    for (const time of ticks(endA, Math.max(2, tall / 40))) {
      const y = (tall * time) / endA;
      if (y < tall - 6) context.fillText(time ? clock(time) : "A 0:00", EDGE.left - 5, Math.max(y + 4, 11));
    }
  }

  /** @param {MouseEvent} event */
  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const { inner, tall } = size();
    const to = Math.floor(((event.clientX - box.left - EDGE.left) / inner) * b.length);
    const at = Math.floor(((event.clientY - box.top) / tall) * a.length);
    return at >= 0 && at < a.length && to >= 0 && to < b.length ? { at, to } : null;
  }

  canvas.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) press(cell.at, cell.to);
  });
  canvas.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    if (!cell || (cell.at === row && cell.to === column)) return;
    [row, column] = [cell.at, cell.to];
    describe(false);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] })[event.key];
    if (event.key === "Enter" || event.key === " ") press(row, column);
    else if (event.key === "Home") [row, column] = best.length ? [best[0].row, best[0].column] : [0, 0];
    else if (step) [row, column] = [Math.min(Math.max(row + step[0], 0), a.length - 1), Math.min(Math.max(column + step[1], 0), b.length - 1)];
    else return;
    event.preventDefault();
    describe(event.key !== "Enter" && event.key !== " ");
  });
  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  document.addEventListener("themechange", draw);
  if (a.length && b.length) describe(false);
  else fill(element, h("figcaption", {}, name), h("p", { class: "soft" }, "There are no passages to compare."));
  return {
    element,
    destroy() {
      observer.disconnect();
      document.removeEventListener("themechange", draw);
    },
  };
}
