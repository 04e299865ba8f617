/**
 * Search as you type over the tracks of the library: a combobox with a list (ARIA pattern "editable combobox with list
 * autocomplete").
 */

import { get, isAbort, latestOnly } from "../api.js";
import { dotted, fill, freshId, h, named } from "../dom.js";
import { counted, facts, titleOf } from "../words.js";
import { toast } from "./toast.js";

/** @typedef {import("../types.js").TrackRecord} TrackRecord */
/** @typedef {import("../types.js").TracksPage} TracksPage */

const SHOWN = 12;

/**
 * @param {string} label
 * @param {(track: TrackRecord) => void} picked
 * @param {{placeholder?: string}} [options]
 */
export function trackPicker(label, picked, { placeholder = "Title, artist or file" } = {}) {
  const [id, listId] = [freshId("pick"), freshId("tracks")];
  const input = h("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: false, placeholder,
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": listId,
  });
  const list = h("ul", { id: listId, role: "listbox", class: "picker-list", "aria-label": label });
  const status = h("p", { class: "unseen", role: "status" });
  const note = h("p", { class: "picker-note soft" });
  const popup = h("div", { class: "picker-popup" }, list, note);
  const element = h("div", { class: "picker" }, h("label", { for: id }, label), input, popup, status);
  /** @type {TrackRecord[]} */
  let tracks = [];
  let active = -1;
  popup.hidden = true;

  const find = latestOnly((signal, /** @type {string} */ text) => {
    const params = new URLSearchParams({ limit: String(SHOWN) });
    if (text.trim()) params.set("q", text.trim());
    return /** @type {Promise<TracksPage>} */ (get(`/tracks?${params}`, { signal }));
  });

  async function search() {
    try {
      const page = await find(input.value);
      tracks = page.tracks;
      const none = input.value.trim() ? "No track has this name." : "The library holds no tracks yet.";
      const rest = page.total - tracks.length;
      note.textContent = page.total ? (rest > 0 ? `and ${counted(rest, "more track")}; type more of the name` : "") : none;
      note.hidden = !note.textContent;
      status.textContent = page.total ? counted(page.total, "track") : none;
      show();
      open(document.activeElement === input);
    } catch (error) {
      if (!isAbort(error)) toast(error instanceof Error ? error.message : String(error), { error: true });
    }
  }

  function show() {
    active = -1;
    input.removeAttribute("aria-activedescendant");
    fill(
      list,
      ...tracks.map((track, at) =>
        h(
          "li", { id: `${listId}-${at}`, role: "option", "aria-selected": "false", onpointerdown: (/** @type {Event} */ event) => event.preventDefault(), onclick: () => pick(at) },
          h("span", { class: "picker-title" }, named(titleOf(track))),
          h("span", { class: "soft" }, ...dotted(track.artist, facts(track))),
        ),
      ),
    );
    list.hidden = !tracks.length;
  }

  /** @param {boolean} wanted */
  function open(wanted) {
    popup.hidden = !wanted;
    input.setAttribute("aria-expanded", String(wanted));
  }

  /** @param {number} at */
  function pick(at) {
    const track = tracks[at];
    if (!track) return;
    open(false);
    input.value = "";
    picked(track);
  }

  /** @param {number} at */
  function activate(at) {
    active = (at + tracks.length) % tracks.length;
    for (const [number, option] of [...list.children].entries()) {
      option.setAttribute("aria-selected", String(number === active));
      if (number === active) option.scrollIntoView({ block: "nearest" });
    }
    input.setAttribute("aria-activedescendant", `${listId}-${active}`);
  }

  input.addEventListener("input", () => void search());
  input.addEventListener("focus", () => void search());
  input.addEventListener("blur", () => open(false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
    else if (event.key === "Enter") pick(Math.max(active, 0));
    else if (event.key === "ArrowDown" && tracks.length) {
      if (popup.hidden) open(true);
      activate(active + 1);
    } else if (event.key === "ArrowUp" && tracks.length) activate(active < 0 ? -1 : active - 1);
    else return;
    event.preventDefault();
  });
  return { element, focus: () => input.focus() };
}
