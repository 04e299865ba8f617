/**
 * The ribbons between two waveforms: each joins the most similar passages of one space, and plays them when pressed.
 */

import { fill, s, tint } from "../../dom.js";
import { ribbon, sideBySide } from "./passages.js";

/** @typedef {import("./passages.js").Pair} Pair */
/** @typedef {{name: string, colour: string, pair: Pair, label: string, off: boolean}} Ribbon */

const BOX = { width: 1000, height: 100 };

/** @param {(name: string) => void} pressed */
export function ribbons(pressed) {
  const element = s("svg", { class: "ribbons", viewBox: `0 0 ${BOX.width} ${BOX.height}`, preserveAspectRatio: "none" });
  /** @type {Map<string, SVGPathElement>} */
  const paths = new Map();

  return {
    element,
    /**
     * @param {Ribbon[]} shown
     * @param {{a: number, b: number}} durations
     */
    show(shown, durations) {
      for (const [name, path] of paths) if (!shown.some((one) => one.name === name)) (path.remove(), paths.delete(name));
      const drawn = sideBySide(shown.map((one) => one.pair));
      for (const [at, one] of shown.entries()) {
        let path = paths.get(one.name);
        if (!path) {
          path = s("path", { class: "ribbon", tabindex: "0", role: "button" });
          path.addEventListener("click", () => pressed(one.name));
          path.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            pressed(one.name);
          });
          paths.set(one.name, path);
          element.append(path);
        }
        path.setAttribute("d", ribbon(drawn[at], durations, BOX));
        path.setAttribute("aria-label", one.label);
        path.classList.toggle("off", one.off);
        fill(path, s("title", {}, one.label));
        tint(path, one.colour);
      }
    },
    /**
     * Show which one plays, or has the attention.
     * @param {string | null} name
     */
    light(name) {
      element.classList.toggle("lit", name !== null && paths.has(name));
      for (const [own, path] of paths) path.classList.toggle("current", own === name);
    },
  };
}

/**
 * The bars under or above a waveform that mark the passages of all spaces.
 * @returns {{element: SVGSVGElement, show: (spans: {name: string, colour: string, start: number, end: number}[], duration: number) => void}}
 */
export function marks() {
  const element = s("svg", { class: "passage-marks", preserveAspectRatio: "none", "aria-hidden": "true" });
  return {
    element,
    show(spans, duration) {
      element.setAttribute("viewBox", `0 0 1000 ${Math.max(spans.length, 1)}`);
      const unit = 1000 / (duration || 1);
      fill(element, ...spans.map(({ colour, start, end }, at) => {
        const bar = s("rect", { class: "passage-mark", x: start * unit, y: at + 0.15, width: Math.max((Math.min(end, duration) - start) * unit, 2), height: 0.7 });
        tint(bar, colour);
        return bar;
      }));
    },
  };
}
