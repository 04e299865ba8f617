/**
 * The one player of the page, without its looks (components/player-bar.js shows it).
 *
 * It has two audio elements. `play` uses one of them. `pair` loads two recordings that line up, and `swap` goes from
 * one to the other at the same beat: the moment of the other recording comes from their line (see sound.js). With
 * `meet`, B plays at the tempo of A, and its pitch stays.
 *
 * Events: "change" (what is loaded, playing, or audible) and "time" (the position, once per frame while it plays).
 */

import { get } from "./api.js";
import { across, levelled } from "./sound.js";

/** @typedef {import("./sound.js").Sound} Sound */
/** @typedef {import("./sound.js").Line} Line */
/** @typedef {"a" | "b"} Side */

const VOLUME_KEY = "soundalike.volume";
/** Seconds from asking for a position to hearing it, to begin with. It is measured at every swap. */
const FIRST_LAG = 0.08;
const LONGEST_LAG = 0.4;
/** Milliseconds after a swap at which its lag is measured: positions run evenly by then. */
const SETTLED = 300;

export class Player extends EventTarget {
  constructor() {
    super();
    /** @type {Record<Side, HTMLAudioElement>} */
    this.media = { a: new Audio(), b: new Audio() };
    /** @type {Record<Side, Sound | null>} */
    this.sounds = { a: null, b: null };
    /** @type {Side} */
    this.side = "a";
    /** @type {Line | null} */
    this.line = null;
    this.meet = false;
    /** @type {number | null} */
    this.until = null;
    this.lag = FIRST_LAG;
    /** @type {string | null} */
    this.problem = null;
    /** Whether it should play now; calls that a newer one overtook are told by `turn`. */
    this.wanted = false;
    this.turn = 0;
    const stored = localStorage.getItem(VOLUME_KEY);
    this.volume = Math.min(1, Math.max(0, stored === null || Number.isNaN(Number(stored)) ? 1 : Number(stored)));
    for (const side of /** @type {Side[]} */ (["a", "b"])) this.#listen(side);
  }

  /** The recording that is heard, or would be. */
  get sound() {
    return this.sounds[this.side];
  }

  get playing() {
    return this.sound !== null && this.wanted && !this.media[this.side].paused;
  }

  /** The position in seconds. */
  get time() {
    return this.media[this.side].currentTime;
  }

  get duration() {
    const known = this.media[this.side].duration;
    return Number.isFinite(known) && known > 0 ? known : (this.sound?.duration ?? 0);
  }

  /**
   * Load a recording without playing it, unless something plays.
   * @param {Sound} sound
   * @param {number} [start]
   */
  offer(sound, start = 0) {
    if (this.playing || this.sound?.key === sound.key) return;
    this.#reset();
    this.#load("a", sound, start);
    this.#changed();
  }

  /**
   * Play a recording.
   * @param {Sound} sound
   * @param {{start?: number, until?: number | null}} [span] In seconds; `until` null plays to the end.
   */
  async play(sound, { start = 0, until = null } = {}) {
    this.#reset();
    this.until = until;
    this.#load("a", sound, start);
    await this.#start("a");
  }

  /**
   * Load two recordings that line up, and play from a moment of one of them.
   * @param {Sound} a
   * @param {Sound} b
   * @param {Line} line
   * @param {{side?: Side, time?: number, meet?: boolean}} [options]
   */
  async pair(a, b, line, { side = "a", time = line.a0, meet = this.meet } = {}) {
    this.#reset();
    this.line = line;
    this.meet = meet;
    this.side = side;
    const other = side === "a" ? "b" : "a";
    this.#load("a", a, side === "a" ? time : across(line, other, time));
    this.#load("b", b, side === "b" ? time : across(line, "a", time));
    this.#pace();
    await this.#start(side);
  }

  /** Hear the other recording of a pair, at the same beat. */
  async swap() {
    if (!this.line) return;
    const from = this.side;
    const to = from === "a" ? "b" : "a";
    const [old, next] = [this.media[from], this.media[to]];
    const played = !old.paused;
    this.turn += 1;
    const turn = this.turn;
    const lead = played ? this.lag * old.playbackRate : 0;
    const [began, then] = [old.currentTime, performance.now()];
    next.currentTime = this.#within(to, across(this.line, from, old.currentTime + lead));
    this.side = to;
    if (played) {
      try {
        await next.play();
      } catch (error) {
        this.#failed(to, error);
      }
      this.#quiet();
      if (turn !== this.turn) return;
      setTimeout(() => {
        if (turn !== this.turn || next.paused || !this.line) return;
        // What this swap was late by is made up for by the next one.
        const due = began + ((performance.now() - then) / 1000) * old.playbackRate;
        const late = (across(this.line, from, due) - next.currentTime) / next.playbackRate;
        this.lag = Math.min(LONGEST_LAG, Math.max(0, this.lag + late / 2));
      }, SETTLED);
    }
    this.#changed();
  }

  /**
   * Whether B plays at the tempo of A.
   * @param {boolean} meet
   */
  setMeet(meet) {
    this.meet = meet;
    this.#pace();
    this.#changed();
  }

  /** Play or pause. */
  async toggle() {
    if (!this.sound) return;
    if (this.playing) {
      this.pause();
    } else {
      const media = this.media[this.side];
      if (media.ended || (this.until !== null && media.currentTime >= this.until - 0.05)) this.until = null;
      await this.#start(this.side);
    }
  }

