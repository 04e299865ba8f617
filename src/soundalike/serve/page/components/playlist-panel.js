/**
 * The playlist: a button in the header that shows its length and opens it.
 */

import { postRaw } from "../api.js";
import { fill, freshId, h, icon, iconButton, named } from "../dom.js";
import { trackSound } from "../sound.js";
import { counted } from "../words.js";

/** @typedef {import("../main.js").App} App */

/**
 * Let the browser save bytes as a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * @param {HTMLElement} holder
 * @param {App} app
 */
export function showPlaylist(holder, app) {
  const { playlist, player } = app;
  const id = freshId("playlist");
  const number = h("span", { class: "badge number" });
  const button = h("button", { type: "button", class: "button quiet", "aria-expanded": "false", "aria-controls": id });
  const list = h("ol", { class: "playlist-list" });
  const empty = h("p", { class: "soft" }, "Add tracks with + beside a result. They stay here, in this browser.");
  const saveButton = h("button", { type: "button", class: "button", onclick: () => void write() }, icon("download"), "Save as M3U");
  const clear = h("button", { type: "button", class: "button quiet", onclick: () => playlist.clear() }, "Clear");
  const panel = h(
    "section", { id, class: "playlist-panel card", "aria-label": "Playlist" },
    h("div", { class: "panel-head" }, h("h2", {}, "Playlist"), iconButton("remove", "Close the playlist", { onclick: () => open(false) })),
    empty, list, h("div", { class: "panel-actions" }, saveButton, clear),
  );
  panel.hidden = true;
  fill(button, icon("list"), h("span", { class: "wide" }, "Playlist"), number);
  fill(holder, button, panel);

  async function write() {
    try {
      const answer = await postRaw("/playlists/m3u", { tracks: playlist.entries.map((entry) => entry.id) });
      save(await answer.blob(), "soundalike.m3u8");
    } catch (error) {
      app.fail(error);
    }
  }

  /** @param {boolean} wanted */
  function open(wanted) {
    panel.hidden = !wanted;
    button.setAttribute("aria-expanded", String(wanted));
    if (!wanted) button.focus();
  }

  /**
   * @param {import("../playlist.js").Entry} entry
   * @param {number} at
   */
  function row(entry, at) {
    const sound = trackSound({ ...entry, path: "", duration: null });
    const last = playlist.entries.length - 1;
    /** @type {(step: number) => void} */
    const move = (step) => {
      playlist.move(at, step);
      // The row is drawn anew; the focus stays with the track that moved.
      const again = list.children[at + step]?.querySelector(step < 0 ? ".raise" : ".lower");
      if (again instanceof HTMLButtonElement) again.focus();
      app.announce(`${entry.title} is now number ${at + step + 1}`);
    };
    return h(
      "li", {},
      iconButton("play", `Play ${entry.title}`, { onclick: () => void player.play(sound) }),
      h("div", { class: "playlist-names" }, h("div", { class: "name" }, named(entry.title)), h("div", { class: "soft" }, named(entry.artist))),
      iconButton("raise", `Move ${entry.title} up`, { class: "raise", disabled: at === 0, onclick: () => move(-1) }),
      iconButton("lower", `Move ${entry.title} down`, { class: "lower", disabled: at === last, onclick: () => move(1) }),
      iconButton("remove", `Remove ${entry.title}`, { onclick: () => playlist.remove(entry.id) }),
    );
  }

  function show() {
    const length = playlist.entries.length;
    number.textContent = length ? String(length) : "";
    button.setAttribute("aria-label", `Playlist, ${counted(length, "track")}`);
    empty.hidden = length > 0;
    saveButton.hidden = clear.hidden = length === 0;
    fill(list, ...playlist.entries.map(row));
  }

  button.addEventListener("click", () => open(Boolean(panel.hidden)));
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
  });
  playlist.addEventListener("change", show);
  show();
}
