/**
 * The query: its waveform, and the region of it that is meant.
 */

import { get } from "../../api.js";
import { dotted, fill, h, icon, iconButton, named } from "../../dom.js";
import { trackSound, uploadSound } from "../../sound.js";
import { clock, counted, facts, parseClock } from "../../words.js";
import { peaksOf, Waveform } from "../../components/waveform.js";

/** @typedef {import("../../main.js").App} App */
/** @typedef {import("../../sound.js").Sound} Sound */
/** @typedef {{track: number | null, upload: string | null}} Source */
/** @typedef {{start: number, end: number} | null} Region */

/**
 * What the Search view is told.
 * @typedef {object} QueryEvents
 * @property {(region: Region, done: boolean) => void} region
 * @property {(stem: string | null) => void} stem
 */

/**
 * The card of the chosen recording.
 * @param {App} app
 * @param {QueryEvents} tell
 */
export function queryCard(app, tell) {
  const { player } = app;
  const title = h("h1", { class: "query-title" });
  const about = h("p", { class: "soft query-about" });
  const play = iconButton("play", "Play the query", { class: "primary", onclick: () => void toggle() });
  const wave = h("div", { class: "query-wave" });
  const start = h("input", { type: "text", inputMode: "decimal", autocomplete: "off", onchange: () => typed() });
  const end = h("input", { type: "text", inputMode: "decimal", autocomplete: "off", onchange: () => typed() });
  const whole = h("button", { type: "button", class: "button quiet", onclick: () => tell.region(null, true) }, "Use all of it");
  const hint = h("p", { class: "field-note" });
  const stem = h("select", { onchange: () => tell.stem(stem.value || null) }, h("option", { value: "" }, "mix"));
  const stems = h("label", { hidden: true }, "Stem", stem);
  const change = h("button", { type: "button", class: "button" }, icon("search"), "Other query");
  const element = h(
    "section", { class: "query card", "aria-label": "Query" },
    play,
    h("div", { class: "query-names" }, h("span", { class: "tag" }, "Query"), title, about),
    change,
    wave,
    h(
      "div", { class: "query-region" },
      h("label", {}, "From", start), h("label", {}, "to", end), whole, stems, hint,
    ),
  );
  const waveform = new Waveform(wave, { height: 84, regions: true });
  wave.setAttribute("aria-hidden", "true");
  /** @type {Sound | null} */
  let sound = null;
  /** @type {Region} */
  let region = null;
  let offered = "";

  function playing() {
    return player.playing && player.sound?.key === sound?.key;
  }

  async function toggle() {
    if (!sound) return;
    if (player.sound?.key === sound.key && (player.playing || player.line)) await player.toggle();
    else await player.play(sound, { start: region?.start ?? 0, until: region?.end ?? null });
  }

  function typed() {
    const from = parseClock(start.value);
    const to = parseClock(end.value);
    const all = sound?.duration ?? 0;
    const right = from !== null && to !== null && from < to && from < all;
    for (const input of [start, end]) input.setAttribute("aria-invalid", String(!right));
    hint.classList.toggle("bad", !right);
    if (!right) hint.textContent = `Give times such as 0:05, from before to, within ${clock(all, 1)}.`;
    else tell.region({ start: from, end: Math.min(to, all) }, true);
  }

  function showRegion() {
    const all = sound?.duration ?? 0;
    start.value = clock(region?.start ?? 0, 1);
    end.value = clock(region?.end ?? all, 1);
    for (const input of [start, end]) input.setAttribute("aria-invalid", "false");
    hint.classList.remove("bad");
    whole.hidden = !region;
    hint.textContent = region ? `${(region.end - region.start).toFixed(1)} s are compared.` : "Drag over the waveform to search with a part of it.";
  }

  waveform.addEventListener("region", (event) => {
    const { start: from, end: to, done } = /** @type {CustomEvent} */ (event).detail;
    region = { start: Math.round(from * 100) / 100, end: Math.round(to * 100) / 100 };
    showRegion();
    tell.region(region, done);
  });
  waveform.addEventListener("seek", (event) => {
    const time = /** @type {CustomEvent<number>} */ (event).detail;
    if (sound && player.sound?.key === sound.key) player.seek(time);
    else if (sound) void player.play(sound, { start: time });
  });
  player.addEventListener("change", () => {
    fill(play, icon(playing() ? "pause" : "play"));
    play.setAttribute("aria-label", playing() ? "Pause the query" : "Play the query");
  });
  player.addEventListener("time", () => {
    if (sound && player.sound?.key === sound.key) waveform.setTime(player.time);
  });

  return {
    element,
    change,
    get sound() {
      return sound;
    },
    /**
     * Load what is asked for. Returns false if it is not there.
     * @param {Source} source
     */
    async load(source) {
      sound = null;
      fill(title, "…");
      fill(about);
      waveform.clear();
      let line;
      if (source.track !== null) {
        /** @type {import("../../types.js").TrackDetails} */
        const { track, copies, versions } = await get(`/tracks/${source.track}`);
        sound = trackSound(track);
        const more = [copies.length ? counted(copies.length, "copy", "copies") : "", versions.length ? counted(versions.length, "version") : ""];
        line = [track.artist, track.album, facts(track), ...more];
      } else {
        /** @type {import("../../types.js").UploadRecord} */
        const found = await get(`/uploads/${encodeURIComponent(source.upload ?? "")}`);
        sound = uploadSound(found);
        line = [found.artist, clock(found.duration), "sent from this browser"];
      }
      const mine = sound;
      fill(title, named(sound.title));
      fill(about, ...dotted(...line));
      player.offer(sound, region?.start ?? 0);
      showRegion();
      if (!sound.peaks) return;
      try {
        const peaks = await peaksOf(sound.peaks);
        if (sound !== mine) return;
        await waveform.show(peaks);
        waveform.mark(region);
      } catch {
        hint.textContent = "The waveform cannot be drawn. Give the part to search with in these fields.";
      }
      if (player.sound?.key === sound.key) waveform.setTime(player.time);
    },
    /**
     * Show which stem is searched with, and the others that may be. Uploads have none.
     * @param {import("../../types.js").SeparatorRecord[]} separators
     * @param {string | null} value As SEPARATOR/STEM; null is the mix.
     * @param {boolean} separable
     */
    showStems(separators, value, separable) {
      stems.hidden = !separable || (!separators.length && value === null);
      const values = separators.flatMap((one) => one.stems.map((name) => `${one.name}/${name}`));
      if (value !== null && !values.includes(value)) values.push(value);
      if (values.join() !== offered) {
        fill(stem, h("option", { value: "" }, "mix"), ...values.map((one) => h("option", { value: one }, one.split("/").reverse().join(" by "))));
      }
      offered = values.join();
      stem.value = value ?? "";
    },
    /** @param {Region} wanted */
    mark(wanted) {
      region = wanted;
      showRegion();
      waveform.mark(region);
    },
  };
}
