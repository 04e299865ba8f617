/**
 * The tracks that are selected on the map: their list, and what to make of them.
 */

import { get, isAbort, latestOnly, postRaw } from "../../api.js";
import { h, icon } from "../../dom.js";
import { counted, titleOf } from "../../words.js";
import { save } from "../../components/playlist-panel.js";
import { toast } from "../../components/toast.js";
import { trackList } from "../../components/track-list.js";

/** @typedef {import("../../types.js").TrackRecord} TrackRecord */
/** @typedef {import("../../types.js").TracksPage} TracksPage */

const SHOWN = 100;
const AT_ONCE = 500;
/** What a playlist may hold. */
const MOST = 10_000;

/**
 * The records of tracks, in the order of their ids; those that are gone are left out.
 * @param {number[]} ids
 * @param {AbortSignal} [signal]
 */
export async function tracksOf(ids, signal) {
  /** @type {TrackRecord[]} */
  const found = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const params = new URLSearchParams(ids.slice(at, at + AT_ONCE).map((id) => ["id", String(id)]));
    params.set("limit", String(AT_ONCE));
    /** @type {TracksPage} */
    const page = await get(`/tracks?${params}`, { signal });
    found.push(...page.tracks);
  }
  return found;
}

/**
 * @param {import("../../main.js").App} app
 * @param {() => void} clear
 */
export function selectionPanel(app, clear) {
  const title = h("h2", {});
  const note = h("p", { class: "soft" });
  const list = trackList(app, "Selected tracks");
  const collect = h("button", { type: "button", class: "button primary", onclick: () => void gather() }, icon("add"), "Add to the playlist");
  const write = h("button", { type: "button", class: "button", onclick: () => void store() }, icon("download"), "Save as M3U");
  const drop = h("button", { type: "button", class: "button quiet", onclick: clear }, "Clear");
  const element = h(
    "section", { class: "card map-selection", "aria-label": "Selection" },
    h("div", { class: "results-head" }, title, note), h("div", { class: "map-buttons" }, collect, write, drop), list.element,
  );
  /** @type {number[]} */
  let selected = [];
  const load = latestOnly((signal, /** @type {number[]} */ ids) => tracksOf(ids, signal));
  element.hidden = true;

  async function gather() {
    collect.disabled = true;
    try {
      const tracks = await tracksOf(selected.slice(0, MOST));
      const added = app.playlist.add(tracks.map((track) => ({ id: track.id, title: titleOf(track), artist: track.artist ?? "" })));
      toast(added ? `${counted(added, "track")} added to the playlist` : "The playlist holds them already");
    } catch (error) {
      app.fail(error);
    } finally {
      collect.disabled = false;
    }
  }

  async function store() {
    try {
      const answer = await postRaw("/playlists/m3u", { name: "map", tracks: selected.slice(0, MOST) });
      save(await answer.blob(), "map.m3u8");
    } catch (error) {
      app.fail(error);
    }
  }

  return {
    element,
    /** @param {number[]} ids */
    async show(ids) {
      selected = ids;
      element.hidden = !ids.length;
      if (!ids.length) return;
      title.textContent = `${counted(ids.length, "track")} selected`;
      note.textContent = ids.length > MOST ? `A playlist holds the first ${counted(MOST, "track")}.` : ids.length > SHOWN ? `The first ${SHOWN} are listed.` : "";
      try {
        list.show(await load(ids.slice(0, SHOWN)));
      } catch (error) {
        if (!isAbort(error)) app.fail(error);
      }
    },
  };
}
