/**
 * A place for a file: drop it, or press the button. The whole page takes drops while this is in the document.
 */

import { freshId, h, icon } from "../dom.js";

/**
 * @param {(file: File) => void} chosen
 * @param {string} hint
 */
export function dropZone(chosen, hint) {
  const id = freshId("file");
  const input = h("input", { id, type: "file", accept: "audio/*,video/*,.flac,.ogg,.opus,.aiff,.wma,.m4a", class: "unseen" });
  const progress = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const status = h("p", { class: "soft", role: "status" }, hint);
  const element = h(
    "div", { class: "drop-zone" },
    input,
    h("label", { for: id, class: "button big" }, icon("file"), "Choose a recording"),
    h("p", { class: "drop-hint" }, "or drop it anywhere on this page"),
    status,
    progress,
  );
  progress.hidden = true;

  input.addEventListener("change", () => {
    if (input.files?.[0]) chosen(input.files[0]);
    input.value = "";
  });

  /** @param {DragEvent} event */
  function over(event) {
    if (!element.isConnected || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  }
  /** @param {DragEvent} event */
  function dropped(event) {
    document.body.classList.remove("dropping");
    if (!element.isConnected || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    chosen(event.dataTransfer.files[0]);
  }
  document.addEventListener("dragover", over);
  document.addEventListener("drop", dropped);
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });

  return {
    element,
    /**
     * Show how far an upload is; null when there is none.
     * @param {number | null} share
     */
    progress(share) {
      progress.hidden = share === null;
      progress.value = share ?? 0;
      status.textContent = share === null ? hint : share < 1 ? `Sending, ${Math.round(100 * share)} %` : "Listening to it …";
    },
  };
}
