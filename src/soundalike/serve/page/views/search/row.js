/**
 * One result: what it is, why it is here, and what to do with it. A row is made once and updated in place.
 */

import { dotted, fill, freshId, h, icon, iconButton, named, tint } from "../../dom.js";
import { againstQuery } from "../../spaces.js";
import { address } from "../../state.js";
import { clock, closer, facts, fileName, percent, signed, spaceInWords, titleOf, toFit, toMeet } from "../../words.js";
import { radar } from "../../components/radar.js";
import { shareBar } from "../../components/shares.js";

/** @typedef {import("../../types.js").SearchMatch} SearchMatch */
/** @typedef {import("../../types.js").SpaceInfo} SpaceInfo */
/** @typedef {import("../../components/shares.js").Scale} Scale */

/**
 * What a person can do with a result.
 * @typedef {object} RowEvents
 * @property {(match: SearchMatch) => void} play
 * @property {(match: SearchMatch, button: HTMLButtonElement) => void} swap
 * @property {(match: SearchMatch, like: boolean) => void} rate
 * @property {(match: SearchMatch) => void} collect
 * @property {(match: SearchMatch) => URLSearchParams} comparison
 */

/**
 * What a row shows besides its match.
 * @typedef {object} RowContext
 * @property {SpaceInfo[]} spaces
 * @property {Scale} scale
 * @property {"track" | "passage"} level
 * @property {string | null} stem The stem that was searched with.
 * @property {(match: SearchMatch) => {playing: boolean, paired: boolean, liked: boolean, unliked: boolean,
 *   collected: boolean}} status
 */

/**
 * What a result is to the query, as people say it.
 * @param {string | null} relation
 */
function relationName(relation) {
  return relation ? relation.replaceAll("_", " ").replaceAll("-", " ") : "";
}

/**
 * @param {RowEvents} events
 */
