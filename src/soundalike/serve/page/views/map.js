/**
 * The Map view: all tracks in two dimensions, near to each other if they sound alike by the weights. Its state is the
 * address (see map/state.js). The server makes the map as a job, which this view follows.
 */

import { ApiError, get, isAbort, post } from "../api.js";
import { fill, h, named } from "../dom.js";
import { cancelJob, followJob, isFinished, startJob } from "../jobs.js";
import { trackSound } from "../sound.js";
import { otherSpaces, searchSpaces } from "../spaces.js";
import { cssColour } from "../theme.js";
import { counted, facts, titleOf } from "../words.js";
import { jobProgress } from "../components/job-progress.js";
import { trackList } from "../components/track-list.js";
import { colourBy, colourByCloseness, legendText, rgb } from "./map/colours.js";
import { mapControls } from "./map/controls.js";
import { selectionPanel, tracksOf } from "./map/selection.js";
import { mapStage } from "./map/stage.js";
import { FIELDS, mapRequest, readMap, readPoints, writeMap } from "./map/state.js";
import { weightPanel } from "./search/weights.js";

/** @typedef {import("./map/state.js").MapState} MapState */
/** @typedef {import("./map/colours.js").Colouring} Colouring */
/** @typedef {import("../jobs.js").JobRecord} JobRecord */
/** @typedef {import("../types.js").TrackRecord} TrackRecord */

/** Milliseconds for which a point is pointed at before it is heard. */
const PAUSE = 300;
const CLOSEST = 1000;

/**
 * @param {import("../main.js").App} app
 * @returns {import("../main.js").View}
 */
