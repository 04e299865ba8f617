/**
 * Tracks as plain rows: play, what they are, add to the playlist.
 */

import { dotted, fill, h, icon, iconButton, named } from "../dom.js";
import { trackSound } from "../sound.js";
import { facts, titleOf } from "../words.js";

/** @typedef {import("../types.js").TrackRecord} TrackRecord */

/**
 * @param {import("../main.js").App} app
 * @param {string} label
 * @param {object} [options]
 * @param {(track: TrackRecord) => Node | null} [options.more] What is shown at the end of a row.
 * @param {(track: TrackRecord) => Node | null} [options.heading] What is shown above a row.
 * @param {(track: TrackRecord) => Node | null} [options.mark] What is shown beside the title.
 * @param {boolean} [options.paths] Whether the file is shown.
 */
export function trackList(app, label, { more, heading, mark, paths = false } = {}) {
  const { player, playlist } = app;
  const element = h("ul", { class: "track-list", "aria-label": label });
  /** @type {{track: TrackRecord, play: HTMLButtonElement, add: HTMLButtonElement, item: HTMLElement}[]} */
  let rows = [];

  function refresh() {
    for (const { track, play, add, item } of rows) {
      const name = titleOf(track);
      const playing = player.playing && player.sound?.key === `track/${track.id}`;
      const held = playlist.has(track.id);
      item.classList.toggle("current", playing);
      if (play.dataset.playing !== String(playing)) fill(play, icon(playing ? "pause" : "play"));
      play.dataset.playing = String(playing);
      play.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${name}`);
      if (add.getAttribute("aria-pressed") !== String(held)) fill(add, icon(held ? "check" : "add"));
      add.setAttribute("aria-pressed", String(held));
      add.setAttribute("aria-label", held ? `Remove ${name} from the playlist` : `Add ${name} to the playlist`);
    }
  }

  /** @param {TrackRecord} track */
  function row(track) {
    const name = titleOf(track);
    const sound = trackSound(track);
    const play = iconButton("play", `Play ${name}`, { onclick: () => {
      if (player.sound?.key === sound.key) void player.toggle();
      else void player.play(sound);
    } });
    const add = iconButton("add", `Add ${name}`, { onclick: () => {
      if (playlist.has(track.id)) playlist.remove(track.id);
      else playlist.add([{ id: track.id, title: name, artist: track.artist ?? "" }]);
    } });
    const about = dotted(track.artist, track.genre, facts(track), track.missing && "its file is gone");
    const item = h(
      "li", { "data-track": track.id }, play,
      h("div", { class: "track-names" }, h("div", { class: "name" }, named(name), mark?.(track)), h("div", { class: "soft" }, ...about), paths && h("code", { class: "soft" }, track.path)),
      h("a", { class: "icon-button", href: `/?track=${track.id}`, "aria-label": `Search with ${name}`, title: "What sounds like it?" }, icon("search")),
      add, more?.(track),
    );
    return { track, play, add, item };
  }

  player.addEventListener("change", refresh);
  playlist.addEventListener("change", refresh);
  return {
    element,
    /** @param {TrackRecord[]} tracks */
    show(tracks) {
      rows = tracks.map(row);
      fill(element, ...rows.flatMap(({ track, item }) => {
        const title = heading?.(track);
        return title ? [h("li", { class: "track-heading" }, title), item] : [item];
      }));
      refresh();
    },
  };
}
