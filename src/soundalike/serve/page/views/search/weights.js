/**
 * The weights: one slider per space, in groups, presets that set all of them, and a list of spaces to add.
 */

import { fill, h, iconButton } from "../../dom.js";
import { byModel, grouped, isConcept, MIDDLE, sliderWeights } from "../../spaces.js";
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
  const adder = h("select", { class: "weight-adder", "aria-label": "Add a space of another model", onchange: () => add(adder.value) });
  const help = h("p", { class: "field-note" }, "Right: alike. Left: different. Double-click or Delete: does not count.");
  const element = h("section", { class: "weights", "aria-label": "Weights" }, h("h2", {}, "What counts"), choices, groups, adder, help);
  /** @type {Map<string, import("../../components/slider.js").Slider>} */
  let sliders = new Map();
  /** @type {{weights: Weights, button: HTMLButtonElement}[]} */
  let buttons = [];
  /** The concepts of other models, which have sliders but are named only if they count. @type {Set<string>} */
  let concepts = new Set();
  let shown = "";
  let offered = "";

  /** @returns {Weights} */
  function values() {
    const all = [...sliders].map(([name, slider]) => /** @type {const} */ ([name, slider.value()]));
    return Object.fromEntries(all.filter(([name, value]) => value !== 0 || !concepts.has(name)));
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

  /** @param {string} name */
  function add(name) {
    if (name) changed({ ...values(), [name]: MIDDLE }, true, `add ${name}`);
  }

  /** @param {string} name */
  function remove(name) {
    const { [name]: _, ...rest } = values();
    changed(rest, true, `remove ${name}`);
  }

  /**
   * The spaces of other models that can be added, in groups.
   * @param {import("../../types.js").SpaceInfo[]} spaces
   */
  function offer(spaces) {
    const key = spaces.map((space) => space.name).join();
    adder.hidden = !spaces.length;
    if (key === offered) return;
    offered = key;
    const options = byModel(spaces).map((group) =>
      h("optgroup", { label: group.title }, ...group.spaces.map((space) => h("option", { value: space.name }, space.name))),
    );
    fill(adder, h("option", { value: "" }, "Add a space…"), ...options);
  }

  /**
   * @param {import("../../types.js").SpaceInfo[]} spaces
   * @param {import("../../types.js").SpaceInfo[]} more Spaces of other models, which presets may add.
   */
  function build(spaces, more) {
    sliders = new Map(
      spaces.map((space) => [
        space.name,
        weightSlider(space, { input: () => tell(false, space.name), change: () => tell(true, space.name) }),
      ]),
    );
    const model = spaces[0]?.model;
    const learned = spaces.filter((space) => concepts.has(space.name));
    const others = spaces.filter((space) => space.model !== model && !concepts.has(space.name));
    for (const { name } of others) {
      const button = iconButton("remove", `Remove ${name}`, { class: "weight-remove", onclick: () => remove(name) });
      sliders.get(name)?.element.append(button);
    }
    const all = [...grouped(spaces.filter((space) => space.model === model)), ...grouped(learned), ...byModel(others)];
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
    const names = spaces.map((space) => space.name).filter((name) => !concepts.has(name));
    const everything = { name: "everything", summary: "every space counts the same", weights: Object.fromEntries(names.map((name) => [name, MIDDLE])) };
    const known = new Set([...names, ...more.map((space) => space.name)]);
    const fitting = presets
      .filter((preset) => preset.name !== "everything" && Object.keys(preset.weights).every((name) => known.has(name)))
      .map((preset) => ({ ...preset, weights: presetWeights(preset.weights, [...new Set([...names, ...Object.keys(preset.weights)])]) }));
    buttons = [everything, ...fitting].map(({ name, summary, weights }) => {
      const button = h("button", { type: "button", class: "button preset", title: summary }, name);
      button.addEventListener("click", () => {
        for (const [space, slider] of sliders) slider.set(weights[space] ?? 0);
        press();
        changed(weights, true, "");
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
     * @param {import("../../types.js").SpaceInfo[]} [others] Spaces of other models, which can be added.
     */
    show(spaces, weights, others = []) {
      const learned = others.filter(isConcept);
      concepts = new Set(learned.map((space) => space.name));
      const named = spaces.filter((space) => !concepts.has(space.name));
      offer(others.filter((other) => ![...named, ...learned].some((space) => space.name === other.name)));
      const all = [...named, ...learned];
      const key = all.map((space) => `${space.model}/${space.name}`).join();
      if (key !== shown) build(all, others);
      shown = key;
      const positions = { ...sliderWeights(named, weights), ...sliderWeights(learned, weights ?? {}) };
      for (const [name, weight] of Object.entries(positions)) {
        const slider = sliders.get(name);
        if (slider && slider.value() !== weight) slider.set(weight);
      }
      press();
    },
  };
}
