/**
 * The Search view: a query, weights and filters, and what sounds alike. Its state is the address (see state.js): every
 * change goes there first, and `show` brings the page in line with it.
 */

import { ApiError, get, isAbort, newestWins, post } from "../api.js";
import { fill, h, iconButton, named } from "../dom.js";
import { across, lineOf, trackSound } from "../sound.js";
import { otherSpaces, searchSpaces } from "../spaces.js";
import { MATCHES, readSearch, searchRequest, writeSearch } from "../state.js";
import { counted, titleOf } from "../words.js";
import { isNotSeparated, separate } from "../components/separation.js";
import { filterPanel } from "./search/filters.js";
import { queryCard } from "./search/query.js";
import { startScreen } from "./search/start.js";
import { resultList } from "./search/results.js";
import { weightPanel } from "./search/weights.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../state.js").SearchState} SearchState */
/** @typedef {import("../types.js").SearchMatch} SearchMatch */
/** @typedef {import("../types.js").SearchRecord} SearchRecord */
/** @typedef {NonNullable<ReturnType<typeof searchRequest>>} Request */

const MOST = 200;

/**
 * @param {App} app
 * @returns {import("../main.js").View}
 */
export function createView(app) {
  const { library, player, playlist } = app;
  let state = readSearch(new URLSearchParams());
  let asked = "";
  let loaded = "";
  /** @type {SearchRecord | null} */
  let found = null;
  let choosing = false;
  let absent = false;
  /** @type {Map<number, string>} */
  const titles = new Map();
  /** Jobs that separate tracks. @type {Map<string, Promise<void>>} */
  const separating = new Map();
  /** @type {Map<string, Promise<import("../types.js").ComparisonRecord>>} */
  const alignments = new Map();

  const card = queryCard(app, { region: setRegion, stem: setStem });
  const weights = weightPanel(library.presets, (values, done, name) => {
    change({ weights: values }, done, `weight ${name}`);
  });
  const filters = filterPanel(library, (part, name) => change(part, true, name));
  const results = resultList({
    play: playMatch, swap: (match, button) => void swapMatch(match, button), rate, collect, comparison,
    more: () => change({ k: Math.min(MOST, state.k + MATCHES) }, true, "k"),
  });
  const examples = h("div", { class: "examples-held", role: "group", "aria-label": "Further examples" });
  const start = startScreen(app, choose);
  const aside = h("aside", { class: "controls card", "aria-label": "Search settings" }, weights.element, filters.element);
  const work = h("div", { class: "work" }, aside, h("div", { class: "found" }, examples, results.element));
  const element = h("div", { class: "search" }, start.element, card.element, work);

  const search = newestWins(
    (/** @type {Request} */ request) => /** @type {Promise<SearchRecord>} */ (post("/search", request)),
    (answer) => showFound(answer),
    (error, request) => void showFailure(error, request),
  );
  /** @type {import("../types.js").SeparatorRecord[]} */
  let separators = [];

  /**
   * Change the state, search, and write it to the address once it rests.
   * @param {Partial<SearchState>} part
   * @param {boolean} done
   * @param {string} name
   */
  function change(part, done, name) {
    state = { ...state, ...part };
    if (done) app.go("/", writeSearch(state), { merge: name });
    refresh();
  }

  /** @param {{track: number | null, upload: string | null}} source */
  function choose(source) {
    choosing = false;
    change({ ...source, start: null, end: null, like: [], unlike: [], stem: null, k: MATCHES }, true, "query");
    void load();
  }

  /**
   * @param {{start: number, end: number} | null} region
   * @param {boolean} done
   */
  function setRegion(region, done) {
    if (done) card.mark(region);
    change({ start: region?.start ?? null, end: region?.end ?? null }, done, "region");
  }

  /** @param {string | null} stem */
  function setStem(stem) {
    const without = { like: [], unlike: [], otherArtists: false, collapse: false };
    change({ stem, k: MATCHES, ...(stem === null ? {} : without) }, true, "stem");
  }

  async function learnSeparators() {
    try {
      separators = await get("/separators");
      layout();
    } catch (error) {
      app.fail(error);
    }
  }

  function shownSpaces() {
    return searchSpaces(library, state.model, state.weights, state.atLeast, state.atMost);
  }

  /** @param {Record<string, number> | null} values */
  function showWeights(values) {
    weights.show(shownSpaces(), values, otherSpaces(library, state.model));
  }

  /** Ask for what the state says, unless that was asked last. */
  function refresh() {
    layout();
    const spaces = shownSpaces();
    // Those that suit a stem come with the answer.
    if (!state.stem || state.weights || !found?.query.stem) showWeights(state.weights);
    filters.show(spaces, state);
    showExamples();
    const request = searchRequest(state);
    const key = JSON.stringify(request);
    if (key === asked) return;
    asked = key;
    if (!request) {
      search.drop();
      if (state.weights) results.explain(h("p", {}, "Every weight is 0, so nothing counts. Move a slider, or choose a preset."));
      return;
    }
    results.busy();
    search.ask(request);
  }

  /** @param {SearchRecord} answer */
  function showFound(answer) {
    found = answer;
    filters.complain(null);
    // Without weights, those that suit the stem count.
    if (answer.query.stem !== null && state.weights === null) showWeights(answer.weights);
    for (const match of answer.matches) if (match.id !== null) titles.set(match.id, titleOf(match));
    results.show(answer, { spaces: shownSpaces(), status }, answer.matches.length >= state.k && state.k < MOST);
    const [first] = answer.matches;
    app.announce(first ? `${counted(answer.matches.length, "result")}, first ${titleOf(first)}` : "No results");
  }

  /**
   * Separate the track of a request, and ask again unless something else was asked meanwhile.
   * @param {Request & {separator: string}} request
   */
  async function separateFor(request) {
    const key = JSON.stringify(request);
    const name = `${request.separator}/${state.track}`;
    try {
      let job = separating.get(name);
      if (!job) {
        job = separate(request.separator, [state.track], (progress) => {
          if (key === asked) results.explain(progress);
        }, app.fail);
        separating.set(name, job);
      }
      await job;
      if (key === asked) search.ask(request);
    } catch (error) {
      if (key === asked) void showFailure(error, request);
    } finally {
      separating.delete(name);
    }
  }

  /**
   * @param {unknown} error
   * @param {Request} request
   */
  function showFailure(error, request) {
    if (isAbort(error)) return;
    if (isNotSeparated(error) && "separator" in request) {
      void separateFor(request);
      return;
    }
    const reason = error instanceof Error ? error.message : String(error);
    asked = "";
    if (reason.startsWith("in the condition")) {
      filters.complain(reason);
      results.explain(h("p", {}, "The condition under “Where to look” is not understood: "), h("p", { class: "bad" }, reason));
    } else {
      results.explain(h("p", { class: "bad" }, reason));
    }
  }

  /** @param {SearchMatch} match */
  function status(match) {
    const id = match.id ?? 0;
    const key = `track/${id}`;
    const own = player.sound?.key === key;
    return {
      playing: own && player.playing,
      paired: player.line !== null && player.sounds.b?.key === key,
      liked: state.like.includes(id),
      unliked: state.unlike.includes(id),
      collected: playlist.has(id),
    };
  }

  /** @param {SearchMatch} match */
  function playMatch(match) {
    if (player.sound?.key === `track/${match.id}`) void player.toggle();
    else void player.play(trackSound(match), { start: found?.query.level === "passage" ? match.start : 0 });
  }

  /**
   * Go from the query to a match, or back, at the same beat.
   * @param {SearchMatch} match
   * @param {HTMLButtonElement} button
   */
  async function swapMatch(match, button) {
    const { sound } = card;
    if (!sound || match.id === null || !found) return;
    const own = trackSound(match);
    if (player.line && player.sounds.b?.key === own.key) {
      await player.swap();
      return;
    }
    button.setAttribute("aria-busy", "true");
    try {
      const line = await align(match, match.id, found);
      const heard = player.playing ? player.sound?.key : null;
      const time = player.time;
      if (heard === own.key) await player.pair(sound, own, line, { side: "a", time: across(line, "b", time) });
      else if (heard === sound.key) await player.pair(sound, own, line, { side: "b", time: across(line, "a", time) });
      else await player.pair(sound, own, line);
    } catch (error) {
      app.fail(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  /**
   * @param {SearchMatch} match
   * @param {number} id
   * @param {SearchRecord} answer
   */
  async function align(match, id, answer) {
    const query = searchRequest(state)?.query;
    const a = { ...query, start: answer.query.start, end: answer.query.end };
    const b = { track: id, start: match.start, end: match.end };
    const weights = searchRequest(state)?.weights ?? null;
    const key = JSON.stringify([a, b, weights, state.model]);
    let asking = alignments.get(key);
    if (!asking) {
      asking = post("/compare", { a, b, weights, align: true, model: state.model });
      alignments.set(key, asking);
      asking.catch(() => alignments.delete(key));
    }
    return lineOf(await asking);
  }

  /**
   * Add a match to the examples, or take it away if it is one.
   * @param {SearchMatch} match
   * @param {boolean} like
   */
  function rate(match, like) {
    if (match.id === null) return;
    const [to, from] = like ? [state.like, state.unlike] : [state.unlike, state.like];
    const next = to.includes(match.id) ? to.filter((id) => id !== match.id) : [...to, match.id];
    const rest = from.filter((id) => id !== match.id);
    change(like ? { like: next, unlike: rest } : { unlike: next, like: rest }, true, "rate");
    results.refresh();
  }

  /** @param {SearchMatch} match */
  function collect(match) {
    if (match.id === null) return;
    if (playlist.has(match.id)) playlist.remove(match.id);
    else playlist.add([{ id: match.id, title: titleOf(match), artist: match.artist ?? "" }]);
  }

  /** @param {SearchMatch} match */
  function comparison(match) {
    const params = new URLSearchParams();
    if (state.track !== null) params.set("a", String(state.track));
    else if (state.upload) params.set("a", `u:${state.upload}`);
    params.set("b", String(match.id));
    const w = writeSearch(state).get("w");
    if (w !== null) params.set("w", w);
    return params;
  }

  /** Name the liked and disliked tracks, each with a way to take it back. */
  function showExamples() {
    const held = [...state.like.map((id) => ({ id, like: true })), ...state.unlike.map((id) => ({ id, like: false }))];
    examples.hidden = !held.length;
    fill(
      examples,
      ...held.map(({ id, like }) => {
        const name = titles.get(id) ?? `track ${id}`;
        if (!titles.has(id)) void learn(id);
        const take = () => change({ like: state.like.filter((one) => one !== id), unlike: state.unlike.filter((one) => one !== id) }, true, "rate");
        return h("span", { class: "held" }, like ? "like " : "unlike ", named(name), iconButton("remove", `Take back ${name}`, { onclick: take }));
      }),
    );
  }

  /** @param {number} id */
  async function learn(id) {
    titles.set(id, `track ${id}`);
    try {
      /** @type {import("../types.js").TrackDetails} */
      const details = await get(`/tracks/${id}`);
      titles.set(id, titleOf(details.track));
      showExamples();
    } catch (error) {
      app.fail(error);
    }
  }

  function layout() {
    const chosen = !absent && (state.track !== null || state.upload !== null);
    start.show(chosen ? (choosing ? "again" : "hidden") : absent ? "absent" : "first");
    card.element.hidden = work.hidden = !chosen;
    card.showStems(separators, state.stem, state.track !== null);
    card.change.setAttribute("aria-expanded", String(choosing));
  }

  /** Load the query, if it is another one. */
  async function load() {
    const key = `${state.track}/${state.upload}`;
    if (key === loaded) return;
    loaded = key;
    absent = false;
    if (state.track === null && state.upload === null) return;
    try {
      await card.load(state);
    } catch (error) {
      if (key !== loaded) return;
      loaded = "";
      absent = error instanceof ApiError && error.status === 404;
      if (absent) layout();
      else app.fail(error);
    }
  }

  card.change.addEventListener("click", () => {
    choosing = !choosing;
    layout();
    if (choosing) start.element.querySelector("input")?.focus();
  });
  void learnSeparators();
  player.addEventListener("change", () => results.refresh());
  playlist.addEventListener("change", () => results.refresh());

  return {
    element,
    title: "Search · soundalike",
    show(params) {
      state = readSearch(params);
      choosing = false;
      card.mark(state.start === null || state.end === null ? null : { start: state.start, end: state.end });
      void load();
      refresh();
    },
  };
}
