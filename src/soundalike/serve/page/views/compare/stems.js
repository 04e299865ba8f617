/**
 * The mix and every stem in every factor, as a table. A cell plays its stem of both recordings, from the passages that
 * are most alike, with the player.
 */

import { isAbort, latestOnly, post, problemOf } from "../../api.js";
import { fill, h, icon, tint } from "../../dom.js";
import { percent, signed } from "../../words.js";
import { isNotSeparated, separate } from "../../components/separation.js";
import { strength } from "./passages.js";
import { pairInWords } from "./rows.js";
import { recordingOf } from "./state.js";

/** @typedef {import("./state.js").CompareState} CompareState */
/** @typedef {import("./passages.js").Pair} Pair */
/** @typedef {import("../../sound.js").Sound} Sound */
/** @typedef {import("../../sound.js").Line} Line */
/** @typedef {import("../../types.js").MatrixRecord} MatrixRecord */
/** @typedef {import("../../types.js").CellRecord} CellRecord */

/**
 * @typedef {object} StemEvents
 * @property {(separator: string | null) => void} choose
 * @property {() => {a: Sound | null, b: Sound | null}} sounds
 * @property {(passages: Pair) => Promise<Line>} line How the recordings line up in two passages.
 */

/** The strongest colour of a cell, in per cent: text on it stays readable. */
const STRONGEST = 36;

/**
 * One stem of a recording; the mix is the recording itself.
 * @param {Sound} sound
 * @param {string} separator
 * @param {string} stem
 * @returns {Sound}
 */
function stemSound(sound, separator, stem) {
  if (stem === "mix") return sound;
  const place = `stems/${encodeURIComponent(separator)}/${encodeURIComponent(stem)}`;
  return {
    ...sound, key: `${sound.key}/${place}`, title: `${sound.title} · ${stem}`, peaks: null,
    audio: `/api/v1/tracks/${sound.track}/${place}`,
  };
}

/**
 * @param {import("../../main.js").App} app
 * @param {StemEvents} tell
 */
