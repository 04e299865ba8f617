/**
 * The list of results. Rows keep their identity when the order changes, and glide to their new places.
 */

import { calm, fill, h, named } from "../../dom.js";
import { address, writeValues } from "../../state.js";
import { counted } from "../../words.js";
import { legend, scaleOf } from "../../components/shares.js";
import { resultRow } from "./row.js";

/** @typedef {import("../../types.js").SearchRecord} SearchRecord */
/** @typedef {import("../../types.js").SearchMatch} SearchMatch */
/** @typedef {import("./row.js").RowContext} RowContext */

const GLIDE = { duration: 220, easing: "cubic-bezier(.2, .7, .2, 1)" };

/** @param {SearchMatch} match */
function keyOf(match) {
  return match.id === null ? match.path : String(match.id);
}

/**
 * What was compared, in a sentence.
 * @param {SearchRecord} found
 */
export function summary(found) {
  const level = found.query.level === "track" ? "as whole tracks" : "by passages of 10 s";
  const { stem, separator } = found.query;
  return `${counted(found.query.searched, "track")} compared ${level}${stem === null ? "" : ` with the ${stem} by ${separator}`}`;
}

/**
 * Where the map marks what was found.
 * @param {SearchRecord} found
 */
export function onMap({ matches, weights, models }) {
  const params = new URLSearchParams({ hits: matches.flatMap(({ id }) => id ?? []).join(",") });
  // The map weighs every space of one model the same, too, when nothing else is asked for.
  if (models.length > 1 || new Set(Object.values(weights)).size > 1) params.set("w", writeValues(weights));
  params.set("model", models[0]);
  return address("/map", params);
}

/**
 * @param {import("./row.js").RowEvents & {more: () => void}} events
 */
export function resultList(events) {
  const heading = h("h2", {}, "Sounds alike");
  const about = h("p", { class: "soft results-about" });
  const map = h("a", { class: "results-map" }, "Show on the map");
  const key = h("div", { class: "results-legend" });
  const notes = h("div", { class: "results-notes" });
  const message = h("div", { class: "results-empty card" });
  const list = h("ol", { class: "results-list card" });
  const more = h("button", { type: "button", class: "button", onclick: events.more }, "Show more");
  const element = h("section", { class: "results", "aria-label": "Results" },
    h("div", { class: "results-head" }, heading, about, map, key), notes, message, list, more);
  list.addEventListener("keydown", (event) => {
    // The arrow keys go from one Play button to the next.
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const plays = [...list.querySelectorAll(".row-play")];
    const at = event.target instanceof Element ? plays.indexOf(event.target) : -1;
    const next = step && at >= 0 ? plays[at + step] : null;
    if (!(next instanceof HTMLElement)) return;
    event.preventDefault();
    next.focus();
  });
  message.hidden = true;
  map.hidden = more.hidden = true;
  list.hidden = true;
  /** @type {Map<string, ReturnType<typeof resultRow>>} */
  let rows = new Map();
  let legendKey = "";

  /** @param {SearchMatch[]} matches @param {RowContext} context */
  function place(matches, context) {
    const before = calm() ? null : new Map([...rows].map(([name, row]) => [name, row.element.getBoundingClientRect().top]));
    /** @type {typeof rows} */
    const next = new Map();
    for (const match of matches) {
      const name = keyOf(match);
      const row = rows.get(name) ?? resultRow(events);
      row.update(match, context);
      next.set(name, row);
    }
    for (const [name, row] of rows) if (!next.has(name)) row.element.remove();
    let at = 0;
    for (const row of next.values()) {
      // Moving only what is out of place keeps the focus where it is.
      const there = list.children[at];
      if (there !== row.element) {
        const focused = row.element.contains(document.activeElement) ? document.activeElement : null;
        list.insertBefore(row.element, there ?? null);
        if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
      }
      at += 1;
    }
    const known = rows;
    rows = next;
    if (before && known.size) glide(before);
  }

  /** @param {Map<string, number>} before Where rows were. */
  function glide(before) {
    const moves = [...rows].map(([name, row]) => ({ row: row.element, was: before.get(name) }));
    for (const { row } of moves) for (const animation of row.getAnimations()) animation.cancel();
    const tops = moves.map(({ row }) => row.getBoundingClientRect().top);
    for (const [at, { row, was }] of moves.entries()) {
      if (was === undefined) row.animate({ opacity: [0, 1] }, GLIDE);
      else if (Math.abs(was - tops[at]) > 1) row.animate({ transform: [`translateY(${was - tops[at]}px)`, "none"] }, GLIDE);
    }
  }

  /** @param {SearchRecord} found */
  function remarks(found) {
    /** @type {(Node | string)[][]} */
    const parts = found.warnings.map((one) => [named(one.path), `: ${one.warning}`]);
    if (found.missing.length) parts.push([`${counted(found.missing.length, "file")} of the library cannot be found.`]);
    if (found.corrupt.length) parts.push([`${counted(found.corrupt.length, "track")} left out: their data is damaged.`]);
    for (const [model, tracks] of Object.entries(found.not_encoded)) parts.push([`${counted(tracks, "track")} left out: not encoded by ${model}.`]);
    if (found.absent_folders.length) parts.push(["Folders that are not there now: ", ...found.absent_folders.flatMap((path) => [named(path), " "])]);
    if (found.copies.length) parts.push([`${counted(found.copies.length, "copy", "copies")} of the query left out.`]);
    fill(notes, ...parts.map((part) => h("p", { class: "field-note" }, ...part)));
  }

  return {
    element,
    /**
     * @param {SearchRecord} found
     * @param {Omit<RowContext, "scale" | "level" | "stem">} context
     * @param {boolean} canGrow Whether there may be more.
     */
    show(found, context, canGrow) {
      const scale = scaleOf(found.matches.map((match) => Object.values(match.spaces).map((one) => one.share)));
      list.setAttribute("aria-busy", "false");
      about.textContent = summary(found);
      map.href = onMap(found);
      const spaces = context.spaces.map((space) => space.name).join();
      if (spaces !== legendKey) fill(key, legend(context.spaces));
      legendKey = spaces;
      remarks(found);
      place(found.matches, { ...context, scale, level: found.query.level, stem: found.query.stem });
      list.hidden = map.hidden = !found.matches.length;
      message.hidden = found.matches.length > 0;
      if (!found.matches.length) fill(message, h("p", {}, "No track meets all conditions. Loosen the filters under “Where to look”."));
      more.hidden = !canGrow;
    },
    /**
     * Show why there are no results.
     * @param {...(Node | string)} children
     */
    explain(...children) {
      place([], /** @type {RowContext} */ ({}));
      list.hidden = more.hidden = map.hidden = true;
      message.hidden = false;
      about.textContent = "";
      fill(notes);
      fill(message, ...children);
    },
    busy() {
      list.setAttribute("aria-busy", "true");
      if (!rows.size) {
        message.hidden = false;
        fill(message, h("p", { class: "soft" }, "Comparing …"));
      }
    },
    refresh() {
      for (const row of rows.values()) row.refresh();
    },
  };
}
