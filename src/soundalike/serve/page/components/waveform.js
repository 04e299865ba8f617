/**
 * A waveform from peaks that the server computed; nothing is decoded here. Events: "seek" (detail: seconds) and
 * "region" (detail: {start, end, done}), which is sent while a region is dragged and, with `done`, at the end.
 */

import { cssColour } from "../theme.js";
import { get } from "../api.js";
import WaveSurfer from "../vendor/wavesurfer.esm.js";
import Regions from "../vendor/plugins/regions.esm.js";

/** @typedef {import("../types.js").Peaks} Peaks */

const LEAST = 0.5;
const nonce = document.querySelector('meta[name="nonce"]')?.getAttribute("content") ?? "";

/** @type {Map<string, Promise<Peaks>>} */
const known = new Map();

/**
 * The peaks of a recording, asked for once.
 * @param {string} address
 * @returns {Promise<Peaks>}
 */
export function peaksOf(address) {
  let found = known.get(address);
  if (!found) {
    found = get(`${address}?count=1200`);
    known.set(address, found);
    found.catch(() => known.delete(address));
  }
  return found;
}

export class Waveform extends EventTarget {
  /**
   * @param {HTMLElement} holder
   * @param {{height?: number, regions?: boolean}} [options] With `regions`, dragging selects a part.
   */
  constructor(holder, { height = 64, regions = false } = {}) {
    super();
    this.duration = 0;
    /** @type {import("../vendor/plugins/regions.esm.js").Region | null} */
    this.region = null;
    this.wave = WaveSurfer.create({
      container: holder, height, cspNonce: nonce, barWidth: 2, barGap: 1, barRadius: 2, cursorWidth: 2, normalize: true,
      hideScrollbar: true, dragToSeek: !regions, ...colours(),
    });
    this.wave.on("interaction", (time) => this.#tell("seek", time));
    this.regions = regions ? this.wave.registerPlugin(Regions.create()) : null;
    this.regions?.enableDragSelection({ color: cssColour("--region") });
    this.regions?.on("region-created", (region) => this.#adopt(region));
    this.regions?.on("region-update", (region) => this.#report(region, false));
    this.regions?.on("region-updated", (region) => this.#report(region, true));
    this.repaint = () => {
      this.wave.setOptions(colours());
      this.region?.setOptions({ color: cssColour("--region") });
    };
    document.addEventListener("themechange", this.repaint);
    this.quiet = false;
  }

  /** @param {Peaks} peaks */
  async show(peaks) {
    this.duration = peaks.duration;
    this.regions?.clearRegions();
    this.region = null;
    await this.wave.load("", [peaks.high, peaks.low.map(Math.abs)], peaks.duration);
  }

  /** Show nothing. */
  clear() {
    this.duration = 0;
    this.regions?.clearRegions();
    this.region = null;
    this.wave.empty();
  }

  /** @param {number} time */
  setTime(time) {
    if (this.duration) this.wave.setTime(Math.min(time, this.duration));
  }

  /**
   * Mark a part; null marks nothing.
   * @param {{start: number, end: number} | null} span
   */
  mark(span) {
    if (!this.regions || !this.duration) return;
    this.quiet = true;
    if (!span) {
      this.regions.clearRegions();
      this.region = null;
    } else if (this.region) {
      this.region.setOptions(span);
    } else {
      this.regions.addRegion({ ...span, color: cssColour("--region"), minLength: LEAST });
    }
    this.quiet = false;
  }

  destroy() {
    document.removeEventListener("themechange", this.repaint);
    this.wave.destroy();
  }

  /** @param {import("../vendor/plugins/regions.esm.js").Region} region */
  #adopt(region) {
    if (this.region && this.region !== region) this.region.remove();
    this.region = region;
    // The plug-in has no names for its parts; the number inputs beside the waveform are the accessible way.
    region.element?.setAttribute("aria-hidden", "true");
    if (!this.quiet) this.#report(region, true);
  }

  /**
   * @param {import("../vendor/plugins/regions.esm.js").Region} region
   * @param {boolean} done
   */
  #report(region, done) {
    if (this.quiet || region !== this.region) return;
    this.#tell("region", { start: region.start, end: region.end, done });
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function colours() {
  return {
    waveColor: cssColour("--wave"), progressColor: cssColour("--accent"), cursorColor: cssColour("--ink"),
  };
}
