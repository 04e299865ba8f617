// The part of wavesurfer.js that the page uses.
import type { RegionsPlugin } from "./plugins/regions.esm.js";

export interface WaveSurferOptions {
  container: HTMLElement;
  height: number;
  cspNonce: string;
  barWidth: number;
  barGap: number;
  barRadius: number;
  cursorWidth: number;
  normalize: boolean;
  hideScrollbar: boolean;
  dragToSeek: boolean;
  waveColor: string;
  progressColor: string;
  cursorColor: string;
}

export default class WaveSurfer {
  static create(options: WaveSurferOptions): WaveSurfer;
  on(name: "interaction", listener: (time: number) => void): () => void;
  registerPlugin(plugin: RegionsPlugin): RegionsPlugin;
  load(url: string, channels: number[][], duration: number): Promise<void>;
  setOptions(options: Partial<WaveSurferOptions>): void;
  setTime(time: number): void;
  empty(): void;
  destroy(): void;
}
