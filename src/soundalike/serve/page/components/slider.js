/**
 * A slider from -1 to +1 for the weight of one space. Double-click or Delete sets it to 0.
 */

import { freshId, h, tint } from "../dom.js";
import { signed } from "../words.js";

/**
 * @typedef {object} Slider
 * @property {HTMLElement} element
 * @property {() => number} value
 * @property {(value: number) => void} set
 */

/** @param {number} value */
function inWords(value) {
  if (value === 0) return "0, does not count";
  return `${signed(value)}, ${value > 0 ? "alike" : "different"}`;
}

/**
 * @param {import("../types.js").SpaceInfo} space
 * @param {{input: (value: number) => void, change: (value: number) => void}} tell `input` while it moves, `change`
 *   when it rests.
 * @returns {Slider}
 */
export function weightSlider(space, tell) {
  const id = freshId("weight");
  const input = h("input", { id, type: "range", min: "-1", max: "1", step: "0.05", value: "0", class: "weight" });
  const shown = h("output", { class: "number", for: id });
  const element = h(
    "div", { class: "weight-row", "data-space": space.name },
    h("label", { for: id }, h("span", { class: "dot" }), space.name),
    shown,
    h("div", { class: "weight-track" }, input),
  );
  tint(element, space.colour);

  function show() {
    const value = Number(input.value);
    shown.textContent = signed(value);
    input.setAttribute("aria-valuetext", inWords(value));
    element.classList.toggle("off", value === 0);
    // The coloured part runs from the centre to the thumb.
    element.style.setProperty("--from", `${50 + Math.min(value, 0) * 50}%`);
    element.style.setProperty("--to", `${50 + Math.max(value, 0) * 50}%`);
  }

  /** @param {number} value */
  function set(value) {
    input.value = String(value);
    show();
  }

  function reset() {
    set(0);
    tell.input(0);
    tell.change(0);
  }

  input.addEventListener("input", () => {
    show();
    tell.input(Number(input.value));
  });
  input.addEventListener("change", () => tell.change(Number(input.value)));
  input.addEventListener("dblclick", reset);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    event.preventDefault();
    reset();
  });
  show();
  return { element, value: () => Number(input.value), set };
}