  pause() {
    this.turn += 1;
    this.wanted = false;
    // While one recording takes over from the other, both play.
    for (const media of Object.values(this.media)) media.pause();
  }

  /**
   * Go to a moment of the recording that is heard.
   * @param {number} time
   */
  seek(time) {
    this.until = null;
    this.media[this.side].currentTime = this.#within(this.side, time);
    this.#tell("time");
  }

  /** @param {number} volume 0 to 1. */
  setVolume(volume) {
    this.volume = volume;
    localStorage.setItem(VOLUME_KEY, String(volume));
    this.#level();
  }

  #reset() {
    this.turn += 1;
    this.wanted = false;
    for (const media of Object.values(this.media)) media.pause();
    this.line = null;
    this.until = null;
    this.problem = null;
    this.side = "a";
    this.sounds.b = null;
    this.#pace();
  }

  /**
   * @param {Side} side
   * @param {Sound} sound
   * @param {number} time
   */
  #load(side, sound, time) {
    const media = this.media[side];
    if (this.sounds[side]?.audio !== sound.audio || media.error || !media.src) {
      media.src = sound.audio;
      media.preload = "auto";
    }
    this.sounds[side] = sound;
    media.currentTime = this.#within(side, time);
    this.#level();
    if (sound.loudness === null && sound.track !== null) void this.#learnLoudness(side, sound);
  }

  /**
   * Records of matches lack the loudness of their tracks.
   * @param {Side} side
   * @param {Sound} sound
   */
  async #learnLoudness(side, sound) {
    try {
      /** @type {import("./types.js").TrackDetails} */
      const details = await get(`/tracks/${sound.track}`);
      sound.loudness = details.track.loudness;
      if (this.sounds[side] === sound) this.#level();
    } catch {
      // Without it, the recording plays as loud as it is.
    }
  }

  /** @param {Side} side */
  async #start(side) {
    this.turn += 1;
    const turn = this.turn;
    this.wanted = true;
    this.#changed();
    try {
      await this.media[side].play();
    } catch (error) {
      if (turn === this.turn) this.#failed(side, error);
    }
    this.#quiet();
  }

  /** Pause the recording that is not heard. */
  #quiet() {
    this.media[this.side === "a" ? "b" : "a"].pause();
  }

  /**
   * @param {Side} side
   * @param {unknown} error
   */
  #failed(side, error) {
    // A newer request to play, or to pause, interrupts an older one.
    if (error instanceof Error && error.name === "AbortError") return;
    // The same failure also comes as an event of the media, which asks for another format first.
    if (error instanceof Error && error.name === "NotSupportedError" && !this.media[side].src.includes("?")) return;
    this.wanted = false;
    const title = this.sounds[side]?.title ?? "the recording";
    const blocked = error instanceof Error && error.name === "NotAllowedError";
    this.problem = blocked
      ? "The browser waits for a click before it plays sound; press Play."
      : `“${title}” cannot be played: the file is gone, or the browser does not know its format.`;
    this.#tell("problem");
    this.#changed();
  }

  /**
   * @param {Side} side
   * @param {number} time
   */
  #within(side, time) {
    const known = this.media[side].duration;
    const duration = Number.isFinite(known) && known > 0 ? known : this.sounds[side]?.duration || Infinity;
    return Math.min(Math.max(0, time), Math.max(0, duration - 0.05));
  }

  #level() {
    for (const side of /** @type {Side[]} */ (["a", "b"])) {
      this.media[side].volume = this.volume * levelled(this.sounds[side]?.loudness ?? null);
    }
  }

  #pace() {
    this.media.a.playbackRate = 1;
    this.media.b.playbackRate = this.line && this.meet ? 1 / this.line.ratio : 1;
  }

  /** @param {Side} side */
  #listen(side) {
    const media = this.media[side];
    media.preservesPitch = true;
    for (const name of ["play", "pause", "ended", "loadedmetadata"]) {
      media.addEventListener(name, () => {
        if (side === this.side) this.#changed();
      });
    }
    media.addEventListener("play", () => this.#follow(side));
    media.addEventListener("seeked", () => {
      if (side === this.side) this.#tell("time");
    });
    media.addEventListener("error", () => this.#retry(side));
  }

  /**
   * A format that the browser does not play is asked for again as FLAC, which the server makes.
   * @param {Side} side
   */
  #retry(side) {
    const [media, sound] = [this.media[side], this.sounds[side]];
    if (!sound || media.src.includes("?")) {
      if (side === this.side && this.wanted) this.#failed(side, media.error);
      return;
    }
    const time = media.currentTime;
    media.src = `${sound.audio}?format=flac`;
    media.currentTime = time;
    if (side === this.side && this.wanted) void media.play().catch((error) => this.#failed(side, error));
  }

  /** @param {Side} side */
  #follow(side) {
    const media = this.media[side];
    const step = () => {
      if (media.paused || side !== this.side) return;
      if (this.until !== null && media.currentTime >= this.until) media.pause();
      this.#tell("time");
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #changed() {
    this.#tell("change");
    this.#tell("time");
  }

  /** @param {string} name */
  #tell(name) {
    this.dispatchEvent(new Event(name));
  }
}
