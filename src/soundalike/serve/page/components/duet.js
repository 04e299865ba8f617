/**
 * Plays passages of two recordings, one after the other or both at once, exactly on time.
 *
 * The excerpts come from the server, already stretched and transposed, and are played by the Web Audio API. Together, A
 * is a little to the left and B a little to the right. Events: "change" (it starts or ends) and "time" (per frame).
 */

import { ApiError, problemOf } from "../api.js";

/** @typedef {import("../views/compare/passages.js").Excerpt} Excerpt */

/**
 * One of the two passages.
 * @typedef {object} Part
 * @property {string} address
 * @property {Excerpt} excerpt
 * @property {number} gain
 */

const APART = 0.5;
const GAP = 0.15;
const LEAD = 0.05;

export class Duet extends EventTarget {
  constructor() {
    super();
    /** @type {AudioContext | null} */
    this.context = null;
    /** What plays, as the caller names it. @type {string | null} */
    this.key = null;
    this.turn = 0;
    /** @type {AudioBufferSourceNode[]} */
    this.sources = [];
    /** @type {{part: Part, start: number, end: number}[]} */
    this.times = [];
  }

  /**
   * Where the two recordings are, in seconds; null for one that is silent.
   * @returns {{a: number | null, b: number | null}}
   */
  get position() {
    const now = this.context?.currentTime ?? 0;
    const [a, b] = this.times.map(({ part, start, end }) =>
      now < start || now >= end ? null : part.excerpt.start + (now - start) * part.excerpt.ratio);
    return { a: a ?? null, b: b ?? null };
  }

  /**
   * Play two passages. Rejects if one cannot be had.
   * @param {string} key
   * @param {Part} a
   * @param {Part} b
   * @param {boolean} together
   */
  async play(key, a, b, together) {
    this.stop();
    this.turn += 1;
    const turn = this.turn;
    this.key = key;
    this.dispatchEvent(new Event("change"));
    try {
      const context = this.context ?? new AudioContext();
      this.context = context;
      const [first, second] = await Promise.all([this.#load(context, a.address), this.#load(context, b.address)]);
      if (turn !== this.turn) return;
      await context.resume();
      if (turn !== this.turn) return;
      const start = context.currentTime + LEAD;
      const next = together ? start : start + first.duration + GAP;
      this.times = [
        { part: a, start, end: start + first.duration },
        { part: b, start: next, end: next + second.duration },
      ];
      this.sources = [
        this.#start(context, first, a.gain, together ? -APART : 0, start),
        this.#start(context, second, b.gain, together ? APART : 0, next),
      ];
      requestAnimationFrame(() => this.#follow(turn));
    } catch (error) {
      if (turn !== this.turn) return;
      this.stop();
      throw error;
    }
  }

  stop() {
    if (this.key === null) return;
    this.turn += 1;
    for (const source of this.sources) source.stop();
    this.sources = [];
    this.times = [];
    this.key = null;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {AudioContext} context
   * @param {string} address
   */
  async #load(context, address) {
    let answer;
    try {
      answer = await fetch(address);
    } catch {
      throw new ApiError("the server does not answer; is it still running?", 0);
    }
    if (!answer.ok) throw problemOf(answer.status, await answer.text());
    return context.decodeAudioData(await answer.arrayBuffer());
  }

  /**
   * @param {AudioContext} context
   * @param {AudioBuffer} buffer
   * @param {number} gain
   * @param {number} pan
   * @param {number} when
   */
  #start(context, buffer, gain, pan, when) {
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(new GainNode(context, { gain })).connect(new StereoPannerNode(context, { pan })).connect(context.destination);
    source.start(when);
    return source;
  }

  /** @param {number} turn */
  #follow(turn) {
    if (turn !== this.turn) return;
    const end = Math.max(...this.times.map((one) => one.end));
    if ((this.context?.currentTime ?? 0) >= end) {
      this.stop();
      return;
    }
    this.dispatchEvent(new Event("time"));
    requestAnimationFrame(() => this.#follow(turn));
  }
}
