// The part of the regions plug-in of wavesurfer.js that the page uses.
export interface Region {
  element: HTMLElement | null;
  start: number;
  end: number;
  setOptions(options: { start?: number; end?: number; color?: string }): void;
  remove(): void;
}

export interface RegionsPlugin {
  addRegion(options: { start: number; end: number; color: string; minLength?: number }): Region;
  clearRegions(): void;
  enableDragSelection(options: { color: string }): () => void;
  on(
    name: "region-created" | "region-update" | "region-updated",
    listener: (region: Region) => void,
  ): () => void;
}

declare const Regions: { create(): RegionsPlugin };
export default Regions;
