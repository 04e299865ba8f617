/**
 * The weights: one slider per space, in groups, and presets that set all of them.
 */

import { fill, h } from "../../dom.js";
import { grouped, MIDDLE, sliderWeights } from "../../spaces.js";
import { presetWeights, sameQuestion } from "../../state.js";
import { weightSlider } from "../../components/slider.js";

/** @typedef {Record<string, number>} Weights */

/**
 * @param {import("../../types.js").Preset[]} presets
 * @param {(weights: Weights, done: boolean, name: string) => void} changed `done` is false while a slider moves.
 */
export function weightPanel(presets, changed) {
  const choices = h("div", { class: "presets", role: "group", "aria-label": "Presets" });
  const groups = h("div", { class: "weight-groups" });
  const help = h("p", { class: "field-note" }, "Right: alike. Left: different. Double-click or Delete: does not count.");
  const element = h("section", { class: "weights", "aria-label": "Weights" }, h("h2", {}, "What counts"), choices, groups, help);
  /** @type {Map<string, import("../../components/slider.js").Slider>} */
  let sliders = new Map();
  /** @type {{weights: Weights, button: HTMLButtonElement}[]} */
  let buttons = [];
  let shown = "";

  /** @returns {Weights} */
  function values() {
    return Object.fromEntries([...sliders].map(([name, slider]) => [name, slider.value()]));
  }

  function press() {
    const now = values();
    for (const { weights, button } of buttons) button.setAttribute("aria-pressed", String(sameQuestion(weights, now)));
  }

  /**
   * @param {boolean} done
   * @param {string} name
   */
  function tell(done, name) {
    press();
    changed(values(), done, name);
  }

  /** @param {import("../../types.js").SpaceInfo[]} spaces */
  function build(spaces) {
    sliders = new Map(
      spaces.map((space) => [
        space.name,
        weightSlider(space, { input: () => tell(false, space.name), change: () => tell(true, space.name) }),
      ]),
    );
    const all = grouped(spaces);
    fill(
      groups,
      ...all.map((group) =>
        h(
          "div", { class: "weight-group", role: "group", "aria-label": group.title },
          all.length > 1 && h("h3", {}, group.title),
          ...group.spaces.map((space) => sliders.get(space.name)?.element),
        ),
      ),
    );
    const names = spaces.map((space) => space.name);
    const everything = { name: "everything", summary: "every space counts the same", weights: Object.fromEntries(names.map((name) => [name, MIDDLE])) };
    const fitting = presets
      .filter((preset) => preset.name !== "everything" && Object.keys(preset.weights).every((name) => names.includes(name)))
      .map((preset) => ({ ...preset, weights: presetWeights(preset.weights, names) }));
    buttons = [everything, ...fitting].map(({ name, summary, weights }) => {
      const button = h("button", { type: "button", class: "button preset", title: summary }, name);
      button.addEventListener("click", () => {
        for (const [space, slider] of sliders) slider.set(weights[space]);
        tell(true, "");
      });
      return { weights, button };
    });
    fill(choices, ...buttons.map(({ button }) => button));
  }

  return {
    element,
    /**
     * @param {import("../../types.js").SpaceInfo[]} spaces
     * @param {Weights | null} weights
     */
    show(spaces, weights) {
      const key = spaces.map((space) => `${space.model}/${space.name}`).join();
      if (key !== shown) build(spaces);
      shown = key;
      for (const [name, weight] of Object.entries(sliderWeights(spaces, weights))) {
        const slider = sliders.get(name);
        if (slider && slider.value() !== weight) slider.set(weight);
      }
      press();
    },
  };
}