export function createView(app) {
  const { library, player } = app;
  let state = readMap(new URLSearchParams());
  let asked = "";
  let coloured = "";
  /** @type {number[]} */
  let ids = [];
  /** The place of every track. @type {Map<number, number>} */
  let places = new Map();
  /** @type {Colouring} */
  let colouring = { codes: new Uint8Array(), groups: [] };
  /** @type {Set<string>} */
  const hidden = new Set();
  /** @type {Set<number>} */
  let picked = new Set();
  /** @type {Map<string, Promise<Map<number, string | number | null>>>} */
  const columns = new Map();
  /** @type {Map<number, Promise<TrackRecord>>} */
  const records = new Map();
  /** @type {{id: string, stop: () => void} | null} */
  let job = null;
  let hovering = 0;

  const weights = weightPanel(library.presets, (values, done, name) => {
    if (done) change({ weights: values }, `weight ${name}`);
  });
  const controls = mapControls(library, {
    change,
    fit: () => stage?.fit(),
    zoom: (factor) => stage?.zoom(factor),
    lasso: (wanted) => {
      stage?.setLasso(wanted);
      if (wanted) stage?.canvas.focus();
    },
    inSight: () => stage && select(stage.inSight()),
    toggle: (name, wanted) => {
      if (wanted) hidden.delete(name);
      else hidden.add(name);
      paint();
    },
  });
  const progress = jobProgress("Making the map", () => {
    if (job) cancelJob(job.id).catch(app.fail);
  });
  const status = h("div", { class: "map-status", role: "status" });
  const selection = selectionPanel(app, () => select([]));
  const stage = makeStage();
  const fallback = trackList(app, "Tracks");
  const holder = h("div", { class: "map-holder card" }, stage?.element, status);
  const main = h("div", { class: "map-main" }, controls.bar, holder, controls.legend, selection.element);
  const aside = h("aside", { class: "controls card", "aria-label": "Map settings" }, weights.element, controls.settings);
  const element = h("div", { class: "map" }, h("h1", { class: "unseen" }, "Map of the library"), h("div", { class: "work" }, main, aside));

  function makeStage() {
    try {
      return mapStage({
        pointed, pressed, lassoed: select, lassoing: controls.lassoing,
        picked: (index) => {
          const next = new Set(picked);
          if (!next.delete(index)) next.add(index);
          select([...next]);
          app.announce(next.has(index) ? "selected" : "no longer selected");
        },
        rested: (at) => change({ at }, "camera"),
      });
    } catch {
      return null;
    }
  }

  /**
   * @param {Partial<MapState>} part
   * @param {string} [name] Steps in a row with the same name are one step of the back button.
   */
  function change(part, name) {
    state = { ...state, ...part };
    app.go("/map", writeMap(state), { merge: name });
  }

  function refresh() {
    const spaces = searchSpaces(library, state.model, state.weights);
    weights.show(spaces, state.weights, otherSpaces(library, state.model));
    controls.show(state, spaces);
    stage?.setCamera(state.at);
    const request = mapRequest(state);
    const key = JSON.stringify(request);
    if (key !== asked) {
      asked = key;
      if (!stage) void list();
      else if (!library.tracks) say("The library is empty. Add a folder in the Library view.");
      else if (request) void make(request);
      else say("No space has a weight above 0, so nothing brings tracks together. Move a slider to the right.");
    }
    void colour();
    marks();
  }

  /** @param {string | Node | null} what Null takes away what is said. */
  function say(what) {
    fill(status, typeof what === "string" ? h("p", {}, what) : what);
    status.hidden = what === null;
  }

  /** @param {object} request */
  async function make(request) {
    const key = asked;
    drop();
    try {
      const record = await startJob(request);
      if (key !== asked) return;
      job = { id: record.id, stop: () => {} };
      if (isFinished(record)) {
        finished(record);
        return;
      }
      progress.element.querySelector("button")?.removeAttribute("disabled");
      progress.show(record);
      say(progress.element);
      job.stop = followJob(record.id, (now) => (isFinished(now) ? finished(now) : progress.show(now)), failed);
    } catch (error) {
      if (key === asked) failed(error);
    }
  }

  /** Give up the map that is being made. */
  function drop() {
    if (!job) return;
    job.stop();
    if (status.contains(progress.element)) cancelJob(job.id).catch(() => {});
    job = null;
  }

  /** @param {unknown} error */
  function failed(error) {
    asked = "";
    job = null;
    say(error instanceof Error ? error.message : String(error));
  }

  /** @param {JobRecord} record */
  function finished(record) {
    if (job?.id !== record.id) return;
    if (record.state === "done") {
      void load(record).catch(failed);
      return;
    }
    const again = h("button", { type: "button", class: "button", onclick: () => {
      asked = "";
      refresh();
    } }, "Make it");
    say(h("div", {}, h("p", {}, record.error ?? "The map was cancelled."), again));
    job = null;
  }

  /** @param {JobRecord} record */
  async function load(record) {
    const answer = await fetch(`/api/v1/jobs/${record.id}/map`);
    if (!answer.ok) throw new ApiError("the map is no longer there; move a slider to make it again", answer.status);
    const found = readPoints(await answer.arrayBuffer());
    if (job?.id !== record.id || !stage) return;
    ids = found.ids;
    places = new Map(ids.map((id, at) => [id, at]));
    stage.setPlaces(found.xy);
    stage.setCamera(state.at);
    picked = new Set(state.picked.flatMap((id) => places.get(id) ?? []));
    coloured = "";
    columns.clear();
    say(ids.length ? null : "No track can be shown: none matches the condition, or all are silent.");
    const { method, left_out: out } = record.result;
    controls.about(`${counted(ids.length, "track")}, ${method === "umap" ? "UMAP" : "principal components"}${out ? `; ${counted(out, "track")} without sound left out` : ""}`);
    stage.canvas.setAttribute("aria-label", `Map of ${counted(ids.length, "track")}. Arrow keys go from track to track, Enter plays, Space selects.`);
    void selection.show([...picked].map((at) => ids[at]));
    await colour();
    marks();
  }

  /** @param {string} field */
  function column(field) {
    let asking = columns.get(field);
    if (!asking) {
      asking = get(`/track-columns?field=${field}`).then((/** @type {any} */ answer) => {
        /** @type {(string | number | null)[]} */
        const values = answer.fields[field];
        return new Map(values.map((value, at) => [answer.ids[at], value]));
      });
      columns.set(field, asking);
      asking.catch(() => columns.delete(field));
    }
    return asking;
  }

  /** Bring the colours in line with the state. */
  async function colour() {
    const key = JSON.stringify([state.colour, state.near, state.model]);
    if (!ids.length || key === coloured) return;
    coloured = key;
    try {
      const found = state.colour.startsWith("space:") ? await closeness(state.colour.slice(6)) : await byField(state.colour);
      if (key !== coloured || found.colouring.codes.length !== ids.length) return;
      colouring = found.colouring;
      hidden.clear();
      controls.colours(found.field, colouring.groups, found.note);
      stage?.points.setGroups(colouring.codes);
      paint();
    } catch (error) {
      if (key === coloured) coloured = "";
      app.fail(error);
    }
  }

  /** @param {string} wanted "" chooses. */
  async function byField(wanted) {
    const values = async (/** @type {string} */ name) => {
      const known = await column(name);
      return ids.map((id) => known.get(id) ?? null);
    };
    let field = wanted || FIELDS[0];
    let found = await values(field);
    if (!wanted && found.every((one) => one === null)) {
      field = "key";
      found = await values(field);
    }
    return { field, colouring: colourBy(field, found), note: [] };
  }

  /** @param {string} name */
  async function closeness(name) {
    const tone = searchSpaces(library, state.model, state.weights).find((space) => space.name === name)?.colour ?? "#2f7fd6";
    /** @type {Map<number, number>} */
    const percentiles = new Map();
    /** @type {(Node | string)[]} */
    let note = [`Press a track: the others are coloured by how close they are to it in ${name}.`];
    if (state.near !== null) {
      const body = { query: { track: state.near }, weights: { [name]: 1 }, k: CLOSEST, by: "track", include_self: true, model: state.model };
      /** @type {import("../types.js").SearchRecord} */
      const answer = await post("/search", body);
      for (const match of answer.matches) {
        const percentile = match.spaces[name]?.percentile;
        if (match.id !== null && percentile != null) percentiles.set(match.id, percentile);
      }
      const near = await record(state.near);
      note = ["How close tracks are to “", named(titleOf(near)), `” in ${name}, the closest ${CLOSEST} at most.`];
    }
    return { field: `space:${name}`, colouring: colourByCloseness(ids, percentiles, tone), note };
  }

  function paint() {
    if (!stage) return;
    const off = colouring.groups.map(({ name }) => hidden.has(name));
    stage.points.setPalette(colouring.groups.map(({ colour: own }, at) => ({ colour: rgb(own), hidden: off[at] })), rgb(cssColour("--ink")));
    stage.setVisible((at) => !off[colouring.codes[at]]);
    controls.legend.setAttribute("aria-label", `Colours: ${legendText(colouring.groups)}`);
  }

  function marks() {
    if (!stage || !ids.length) return;
    const near = state.colour.startsWith("space:") && state.near !== null ? [state.near] : [];
    stage.points.setMarks([...picked, ...[...state.hits, ...near].flatMap((id) => places.get(id) ?? [])]);
    stage.redraw();
  }

  /** @param {number[]} indices */
  function select(indices) {
    picked = new Set(indices);
    const chosen = indices.map((at) => ids[at]);
    void selection.show(chosen);
    app.announce(chosen.length ? `${counted(chosen.length, "track")} selected` : "nothing is selected");
    change({ picked: chosen });
    marks();
  }

  /** @param {number} id */
  function record(id) {
    let asking = records.get(id);
    if (!asking) {
      asking = tracksOf([id]).then(([found]) => {
        if (!found) throw new ApiError(`the library no longer holds track ${id}; reload the page`, 404);
        return found;
      });
      records.set(id, asking);
      asking.catch(() => records.delete(id));
    }
    return asking;
  }

  /** @param {number | null} index */
  function pointed(index) {
    clearTimeout(hovering);
    if (index === null) return;
    const id = ids[index];
    record(id).then((track) => {
      const about = [track.artist, track.genre, track.year, facts(track)];
      stage?.name(index, titleOf(track), about);
      if (document.activeElement === stage?.canvas) app.announce([titleOf(track), ...about].filter(Boolean).join(", "));
    }, app.fail);
    if (controls.hears()) hovering = setTimeout(() => void play(index), PAUSE);
  }

  /** @param {number} index */
  async function play(index) {
    try {
      const track = await record(ids[index]);
      const sound = trackSound(track);
      if (player.sound?.key === sound.key && player.playing) return;
      // The middle says more than an intro.
      await player.play(sound, { start: sound.duration > 40 ? sound.duration / 3 : 0 });
    } catch (error) {
      app.fail(error);
    }
  }

  /** @param {number} index */
  function pressed(index) {
    clearTimeout(hovering);
    if (state.colour.startsWith("space:")) change({ near: ids[index] }, "near");
    if (player.sound?.key === `track/${ids[index]}`) void player.toggle();
    else void play(index);
  }

  /** Without WebGL, the tracks are listed. */
  async function list() {
    fill(holder, h("p", { class: "map-none" }, "This browser cannot draw the map, because it has no WebGL 2. These are the tracks; Search finds what sounds like them."), fallback.element);
    try {
      /** @type {import("../types.js").TracksPage} */
      const page = await get(`/tracks?limit=200${state.where ? `&where=${encodeURIComponent(state.where)}` : ""}`);
      fallback.show(page.tracks);
    } catch (error) {
      if (!isAbort(error)) app.fail(error);
    }
  }

  document.addEventListener("themechange", paint);

  return {
    element,
    title: "Map · soundalike",
    leave: () => clearTimeout(hovering),
    show(params) {
      state = readMap(params);
      if (ids.length) {
        const wanted = state.picked.flatMap((id) => places.get(id) ?? []);
        // A selection that is too large for the address stays until another one is made.
        if (wanted.length && wanted.join() !== [...picked].join()) {
          picked = new Set(wanted);
          void selection.show(state.picked);
        }
      }
      refresh();
    },
  };
}
