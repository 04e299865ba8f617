/**
 * One row per space: how alike the two recordings are in it, what it contributes, its weight, and the pair to hear.
 */

import { fill, h, icon, iconButton, tint } from "../../dom.js";
import { sliderWeights } from "../../spaces.js";
import { clock, closer, percent, signed } from "../../words.js";
import { scaleOf, shareBar } from "../../components/shares.js";
import { weightSlider } from "../../components/slider.js";

/** @typedef {import("../../types.js").SpaceInfo} SpaceInfo */
/** @typedef {import("../../types.js").ComparisonRecord} ComparisonRecord */
/** @typedef {import("./passages.js").Pair} Pair */

/**
 * @typedef {object} RowEvents
 * @property {(weights: Record<string, number>, done: boolean, name: string) => void} weigh
 * @property {(name: string) => void} play
 * @property {(name: string | null) => void} light
 */

/** @param {Pair} pair */
export function pairInWords({ a, b }) {
  return `A\u00a0${clock(a.start)}–${clock(a.end)}, B\u00a0${clock(b.start)}–${clock(b.end)}`;
}

/** @param {RowEvents} tell */
export function spaceRows(tell) {
  const element = h("ul", { class: "space-rows" });
  /** @type {Map<string, ReturnType<typeof row>>} */
  let rows = new Map();
  let shown = "";

  function weights() {
    return Object.fromEntries([...rows].map(([name, one]) => [name, one.slider.value()]));
  }

  /** @param {SpaceInfo} space */
  function row(space) {
    const { name, colour } = space;
    const play = iconButton("play", `Play the passages most alike in ${name}`, { class: "row-play", onclick: () => tell.play(name) });
    const slider = weightSlider(space, {
      input: () => tell.weigh(weights(), false, name), change: () => tell.weigh(weights(), true, name),
    });
    const short = h("span", { class: "space-percent number" });
    const words = h("span", { class: "space-words" });
    const pair = h("button", { type: "button", class: "space-pair", onclick: () => tell.play(name) });
    const bar = shareBar();
    const share = h("span", { class: "space-share number" });
    const item = h(
      "li", { class: "space-row", "data-space": name }, play, slider.element,
      h("div", { class: "space-says" }, short, words, pair), h("div", { class: "space-bar" }, bar.element, share),
    );
    tint(item, colour);
    for (const event of ["pointerenter", "focusin"]) item.addEventListener(event, () => tell.light(name));
    for (const event of ["pointerleave", "focusout"]) item.addEventListener(event, () => tell.light(null));
    return { item, play, slider, short, words, pair, bar, share };
  }

  return {
    element,
    /**
     * @param {SpaceInfo[]} spaces
     * @param {Record<string, number> | null} wanted
     */
    build(spaces, wanted) {
      const key = spaces.map((space) => `${space.model}/${space.name}`).join();
      if (key !== shown) {
        shown = key;
        rows = new Map(spaces.map((space) => [space.name, row(space)]));
        fill(element, ...[...rows.values()].map((one) => one.item));
      }
      for (const [name, weight] of Object.entries(sliderWeights(spaces, wanted))) {
        const slider = rows.get(name)?.slider;
        if (slider && slider.value() !== weight) slider.set(weight);
      }
    },
    /**
     * @param {SpaceInfo[]} spaces
     * @param {ComparisonRecord} record
     */
    show(spaces, record) {
      const scores = record.matches[0].spaces;
      const scale = scaleOf(spaces.map(({ name }) => [scores[name]?.share ?? 0]));
      for (const { name, colour } of spaces) {
        const one = rows.get(name);
        const score = scores[name];
        if (!one || !score) continue;
        const pair = record.passages[name];
        one.short.textContent = score.audible ? percent(score.percentile) : "n/a";
        one.words.textContent = score.audible && score.percentile !== null
          ? closer(score.percentile, score.percentile_source) : "nothing to compare in one of the two";
        one.pair.textContent = pair ? `Most alike: ${pairInWords(pair)}` : "";
        one.pair.hidden = one.play.disabled = !pair;
        one.bar.update([{ name, colour, share: score.share }], scale);
        one.share.textContent = signed(score.share);
      }
    },
    /** @param {{key: string | null, ready: boolean}} playing */
    playing({ key, ready }) {
      for (const [name, { item, play }] of rows) {
        const own = key === name;
        if (item.classList.contains("current") !== own) fill(play, icon(own ? "pause" : "play"));
        item.classList.toggle("current", own);
        play.setAttribute("aria-label", own ? "Stop" : `Play the passages most alike in ${name}`);
        play.setAttribute("aria-busy", String(own && !ready));
      }
    },
  };
}