export function resultRow(events) {
  const detailsId = freshId("why");
  /** @type {SearchMatch} */
  let match;
  /** @type {RowContext} */
  let context;
  let open = false;

  const rank = h("span", { class: "rank number" });
  const play = iconButton("play", "Play", { class: "primary row-play", onclick: () => events.play(match) });
  const title = h("div", { class: "title" });
  const about = h("div", { class: "meta soft" });
  const meeting = h("div", { class: "meta soft" });
  const chart = radar();
  const bar = shareBar();
  const score = h("span", { class: "score number" });
  const chips = h("ul", { class: "chips" });
  const pair = h("button", { type: "button", class: "button ab", onclick: () => events.swap(match, pair) }, "A/B");
  const like = iconButton("up", "More like this", { onclick: () => events.rate(match, true) });
  const unlike = iconButton("down", "Less like this", { onclick: () => events.rate(match, false) });
  const add = iconButton("add", "Add to the playlist", { onclick: () => events.collect(match) });
  const more = iconButton("more", "Why", { class: "row-more", "aria-expanded": "false", "aria-controls": detailsId, onclick: () => expand(!open) });
  const details = h("div", { id: detailsId, class: "why" });
  const element = h(
    "li", { class: "result" },
    rank, play,
    h("div", { class: "names" }, title, about, meeting),
    h("div", { class: "chart" }, chart.element),
    h("div", { class: "shares" }, bar.element, score, chips),
    h("div", { class: "actions" }, pair, like, unlike, add, more),
    details,
  );
  details.hidden = true;

  /** @param {boolean} wanted */
  function expand(wanted) {
    open = wanted;
    details.hidden = !open;
    more.setAttribute("aria-expanded", String(open));
    if (open) explain();
  }

  function explain() {
    const spaces = againstQuery(match);
    const [first] = Object.values(spaces);
    const overall = match.percentile === null || !first ? null : `All together: ${closer(match.percentile, first.percentile_source)}, score ${signed(match.score)}.`;
    const reasons = shownSpaces().map((space) => {
      const { weight, share } = match.spaces[space.name];
      const item = h("li", {}, h("span", { class: "dot" }), spaceInWords(space.name, spaces[space.name]), weight ? h("span", { class: "soft number" }, ` · share ${signed(share)}`) : null);
      tint(item, space.colour);
      return item;
    });
    const name = titleOf(match);
    const download = match.id === null ? null : h("a", { class: "button", href: `/api/v1/tracks/${match.id}/audio`, download: "" }, icon("download"), "Download");
    const copy = navigator.clipboard ? h("button", { type: "button", class: "button" }, icon("copy"), "Copy path") : null;
    copy?.addEventListener("click", async () => {
      await navigator.clipboard.writeText(match.path);
      fill(copy, icon("copy"), "Copied");
    });
    const compare = match.id === null ? null : h("a", { class: "button", href: address("/compare", events.comparison(match)), "aria-label": `Compare with ${name}` }, icon("compare"), "Compare");
    const again = match.id === null ? null : h("a", { class: "button", href: address("/", new URLSearchParams({ track: String(match.id) })), "aria-label": `Search with ${name}` }, icon("search"), "Search with it");
    fill(
      details,
      overall && h("p", {}, overall),
      match.examples.length > 1 && h("p", { class: "soft" }, "With the query alone:"),
      h("ul", { class: "reasons" }, ...reasons),
      other("Copies of it", match.copies),
      other("Other versions", match.versions ?? []),
      h("p", { class: "path soft" }, match.path),
      h("div", { class: "why-actions" }, again, compare, download, copy),
    );
  }

  function shownSpaces() {
    return context.spaces.filter(({ name }) => name in match.spaces);
  }

  /**
   * @param {string} label
   * @param {string[]} paths
   */
  function other(label, paths) {
    return paths.length ? h("p", {}, `${label}: `, ...dotted(...paths.map(fileName))) : null;
  }

  function names() {
    const name = titleOf(match);
    fill(title, named(name));
    fill(about, ...dotted(match.artist, facts(match)));
    const from = context.level === "passage" && match.start > 0.5 ? `passage from ${clock(match.start)}` : "";
    const meet = toMeet(match.stretch, match.semitones);
    const needed = context.stem === null ? meet && `to meet: ${meet}` : toFit(match.stretch, match.semitones);
    meeting.textContent = [from, relationName(match.relation), needed].filter(Boolean).join(" · ");
    const passage = context.level === "passage" ? ` from ${clock(match.start)}` : "";
    label(like, `More like ${name}`, "More like this");
    label(unlike, `Less like ${name}`, "Less like this");
    label(more, `Why ${name}`, "Why is it here?");
    label(pair, `Switch between the query and ${name} at the same beat`, "Switch between query and match at the same beat");
    play.dataset.passage = passage;
  }

  /**
   * @param {HTMLElement} button
   * @param {string} name
   * @param {string} tip
   */
  function label(button, name, tip) {
    button.setAttribute("aria-label", name);
    button.title = tip;
  }

  function numbers() {
    const axes = shownSpaces();
    const spaces = againstQuery(match);
    rank.textContent = String(match.rank);
    score.textContent = signed(match.score);
    score.title = "Score: 0 is an average pair, 1 is one standard deviation more alike";
    chart.update(axes.map(({ name, colour }) => ({ name, colour, percentile: spaces[name].percentile, weight: match.spaces[name].weight })));
    bar.update(axes.map(({ name, colour }) => ({ name, colour, share: match.spaces[name].share })), context.scale);
    // Many spaces do not fit beside the bar: those that say most are shown, and the rest in "Why".
    const shown = [...axes].sort((a, b) => Math.abs(match.spaces[b.name].share) - Math.abs(match.spaces[a.name].share)).slice(0, 4);
    fill(
      chips,
      ...axes.filter((space) => shown.includes(space)).map(({ name, colour }) => {
        const one = spaces[name];
        const chip = h("li", { class: match.spaces[name].weight ? "chip" : "chip off", title: spaceInWords(name, one) }, h("span", { class: "dot" }), h("span", { class: "chip-name" }, name), h("span", { class: "number" }, one.audible ? percent(one.percentile) : "n/a"));
        tint(chip, colour);
        return chip;
      }),
    );
  }

  /** What the player, the playlist and the rest of the search say about this track. */
  function refresh() {
    const now = context.status(match);
    const name = titleOf(match);
    const verb = now.playing ? "Pause" : "Play";
    if (play.dataset.verb !== verb) fill(play, icon(now.playing ? "pause" : "play"));
    play.dataset.verb = verb;
    label(play, `${verb} ${name}${now.playing ? "" : play.dataset.passage}`, verb);
    element.classList.toggle("current", now.playing || now.paired);
    pair.setAttribute("aria-pressed", String(now.paired));
    like.setAttribute("aria-pressed", String(now.liked));
    unlike.setAttribute("aria-pressed", String(now.unliked));
    if (add.getAttribute("aria-pressed") !== String(now.collected)) fill(add, icon(now.collected ? "check" : "add"));
    add.setAttribute("aria-pressed", String(now.collected));
    label(add, now.collected ? `Remove ${name} from the playlist` : `Add ${name} to the playlist`, now.collected ? "Remove from the playlist" : "Add to the playlist");
    const known = match.id !== null;
    for (const button of [play, pair, add]) button.disabled = !known;
    // Searches with a stem have no further examples.
    for (const button of [like, unlike]) button.disabled = !known || context.stem !== null;
  }

  return {
    element,
    refresh,
    /**
     * @param {SearchMatch} newMatch
     * @param {RowContext} newContext
     */
    update(newMatch, newContext) {
      match = newMatch;
      element.dataset.track = String(match.id ?? "");
      context = newContext;
      names();
      numbers();
      refresh();
      if (open) explain();
    },
  };
}
