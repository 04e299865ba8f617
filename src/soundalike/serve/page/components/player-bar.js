/**
 * The player at the bottom of the page: what plays, its waveform, the A/B switch, time and volume.
 */

import { fill, h, icon, iconButton, named } from "../dom.js";
import { clock } from "../words.js";
import { peaksOf, Waveform } from "./waveform.js";
import { toast } from "./toast.js";

/** @typedef {import("../player.js").Player} Player */

/**
 * @param {HTMLElement} holder
 * @param {Player} player
 */
export function showPlayer(holder, player) {
  const play = iconButton("play", "Play", { class: "primary", onclick: () => void player.toggle() });
  const title = h("div", { class: "player-title" });
  const artist = h("div", { class: "player-artist soft" });
  const now = h("span", { class: "number" }, "0:00");
  const all = h("span", { class: "number soft" }, "0:00");
  const wave = h("div", { class: "player-wave" });
  const seek = h("input", {
    type: "range", class: "player-seek", min: "0", max: "1000", value: "0", "aria-label": "Position",
    oninput: () => player.seek((Number(seek.value) / 1000) * player.duration),
  });
  const sides = h("div", { class: "player-sides", role: "group", "aria-label": "Switch between query and match" });
  const buttons = /** @type {const} */ (["a", "b"]).map((side) => {
    const button = h("button", {
      type: "button", class: "side",
      onclick: () => {
        if (player.side !== side) void player.swap();
      },
    });
    sides.append(button);
    return { side, button };
  });
  const meet = h("input", { type: "checkbox", onchange: () => player.setMeet(meet.checked) });
  const meeting = h("label", { class: "player-meet", title: "Play the match at the tempo of the query" }, meet, "Same tempo");
  const volume = h("input", {
    type: "range", min: "0", max: "1", step: "0.05", value: String(player.volume), "aria-label": "Volume",
    oninput: () => player.setVolume(Number(volume.value)),
  });

  const bar = h(
    "section", { class: "player", "aria-label": "Player" },
    play,
    h("div", { class: "player-names" }, title, artist),
    h("div", { class: "player-pair" }, sides, meeting),
    h("div", { class: "player-middle" }, wave, seek),
    h("div", { class: "player-clock" }, now, " / ", all),
    h("label", { class: "player-volume" }, icon("volume"), volume),
  );
  fill(holder, bar);
  holder.hidden = true;

  const waveform = new Waveform(wave, { height: 44 });
  // The slider that lies on top of it takes all input.
  wave.setAttribute("aria-hidden", "true");
  let drawn = "";

  /** @param {import("../sound.js").Sound} sound */
  async function draw(sound) {
    if (drawn === sound.key) return;
    drawn = sound.key;
    waveform.clear();
    if (!sound.peaks) return;
    try {
      const peaks = await peaksOf(sound.peaks);
      if (drawn !== sound.key) return;
      await waveform.show(peaks);
      waveform.setTime(player.time);
    } catch {
      // The slider still works without a picture.
    }
  }

  function change() {
    const sound = player.sound;
    holder.hidden = !sound;
    document.body.classList.toggle("has-player", Boolean(sound));
    if (!sound) return;
    const label = player.playing ? "Pause" : "Play";
    if (play.title !== label) {
      fill(play, icon(player.playing ? "pause" : "play"));
      play.title = label;
      play.setAttribute("aria-label", label);
    }
    fill(title, named(sound.title));
    fill(artist, named(sound.artist));
    sides.hidden = meeting.hidden = !player.line;
    bar.classList.toggle("paired", Boolean(player.line));
    meet.checked = player.meet;
    for (const { side, button } of buttons) {
      button.textContent = side === "a" ? "A query" : "B match";
      button.setAttribute("aria-pressed", String(player.side === side));
    }
    void draw(sound);
  }

  function time() {
    now.textContent = clock(player.time);
    all.textContent = clock(player.duration);
    if (player.duration) seek.value = String(Math.round((1000 * player.time) / player.duration));
    seek.setAttribute("aria-valuetext", `${clock(player.time)} of ${clock(player.duration)}`);
    waveform.setTime(player.time);
  }

  player.addEventListener("change", change);
  player.addEventListener("time", time);
  player.addEventListener("problem", () => toast(player.problem ?? "", { error: true }));
  change();
}
