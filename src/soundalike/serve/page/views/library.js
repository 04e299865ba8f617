/**
 * The Library view: what is indexed and what failed, folders to add and remove, duplicates and versions. Its state is
 * the address (see library/state.js); jobs are the server's, and are found again.
 */

import { get, isAbort, latestOnly } from "../api.js";
import { fill, freshId, h, icon, iconButton, named } from "../dom.js";
import { count, counted, size } from "../words.js";
import { confirmed } from "../components/confirm.js";
import { trackList } from "../components/track-list.js";
import { familyPanel } from "./library/families.js";
import { jobList } from "./library/jobs.js";
import { PAGE, PARTS, readLibrary, writeLibrary } from "./library/state.js";

/** @typedef {import("./library/state.js").LibraryState} LibraryState */
/** @typedef {import("../types.js").TrackRecord} TrackRecord */
/** @typedef {import("../types.js").FailedFile} FailedFile */

/**
 * @param {import("../main.js").App} app
 * @returns {import("../main.js").View}
 */
export function createView(app) {
  let state = readLibrary(new URLSearchParams());
  let entered = false;
  const summary = h("dl", { class: "library-facts" });
  const folders = h("ul", { class: "folder-list" });
  const models = h("ul", { class: "model-list" });
  const pathId = freshId("folder");
  const path = h("input", { id: pathId, type: "text", autocomplete: "off", spellcheck: false, placeholder: "/music", required: true });
  const add = h("form", { class: "folder-add", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    if (path.value.trim()) void start({ kind: "index", sources: [path.value.trim()] }).then((done) => done && (path.value = ""));
  } }, h("div", { class: "field" }, h("label", { for: pathId }, "Add a folder of this computer"), path), h("button", { type: "submit", class: "button primary" }, icon("add"), "Add"));
  const locked = h("p", { class: "field-note" }, "Other machines can reach this server, so folders are added with: ", h("code", {}, "soundalike index"));
  const jobs = jobList(app, (job) => {
    if (job.kind === "index" || job.kind === "remove") void renew().catch(app.fail);
  });
  const tabs = PARTS.map((part) => ({ part, link: h("a", { class: "tab" }) }));
  const duplicates = familyPanel(app, "duplicates");
  const versions = familyPanel(app, "versions");
  const findId = freshId("find");
  const find = h("input", { id: findId, type: "text", autocomplete: "off", spellcheck: false, placeholder: "Title, artist, album or file", oninput: () => change({ q: find.value, page: 1 }, "q") });
  const found = h("p", { class: "soft", role: "status" });
  const list = trackList(app, "Tracks", { more: (track) => app.library.editable ? iconButton("remove", `Remove ${track.path} from the library`, { title: "Remove from the library", onclick: () => void removeTrack(track) }) : null });
  const pager = h("nav", { class: "pager", "aria-label": "Pages" });
  const tracksPart = h("div", { class: "library-part" }, h("div", { class: "field library-find" }, h("label", { for: findId }, "Find tracks"), find), found, list.element, pager);
  const failures = h("div", { class: "library-part" });
  const parts = { tracks: tracksPart, failures, duplicates: duplicates.element, versions: versions.element };
  const element = h(
    "div", { class: "library" },
    h("div", { class: "library-head" }, h("h1", {}, "Library"), summary),
    h("div", { class: "library-top" },
      h("section", { class: "card library-card", "aria-label": "Folders" }, h("h2", {}, "Folders"), folders, add, locked),
      h("section", { class: "card library-card", "aria-label": "Models" }, h("h2", {}, "Models"), models)),
    jobs.element,
    h("section", { class: "card library-content", "aria-label": "What is in it" },
      h("nav", { class: "tabs", "aria-label": "Parts of the library" }, ...tabs.map((one) => one.link)), ...Object.values(parts)),
  );

  /**
   * @param {Partial<LibraryState>} part
   * @param {string} [name] Steps in a row with the same name are one step of the back button.
   */
  function change(part, name) {
    state = { ...state, ...part };
    app.go("/library", writeLibrary(state), { merge: name });
  }

  /**
   * Start a job. Resolves to whether it started.
   * @param {object} request
   */
  async function start(request) {
    try {
      await jobs.start(request);
      return true;
    } catch (error) {
      app.fail(error);
      return false;
    }
  }

  /** @param {TrackRecord} track */
  async function removeTrack(track) {
    const sure = await confirmed("Remove this track from the library?", named(track.path), `: the file itself stays. Indexing its folder again brings the track back.`, "Remove");
    if (sure) await start({ kind: "remove", paths: [track.path] });
  }

  /** @param {import("../types.js").LibraryRecord["folders"][number]} folder */
  async function removeFolder(folder) {
    const sure = await confirmed("Remove this folder from the library?", named(folder.path), `: ${counted(folder.tracks, "track")}. The files themselves stay.`, "Remove");
    if (sure) await start({ kind: "remove", paths: [folder.path] });
  }

  function head() {
    const { library } = app;
    const facts = /** @type {[string, string][]} */ ([
      ["tracks", count(library.tracks)], ["on disk", size(library.bytes)],
      ...(library.missing ? [["missing", count(library.missing)]] : []), ...(library.failures ? [["failed", count(library.failures)]] : []),
    ]);
    fill(summary, ...facts.map(([name, value]) => h("div", {}, h("dd", { class: "number" }, value), h("dt", {}, name))));
    fill(folders, ...library.folders.map((folder) => h(
      "li", {}, icon("folder"),
      h("div", { class: "folder-names" }, h("code", {}, folder.path), h("div", { class: "soft" }, folder.absent ? `${counted(folder.tracks, "track")}; the folder is gone or empty` : counted(folder.tracks, "track"))),
      library.editable && h("button", { type: "button", class: "button small", "aria-label": `Update ${folder.path}`, title: "Index what is new or changed", onclick: () => void start({ kind: "index", sources: [folder.path] }) }, "Update"),
      library.editable && iconButton("remove", `Remove ${folder.path}`, { onclick: () => void removeFolder(folder) }),
    )));
    if (!library.folders.length) fill(folders, h("li", { class: "soft" }, "No folder is indexed yet."));
    add.hidden = !library.editable;
    locked.hidden = library.editable;
    fill(models, ...library.models.map((model) => h(
      "li", {}, h("div", { class: "name" }, model.name, model.default && library.models.length > 1 ? h("span", { class: "mark" }, "default") : null),
      h("p", { class: "soft" }, model.summary), h("p", { class: "soft" }, `${counted(model.tracks, "track")} · licence ${model.licence}`),
    )));
    if (!library.models.length) fill(models, h("li", { class: "soft" }, "The first index brings one."));
    for (const { part, link } of tabs) {
      const params = writeLibrary({ part, q: "", page: 1 }).toString();
      link.href = params ? `/library?${params}` : "/library";
      const number = part === "tracks" ? library.tracks : part === "failures" ? library.failures : null;
      fill(link, part[0].toUpperCase() + part.slice(1), number === null ? null : h("span", { class: "number soft" }, ` ${count(number)}`));
      if (part === state.part) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  const ask = latestOnly((signal, /** @type {string} */ address) => /** @type {Promise<import("../types.js").TracksPage>} */ (get(address, { signal })));

  async function showTracks() {
    if (document.activeElement !== find) find.value = state.q;
    const params = new URLSearchParams({ limit: String(PAGE), offset: String((state.page - 1) * PAGE) });
    if (state.q.trim()) params.set("q", state.q.trim());
    const page = await ask(`/tracks?${params}`);
    const last = Math.max(Math.ceil(page.total / PAGE), 1);
    if (state.page > last) {
      change({ page: last }, "page");
      return;
    }
    const first = page.offset + 1;
    found.textContent = !page.total ? (state.q ? "No track has this name." : "The library holds no tracks yet.")
      : last === 1 ? counted(page.total, "track") : `${count(first)}–${count(page.offset + page.tracks.length)} of ${counted(page.total, "track")}`;
    list.show(page.tracks);
    pager.hidden = last === 1;
    const step = (/** @type {string} */ label, /** @type {number} */ to) => h("button", { type: "button", class: "button", disabled: to < 1 || to > last, onclick: () => {
      change({ page: to });
      tracksPart.scrollIntoView({ block: "start" });
    } }, label);
    fill(pager, step("Previous", state.page - 1), h("span", { class: "number soft" }, `page ${state.page} of ${last}`), step("Next", state.page + 1));
  }

  async function showFailures() {
    /** @type {FailedFile[]} */
    const found = await get("/failures");
    const again = app.library.editable && found.length > 0 && h("button", { type: "button", class: "button", onclick: () => void start({ kind: "index", sources: found.slice(0, 1000).map((one) => one.path), retry: true }) }, "Try again");
    fill(
      failures, h("p", {}, found.length ? "These files could not be read. They are tried again when they change." : "Every file could be read."), again,
      h("ul", { class: "file-list" }, ...found.map((one) => h("li", {}, h("code", {}, one.path), h("span", { class: "soft" }, `${one.message}${one.attempts > 1 ? ` (tried ${one.attempts} times)` : ""}`)))),
    );
  }

  async function showPart() {
    for (const [name, part] of Object.entries(parts)) part.hidden = name !== state.part;
    if (state.part === "tracks") await showTracks();
    else if (state.part === "failures") await showFailures();
    else await (state.part === "duplicates" ? duplicates : versions).load();
  }

  /** Read the library again, after it changed. */
  async function renew() {
    await app.reload();
    head();
    await showPart();
  }

  return {
    element,
    title: "Library · soundalike",
    leave: () => {
      entered = false;
    },
    show(params) {
      state = readLibrary(params);
      head();
      const complain = (/** @type {unknown} */ error) => (isAbort(error) ? undefined : app.fail(error));
      showPart().catch(complain);
      if (!entered) jobs.load().catch(complain);
      entered = true;
    },
  };
}
