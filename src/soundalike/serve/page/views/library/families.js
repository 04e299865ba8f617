/**
 * Duplicates and versions: a job that finds them, and what it found as lists to hear.
 */

import { get } from "../../api.js";
import { fill, h } from "../../dom.js";
import { cancelJob, followJob, isFinished, listJobs, startJob } from "../../jobs.js";
import { counted, signed } from "../../words.js";
import { jobProgress } from "../../components/job-progress.js";
import { trackList } from "../../components/track-list.js";

/** @typedef {import("../../jobs.js").JobRecord} JobRecord */
/** @typedef {import("../../types.js").TrackRecord} TrackRecord */
/** @typedef {{title: string, files: {path: string, note: string, best: boolean}[]}} Group */

const AT_ONCE = 40;
const MOST_PATHS = 100;

const TEXTS = {
  duplicates: {
    about: "Files with the same recording. The best file of each is marked; the others can go.",
    button: "Find duplicates", none: "No recording is held more than once.",
  },
  versions: {
    about: "Other recordings of the same piece: covers, live and studio takes, arrangements.",
    button: "Find versions", none: "No piece is held in several versions.",
  },
};

/** @param {string} relation */
function toFirst(relation) {
  return relation === "contains" || relation === "part of" ? `${relation} the first` : `${relation} of the first`;
}

/**
 * @param {JobRecord} job
 * @returns {Group[]}
 */
export function groupsOf({ kind, result }) {
  /** @type {(path: string, note?: string, best?: boolean) => Group["files"][number]} */
  const file = (path, note = "", best = false) => ({ path, note, best });
  if (kind === "duplicates") {
    const groups = result.duplicates.map((/** @type {any} */ one) => ({
      title: `${counted(one.copies.length + 1, "file")} of one recording`,
      files: [file(one.best, "best file", true), ...one.copies.map((/** @type {any} */ copy) => file(copy.path, copy.reason === "added first" ? "" : `the best is ${copy.reason}`))],
    }));
    const related = result.related.map((/** @type {any} */ one) => ({ title: "They share audio", files: [file(one.a), file(one.b, toFirst(one.relation))] }));
    return [...groups, ...related];
  }
  const families = result.families.map((/** @type {any} */ one) => ({
    title: `${counted(one.versions.length, "version")} of one piece`,
    files: one.versions.flatMap((/** @type {any} */ version) => [file(version.path), ...version.copies.map((/** @type {string} */ path) => file(path, "copy"))]),
  }));
  const candidates = result.candidates.map((/** @type {any} */ one) => ({ title: `Perhaps versions, score ${signed(one.score)}`, files: [file(one.a), file(one.b)] }));
  return [...families, ...candidates];
}

/**
 * @param {import("../../main.js").App} app
 * @param {"duplicates" | "versions"} kind
 */
export function familyPanel(app, kind) {
  const texts = TEXTS[kind];
  const start = h("button", { type: "button", class: "button primary", onclick: () => void find() }, texts.button);
  const note = h("p", { class: "soft", role: "status" });
  const holder = h("div", { class: "families" });
  const more = h("button", { type: "button", class: "button", onclick: () => void grow() }, "Show more");
  const element = h("div", { class: "library-part" }, h("p", {}, texts.about), h("div", { class: "map-buttons" }, start), note, holder, more);
  const progress = jobProgress(texts.button, () => {
    if (current) cancelJob(current).catch(app.fail);
  });
  /** @type {string | null} */
  let current = null;
  /** @type {Group[]} */
  let groups = [];
  let shown = 0;
  let stop = () => {};
  /** @type {WeakMap<TrackRecord, {note: string, best: boolean, title: string | null, pair: number[]}>} */
  const rows = new WeakMap();
  /** @type {TrackRecord[]} */
  let tracks = [];
  const list = trackList(app, texts.button, {
    heading: (track) => {
      const known = rows.get(track);
      if (!known?.title) return null;
      const link = known.pair.length === 2 && h("a", { href: `/compare?a=${known.pair[0]}&b=${known.pair[1]}` }, "Compare");
      return h("span", { class: "family-head" }, known.title, link);
    },
    paths: true,
    mark: (track) => {
      const known = rows.get(track);
      return known?.note ? h("span", { class: known.best ? "mark best" : "mark" }, known.note) : null;
    },
  });
  more.hidden = true;

  async function find() {
    start.disabled = true;
    try {
      follow(await startJob({ kind }));
    } catch (error) {
      start.disabled = false;
      app.fail(error);
    }
  }

  /** @param {JobRecord} job */
  function follow(job) {
    if (current === job.id) return;
    stop();
    current = job.id;
    progress.element.querySelector("button")?.removeAttribute("disabled");
    const now = (/** @type {JobRecord} */ record) => {
      start.disabled = !isFinished(record);
      if (isFinished(record)) void show(record).catch(app.fail);
      else progress.show(record);
    };
    if (!isFinished(job)) {
      note.textContent = "";
      more.hidden = true;
      fill(holder, progress.element);
      stop = followJob(job.id, now, (error) => {
        start.disabled = false;
        app.fail(error);
      });
    }
    now(job);
  }

  /** @param {JobRecord} job */
  async function show(job) {
    fill(holder);
    if (job.state !== "done") {
      note.textContent = job.error ?? "It was cancelled.";
      return;
    }
    groups = groupsOf(job);
    shown = 0;
    tracks = [];
    const rare = kind === "versions" && job.result.expected_false === null && groups.length;
    note.textContent = groups.length ? `${counted(groups.length, "group")}.${rare ? ` With ${counted(job.result.recordings, "recording")}, pairs may be alike by chance; from 200 on, chance can be told apart.` : ""}` : texts.none;
    start.textContent = `${texts.button} again`;
    fill(holder, list.element);
    await grow();
  }

  /** Show the next groups. */
  async function grow() {
    more.disabled = true;
    const next = groups.slice(shown, shown + AT_ONCE);
    shown += next.length;
    const paths = [...new Set(next.flatMap((group) => group.files.map((one) => one.path)))];
    /** @type {Map<string, TrackRecord>} */
    const known = new Map();
    for (let at = 0; at < paths.length; at += MOST_PATHS) {
      const params = new URLSearchParams(paths.slice(at, at + MOST_PATHS).map((path) => ["path", path]));
      /** @type {import("../../types.js").TracksPage} */
      const page = await get(`/tracks?${params}`);
      for (const track of page.tracks) known.set(track.path, track);
    }
    for (const group of next) {
      const there = group.files.flatMap((one) => known.get(one.path) ?? []);
      for (const [at, track] of there.entries()) {
        const { note: text, best } = group.files.find((one) => one.path === track.path) ?? { note: "", best: false };
        // A track may be in several pairs; each row is of its own.
        const copy = { ...track };
        tracks.push(copy);
        rows.set(copy, { note: text, best, title: at ? null : group.title, pair: there.map((one) => one.id) });
      }
    }
    list.show(tracks);
    more.hidden = shown >= groups.length;
    more.disabled = false;
  }

  return {
    element,
    /** Show what was found last, or is being looked for. */
    async load() {
      const last = (await listJobs()).find((job) => job.kind === kind);
      if (last && last.id !== current) follow(isFinished(last) ? await get(`/jobs/${last.id}`) : last);
    },
  };
}
