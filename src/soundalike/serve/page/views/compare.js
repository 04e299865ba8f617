/**
 * The Compare view: two recordings, the passages that are most alike in each space, and how to hear them. Its state is
 * the address (see compare/state.js).
 */

import { isAbort, latestOnly, newestWins, post } from "../api.js";
import { fill, h, icon } from "../dom.js";
import { levelled, lineOf } from "../sound.js";
import { searchSpaces } from "../spaces.js";
import { nonzero } from "../state.js";
import { clock, closer, signed, toMeet } from "../words.js";
import { Duet } from "../components/duet.js";
import { matrixView } from "./compare/matrix.js";
import { excerptAddress, meetingExcerpts, plainExcerpts } from "./compare/passages.js";
import { marks, ribbons } from "./compare/ribbons.js";
import { pairInWords, spaceRows } from "./compare/rows.js";
import { side } from "./compare/side.js";
import { stemMatrix } from "./compare/stems.js";
import { readCompare, recordingOf, writeCompare, writeSource } from "./compare/state.js";

/** @typedef {import("./compare/state.js").CompareState} CompareState */
/** @typedef {import("./compare/passages.js").Pair} Pair */
/** @typedef {import("../types.js").ComparisonRecord} ComparisonRecord */
/** @typedef {import("./compare/matrix.js").Matrices} Matrices */

/**
 * @param {import("../main.js").App} app
 * @returns {import("../main.js").View}
 */
