/**
 * The start: ways to choose a recording to search with.
 */

import { get, upload } from "../../api.js";
import { dotted, fill, h, icon, named } from "../../dom.js";
import { counted, facts, size, titleOf } from "../../words.js";
import { dropZone } from "../../components/drop-zone.js";
import { recorder } from "../../components/recorder.js";
import { toast } from "../../components/toast.js";
import { trackPicker } from "../../components/track-picker.js";

/** @typedef {import("../../main.js").App} App */
/** @typedef {import("./query.js").Source} Source */

const OFFERED = 6;

/**
 * The ways to choose a recording.
 * @param {App} app
 * @param {(source: Source) => void} chosen
 */
function chooser(app, chosen) {
  const { library } = app;
  const limit = `at most ${size(library.upload_bytes)} and ${Math.round(library.upload_seconds / 60)} minutes; it stays on this server`;
  const zone = dropZone((file) => void send(file, file.name), limit);
  const record = recorder((blob) => void send(blob, "recording"), app.fail);
  const picker = trackPicker("Or pick a track of the library", (track) => chosen({ track: track.id, upload: null }));

  /**
   * @param {Blob} blob
   * @param {string} name
   */
  async function send(blob, name) {
    if (blob.size > library.upload_bytes) {
      toast(`“${name}” has ${size(blob.size)}, and an upload at most ${size(library.upload_bytes)}; choose a shorter part`, { error: true });
      return;
    }
    try {
      zone.progress(0);
      const found = await upload(blob, name, { progress: zone.progress });
      if (found.warning) toast(`“${found.name}”: ${found.warning}`);
      chosen({ track: null, upload: found.id });
    } catch (error) {
      app.fail(error);
    } finally {
      zone.progress(null);
    }
  }

  return h("div", { class: "chooser" }, zone.element, h("div", { class: "chooser-more" }, picker.element, record));
}

/**
 * @param {App} app
 * @param {(source: Source) => void} chosen
 */
export function startScreen(app, chosen) {
  const { library } = app;
  const heading = h("h1", {});
  const text = h("p", { class: "soft" });
  const offers = h("div", { class: "offers" });
  const element = h("section", { class: "start", "aria-label": "Start" });
  if (library.tracks) fill(element, heading, text, chooser(app, chosen), offers);
  else {
    fill(
      element, h("h1", {}, "The library is empty"), h("p", { class: "soft" }, "Index a folder of music, and open this page again:"),
      h("p", {}, h("code", {}, `soundalike index FOLDER --library ${library.path}`)),
    );
  }
  let offered = false;

  /** Offer the first tracks, so that a look around needs no typing. */
  async function offer() {
    if (offered) return;
    offered = true;
    try {
      /** @type {import("../../types.js").TracksPage} */
      const page = await get(`/tracks?limit=${OFFERED}`);
      fill(
        offers,
        h("h2", {}, "Or start with one of these"),
        h("ul", {}, ...page.tracks.map((track) => h(
          "li", {},
          h(
            "button", { type: "button", class: "offer card", onclick: () => chosen({ track: track.id, upload: null }) },
            icon("search"), h("span", {}, h("span", { class: "offer-title" }, named(titleOf(track))), h("span", { class: "soft" }, ...dotted(track.artist, facts(track)))),
          ),
        ))),
      );
    } catch (error) {
      offered = false;
      app.fail(error);
    }
  }

  return {
    element,
    /** @param {"first" | "again" | "absent" | "hidden"} how */
    show(how) {
      element.hidden = how === "hidden";
      element.classList.toggle("again", how === "again");
      heading.textContent = how === "absent" ? "This recording is not here any more" : "What does it sound like?";
      text.textContent = how === "absent"
        ? "It was removed from the library, or it was an upload that the server no longer keeps. Choose another."
        : `Choose a recording. It is compared with ${counted(library.tracks, "track")}. You decide what counts, and you can play every result.`;
      if (library.tracks && (how === "first" || how === "absent")) void offer();
    },
  };
}
