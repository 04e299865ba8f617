/**
 * One of the two recordings: what it is, its waveform, and a way to choose another one.
 */

import { get } from "../../api.js";
import { dotted, fill, h, icon, iconButton, named } from "../../dom.js";
import { trackSound, uploadSound } from "../../sound.js";
import { clock, facts } from "../../words.js";
import { trackPicker } from "../../components/track-picker.js";
import { peaksOf, Waveform } from "../../components/waveform.js";

/** @typedef {import("./state.js").Source} Source */
/** @typedef {import("../../sound.js").Sound} Sound */

/**
 * @param {import("../../main.js").App} app
 * @param {"A" | "B"} name
 * @param {(source: Source) => void} chosen
 */
export function side(app, name, chosen) {
  const { player } = app;
  const title = h("h2", { class: "side-title" });
  const about = h("p", { class: "soft side-about" });
  const play = iconButton("play", `Play recording ${name}`, { class: "primary", onclick: () => void toggle() });
  const picker = trackPicker(`Recording ${name}`, (track) => chosen({ track: track.id, upload: null }), {
    placeholder: `Recording ${name}: title, artist or file`,
  });
  const wave = h("div", { class: "side-wave", "aria-hidden": "true" });
  const head = h(
    "div", { class: "side-head" }, play,
    h("div", { class: "side-names" }, h("span", { class: "side-letter", "aria-hidden": "true" }, name), title, about),
    picker.element,
  );
  const waveform = new Waveform(wave, { height: 84 });
  /** @type {Sound | null} */
  let sound = null;
  /** @type {string | null} */
  let key = null;

  function playing() {
    return sound !== null && player.playing && player.sound?.key === sound.key;
  }

  async function toggle() {
    if (!sound) return;
    if (player.sound?.key === sound.key) await player.toggle();
    else await player.play(sound);
  }

  function show() {
    play.disabled = !sound;
    play.hidden = !key;
    fill(title, sound ? named(sound.title) : key ? "…" : `Choose recording ${name}`);
  }

  show();
  waveform.addEventListener("seek", (event) => {
    const time = /** @type {CustomEvent<number>} */ (event).detail;
    if (sound && player.sound?.key === sound.key) player.seek(time);
    else if (sound) void player.play(sound, { start: time });
  });
  player.addEventListener("change", () => {
    fill(play, icon(playing() ? "pause" : "play"));
    play.setAttribute("aria-label", `${playing() ? "Pause" : "Play"} recording ${name}`);
  });
  player.addEventListener("time", () => {
    if (sound && player.sound?.key === sound.key) waveform.setTime(player.time);
  });

  return {
    head,
    wave,
    waveform,
    get sound() {
      return sound;
    },
    /**
     * Load a recording. Resolves to whether it is another one than before.
     * @param {Source | null} source
     */
    async load(source) {
      const wanted = source && `${source.track}/${source.upload}`;
      if (wanted === key) return false;
      key = wanted;
      sound = null;
      waveform.clear();
      fill(about);
      show();
      if (!source) return true;
      let found;
      let line;
      try {
        if (source.track !== null) {
          /** @type {import("../../types.js").TrackDetails} */
          const { track } = await get(`/tracks/${source.track}`);
          found = trackSound(track);
          line = [track.artist, track.album, facts(track)];
        } else {
          /** @type {import("../../types.js").UploadRecord} */
          const record = await get(`/uploads/${encodeURIComponent(source.upload ?? "")}`);
          found = uploadSound(record);
          line = [record.artist, clock(record.duration), "sent from this browser"];
        }
      } catch (error) {
        if (key === wanted) {
          key = null;
          title.textContent = `Choose recording ${name}`;
        }
        throw error;
      }
      if (key !== wanted) return false;
      sound = found;
      fill(about, ...dotted(...line));
      show();
      try {
        const peaks = await peaksOf(found.peaks ?? "");
        if (sound === found) await waveform.show(peaks);
      } catch {
        about.append(" · its waveform cannot be drawn");
      }
      return true;
    },
  };
}