export function stemMatrix(app, tell) {
  const { player } = app;
  const choices = h("div", { class: "matrix-choices", role: "group", "aria-label": "Separators" });
  const status = h("div", { class: "stem-status", role: "status" });
  const holder = h("div", { class: "stem-scroll" });
  const element = h(
    "section", { class: "card compare-stems", "aria-label": "Stems", hidden: true },
    h("h2", {}, "Stem by stem"),
    h("p", { class: "soft" }, "Choose what separates the two recordings. A cell holds z, 0 for random pairs, and the percentage of random pairs that are less alike. Press it to hear its stem where A and B are most alike, and go from A to B in the player."),
    choices, status, holder,
  );
  let shown = "";
  /** What the buttons of cells play: the keys of its two sounds. @type {Map<HTMLButtonElement, string[]>} */
  let cells = new Map();

  const compare = latestOnly((signal, /** @type {object} */ body) =>
    /** @type {Promise<import("../../types.js").ComparisonRecord>} */ (post("/compare", body, { signal })));

  /**
   * Do something that needs separated tracks; if they are not, separate them, and do it again.
   * @template T
   * @param {() => Promise<T>} work
   * @param {string} separator
   * @param {(number | null)[]} tracks
   */
  async function separated(work, separator, tracks) {
    try {
      return await work();
    } catch (error) {
      if (!isNotSeparated(error)) throw error;
    }
    await separate(separator, tracks, (progress) => fill(status, progress), app.fail);
    return work();
  }

  /**
   * @param {string} key
   * @param {CompareState} state
   * @param {string} separator
   */
  async function ask(key, { a, b, model }, separator) {
    if (!a || !b) return;
    const body = { a: recordingOf(a), b: recordingOf(b), stems: separator, model };
    fill(status, h("p", {}, "Comparing …"));
    try {
      const record = await separated(() => compare(body), separator, [a.track, b.track]);
      if (key !== shown) return;
      fill(status);
      if (record.matrix) draw(record.matrix, separator);
    } catch (error) {
      if (isAbort(error) || key !== shown) return;
      shown = "";
      fill(status, h("p", { class: "bad" }, error instanceof Error ? error.message : String(error)));
    }
  }

  /**
   * @param {MatrixRecord} matrix
   * @param {string} separator
   */
  function draw({ sources, factors, cells: found }, separator) {
    cells = new Map();
    const colours = new Map(app.library.spaces.map((space) => [`${space.model}/${space.name}`, space.colour]));
    const colour = (/** @type {string} */ factor) => colours.get(`${found.mix?.[factor]?.model}/${factor}`) ?? "#75808c";
    const rows = sources.map((source) => h(
      "tr", {}, h("th", { scope: "row" }, source),
      ...factors.map((factor) => h("td", {}, cell(source, factor, found[source]?.[factor], colour(factor), separator))),
    ));
    fill(holder, h(
      "table", { class: "stem-table" },
      h("caption", { class: "unseen" }, `How alike A and B are in the mix and the stems of ${separator}: z and percentile`),
      h("thead", {}, h("tr", {}, h("td"), ...factors.map((factor) => h("th", { scope: "col" }, factor)))),
      h("tbody", {}, ...rows),
    ));
    follow();
  }

  /**
   * @param {string} source
   * @param {string} factor
   * @param {CellRecord | undefined} one
   * @param {string} colour
   * @param {string} separator
   */
  function cell(source, factor, one, colour, separator) {
    if (!one) return "";
    const { score: { z, percentile }, passages } = one;
    if (z === null || !passages) return h("span", { class: "soft" }, "n/a");
    const button = h(
      "button", { type: "button", class: "stem-cell", "data-cell": `${source} ${factor}`, vars: { "--mix": `${STRONGEST * strength(z)}%` }, onclick: () => void play(button, source, passages, separator) },
      h("span", { class: "stem-icon" }, icon("play")), h("span", { class: "unseen" }, `Play ${source}, ${factor}: z `),
      h("strong", { class: "number" }, signed(z, 1)), " ", h("span", { class: "number" }, percent(percentile)), " ",
      h("span", { class: "stem-passages number" }, pairInWords(passages)),
    );
    tint(button, colour);
    cells.set(button, []);
    return button;
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {string} source
   * @param {Pair} passages
   * @param {string} separator
   */
  async function play(button, source, passages, separator) {
    if (button.classList.contains("current")) return player.toggle();
    const { a, b } = tell.sounds();
    if (!a || !b) return;
    const [first, second] = [stemSound(a, separator, source), stemSound(b, separator, source)];
    button.setAttribute("aria-busy", "true");
    try {
      // The cache may have lost stems, or a library has the rows of stems that were never separated here.
      await separated(() => Promise.all([first, second].map(available)), separator, [a.track, b.track]);
      const line = await tell.line(passages);
      for (const keys of cells.values()) keys.splice(0);
      cells.set(button, [first.key, second.key]);
      await player.pair(first, second, line, { time: passages.a.start });
    } catch (error) {
      app.fail(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  /** Show which cell plays. */
  function follow() {
    for (const [button, keys] of cells) {
      const current = keys.includes(player.sound?.key ?? "");
      button.classList.toggle("current", current);
      fill(/** @type {Element} */ (button.firstElementChild), icon(current && player.playing ? "pause" : "play"));
    }
  }

  player.addEventListener("change", follow);

  return {
    element,
    /** @param {CompareState} state */
    show(state) {
      const name = state.model ?? app.library.models.find((one) => one.default)?.name;
      const separators = app.library.models.find((one) => one.name === name)?.separators ?? [];
      const { a, b, stems } = state;
      element.hidden = !separators.length || !a || !b || a.track === null || b.track === null;
      if (choices.children.length !== separators.length) {
        fill(choices, ...separators.map((one) => h("button", { type: "button", class: "button preset", "data-separator": one, onclick: (/** @type {MouseEvent} */ event) => {
          const pressed = event.currentTarget instanceof Element && event.currentTarget.getAttribute("aria-pressed") === "true";
          tell.choose(pressed ? null : one);
        } }, one)));
      }
      for (const button of choices.children) {
        button.setAttribute("aria-pressed", String(button instanceof HTMLElement && button.dataset.separator === stems));
      }
      const key = element.hidden || stems === null ? "" : JSON.stringify([a, b, state.model, stems]);
      if (key === shown) return;
      shown = key;
      fill(holder);
      fill(status);
      cells = new Map();
      if (stems !== null && key) void ask(key, state, stems);
    },
  };
}

/**
 * Check that the server has a sound. Rejects with what it says.
 * @param {Sound} sound
 */
async function available({ audio }) {
  const answer = await fetch(audio, { headers: { Range: "bytes=0-0" } });
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
}