export function createView(app) {
  const { player } = app;
  let state = readCompare(new URLSearchParams());
  let asked = "";
  let drawn = "";
  /** @type {ComparisonRecord | null} */
  let found = null;
  /** @type {ReturnType<typeof matrixView>[]} */
  let matrices = [];
  /** @type {Map<string, Promise<ComparisonRecord>>} */
  const alignments = new Map();
  const duet = new Duet();

  const a = side(app, "A", (source) => change({ a: source }, true, "a"));
  const b = side(app, "B", (source) => change({ b: source }, true, "b"));
  const strands = ribbons((name) => void playSpace(name));
  const [marksA, marksB] = [marks(), marks()];
  const rows = spaceRows({
    weigh: (weights, done, name) => change({ weights }, done, `weight ${name}`),
    play: (name) => void playSpace(name),
    light: (name) => strands.light(name ?? duet.key),
  });
  const stems = stemMatrix(app, {
    choose: (separator) => change({ stems: separator }, true, "stems"),
    sounds: () => ({ a: a.sound, b: b.sound }),
    line: async (passages) => state.meet && request() ? lineOf(await align(passages)) : { a0: passages.a.start, b0: passages.b.start, ratio: 1 },
  });
  const overall = h("p", { class: "compare-overall" });
  const now = h("p", { class: "compare-now number" });
  const stop = h("button", { type: "button", class: "button", onclick: () => duet.stop() }, icon("pause"), "Stop");
  const meet = h("input", { type: "checkbox", onchange: () => change({ meet: meet.checked }, true, "meet") });
  const orders = /** @type {const} */ ([[false, "one after the other"], [true, "together"]]).map(([together, label]) => {
    const input = h("input", { type: "radio", name: "order", onchange: () => change({ together }, true, "order") });
    return { together, input, element: h("label", {}, input, h("span", {}, label)) };
  });
  const swap = h("button", { type: "button", class: "button", onclick: () => change({ a: state.b, b: state.a }, true, "swap") }, icon("compare"), "Exchange A and B");
  const switching = h("button", { type: "button", class: "button", onclick: () => void pair() }, "A/B at the same beat");
  const stage = h("div", { class: "compare-stage" }, a.wave, marksA.element, strands.element, marksB.element, b.wave);
  const controls = h(
    "div", { class: "compare-controls" },
    h("div", { class: "segmented", role: "radiogroup", "aria-label": "How pairs are played" }, ...orders.map((one) => one.element)),
    h("label", { class: "check" }, meet, "stretch and transpose B to meet A"), stop, now,
  );
  const choices = h("div", { class: "matrix-choices", role: "group", "aria-label": "Spaces" });
  const grid = h("div", { class: "matrices" });
  const details = h(
    "div", { class: "compare-details" },
    h("section", { class: "card compare-spaces", "aria-label": "Spaces" }, h("div", { class: "results-head" }, h("h2", {}, "What is alike"), overall), rows.element),
    stems.element,
    h("section", { class: "card compare-matrix", "aria-label": "Passages" },
      h("h2", {}, "Every passage with every other"),
      h("p", { class: "soft" }, "Rows are passages of A, columns of B. The stronger the colour, the more alike; press a cell to hear it."), choices, grid),
  );
  const heading = h("h1", {}, "Compare two recordings");
  const hint = h("p", { class: "soft" }, "Choose two recordings, see which of their passages are alike, and hear them together.");
  const element = h(
    "div", { class: "compare" },
    h("div", { class: "view-head" }, heading, hint),
    h("section", { class: "card compare-pair", "aria-label": "Recordings" }, a.head, stage, b.head, h("div", { class: "compare-actions" }, swap, switching), controls),
    details,
  );

  /**
   * @param {Partial<CompareState>} part
   * @param {boolean} done
   * @param {string} name
   */
  function change(part, done, name) {
    state = { ...state, ...part };
    if ("a" in part || "b" in part) found = null;
    if (done) app.go("/compare", writeCompare(state), { merge: name });
    refresh();
  }

  /** The recordings and weights as requests have them; null while something is missing. */
  function request() {
    if (!state.a || !state.b) return null;
    const weights = state.weights === null ? null : nonzero(state.weights);
    if (weights !== null && !Object.keys(weights).length) return null;
    return { a: recordingOf(state.a), b: recordingOf(state.b), weights, model: state.model };
  }

  const compare = newestWins(
    (/** @type {NonNullable<ReturnType<typeof request>>} */ body) => /** @type {Promise<ComparisonRecord>} */ (post("/compare", body)),
    (record) => {
      found = record;
      show();
      void drawMatrices().catch(app.fail);
    },
    (error) => {
      asked = "";
      if (!isAbort(error)) overall.textContent = error instanceof Error ? error.message : String(error);
    },
  );

  function refresh() {
    const both = Boolean(state.a && state.b);
    stage.hidden = details.hidden = controls.hidden = !both;
    hint.hidden = both;
    heading.classList.toggle("unseen", both);
    swap.parentElement?.toggleAttribute("hidden", !both);
    meet.checked = state.meet;
    for (const { together, input } of orders) input.checked = together === state.together;
    rows.build(searchSpaces(app.library, state.model, state.weights), state.weights);
    stems.show(state);
    const body = request();
    const key = JSON.stringify(body);
    if (key !== asked) {
      asked = key;
      if (body) compare.ask(body);
      else if (both) overall.textContent = "Every weight is 0, so nothing counts. Move a slider.";
    }
    if (both && (found || state.matrix)) void drawMatrices().catch(app.fail);
  }

  function show() {
    if (!found) return;
    const spaces = searchSpaces(app.library, state.model, state.weights);
    const [match] = found.matches;
    const [first] = Object.values(match.spaces);
    overall.textContent = match.percentile === null || !first ? `Score ${signed(match.score)}.`
      : `All together: ${closer(match.percentile, first.percentile_source)}, score ${signed(match.score)}.`;
    rows.show(spaces, found);
    const pairs = spaces.flatMap(({ name, colour }) => {
      const one = found?.passages[name];
      return one ? [{ name, colour, pair: one, label: `${name}: play ${pairInWords(one)}`, off: !match.spaces[name]?.weight }] : [];
    });
    const durations = { a: a.sound?.duration ?? 0, b: b.sound?.duration ?? 0 };
    strands.show(pairs, durations);
    marksA.show(pairs.map(({ name, colour, pair: { a: span } }) => ({ name, colour, ...span })), durations.a);
    marksB.show(pairs.map(({ name, colour, pair: { b: span } }) => ({ name, colour, ...span })), durations.b);
  }

  /**
   * How two passages line up. Computed when it is first needed, because it takes a second.
   * @param {Pair | null} passages Null asks about the whole recordings.
   */
  function align(passages) {
    const body = { ...request(), align: true };
    if (passages && state.a && state.b) Object.assign(body, { a: recordingOf(state.a, passages.a), b: recordingOf(state.b, passages.b) });
    const key = JSON.stringify(body);
    let asking = alignments.get(key);
    if (!asking) {
      asking = /** @type {Promise<ComparisonRecord>} */ (post("/compare", body));
      alignments.set(key, asking);
      asking.catch(() => alignments.delete(key));
    }
    return asking;
  }

  /** @param {string} name */
  async function playSpace(name) {
    const passages = found?.passages[name];
    if (duet.key === name) duet.stop();
    else if (passages) await play(name, passages);
  }

  /**
   * @param {string} key
   * @param {Pair} passages
   */
  async function play(key, passages) {
    const [soundA, soundB] = [a.sound, b.sound];
    if (!soundA || !soundB) return;
    player.pause();
    try {
      let excerpts = plainExcerpts(passages);
      let how = "";
      if (state.meet && request()) {
        now.textContent = "Lining them up …";
        const record = await align(passages);
        const alignment = record.matches[0].alignment;
        const semitones = alignment?.semitones ?? 0;
        excerpts = meetingExcerpts(passages, lineOf(record), semitones, soundB.duration);
        how = toMeet(excerpts.b.ratio, excerpts.b.semitones);
      }
      now.dataset.how = how ? `B: ${how}` : "";
      await duet.play(
        key,
        { address: excerptAddress(soundA.audio, excerpts.a), excerpt: excerpts.a, gain: player.volume * levelled(soundA.loudness) },
        { address: excerptAddress(soundB.audio, excerpts.b), excerpt: excerpts.b, gain: player.volume * levelled(soundB.loudness) },
        state.together,
      );
    } catch (error) {
      now.textContent = "";
      app.fail(error);
    }
  }

  /** Play the two with the player, which goes from one to the other at the same beat. */
  async function pair() {
    if (!a.sound || !b.sound || !request()) return;
    duet.stop();
    switching.setAttribute("aria-busy", "true");
    try {
      await player.pair(a.sound, b.sound, lineOf(await align(null)));
    } catch (error) {
      app.fail(error);
    } finally {
      switching.removeAttribute("aria-busy");
    }
  }

  /** The spaces of which matrices are shown. */
  function chosen() {
    const spaces = searchSpaces(app.library, state.model, state.weights);
    if (state.matrix !== null) return spaces.filter(({ name }) => state.matrix?.includes(name));
    return spaces.filter(({ name }) => found?.passages[name]).slice(0, 2);
  }

  /** @param {string[]} names Those that are shown. */
  function showChoices(names) {
    const spaces = searchSpaces(app.library, state.model, state.weights);
    if (choices.children.length !== spaces.length) {
      fill(choices, ...spaces.map(({ name }) => h("button", { type: "button", class: "button preset", "data-space": name, onclick: () => {
        const shown = chosen().map((one) => one.name);
        change({ matrix: shown.includes(name) ? shown.filter((one) => one !== name) : [...shown, name] }, true, "matrix");
      } }, name)));
    }
    for (const button of choices.children) {
      button.setAttribute("aria-pressed", String(button instanceof HTMLElement && names.includes(button.dataset.space ?? "")));
    }
  }

  const askMatrices = latestOnly((signal, /** @type {object} */ body) => /** @type {Promise<Matrices>} */ (post("/passages", body, { signal })));

  async function drawMatrices() {
    if (!state.a || !state.b) return;
    const spaces = chosen();
    showChoices(spaces.map(({ name }) => name));
    const names = spaces.map(({ name }) => name);
    const key = JSON.stringify([state.a, state.b, names, state.model]);
    if (key === drawn) return;
    drawn = key;
    for (const one of matrices) one.destroy();
    matrices = [];
    fill(grid);
    if (!names.length) return;
    try {
      const record = await askMatrices({ a: recordingOf(state.a), b: recordingOf(state.b), spaces: names, model: state.model });
      if (key !== drawn) return;
      matrices = spaces.map((space) => matrixView(space, record, { play: (passages) => void play(`matrix ${space.name}`, passages), announce: app.announce }));
      fill(grid, ...matrices.map((one) => one.element));
    } catch (error) {
      if (isAbort(error) || key !== drawn) return;
      drawn = "";
      fill(grid, h("p", { class: "bad" }, error instanceof Error ? error.message : String(error)));
    }
  }

  duet.addEventListener("change", () => {
    strands.light(duet.key);
    rows.playing({ key: duet.key, ready: duet.times.length > 0 });
    stop.hidden = duet.key === null;
    now.textContent = duet.key === null ? "" : "Loading …";
  });
  duet.addEventListener("time", () => {
    const at = duet.position;
    if (at.a !== null) a.waveform.setTime(at.a);
    if (at.b !== null) b.waveform.setTime(at.b);
    rows.playing({ key: duet.key, ready: true });
    const places = [at.a === null ? "" : `A ${clock(at.a, 1)}`, at.b === null ? "" : `B ${clock(at.b, 1)}`].filter(Boolean);
    now.textContent = [...places, now.dataset.how].filter(Boolean).join(" · ");
  });
  player.addEventListener("change", () => {
    if (player.playing) duet.stop();
  });
  stop.hidden = true;

  return {
    element,
    title: "Compare · soundalike",
    leave: () => duet.stop(),
    show(params) {
      const before = `${state.a && writeSource(state.a)} ${state.b && writeSource(state.b)}`;
      state = readCompare(params);
      if (before !== `${state.a && writeSource(state.a)} ${state.b && writeSource(state.b)}`) {
        duet.stop();
        found = null;
      }
      Promise.all([a.load(state.a), b.load(state.b)]).then(show, app.fail);
      refresh();
    },
  };
}
