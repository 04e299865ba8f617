/**
 * The page: its header, its views and its addresses.
 *
 * A view is a module of `views/` that exports `createView(app)`, which returns a View. It is made when it is first
 * shown, and kept. `show` gets the query string every time that its address is opened, by a link, `app.go`, or the back
 * button. To add a view, add a line to VIEWS. Style sheets are named in index.html.
 */

import { get, isAbort } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { Player } from "./player.js";
import { Playlist } from "./playlist.js";
import { address } from "./state.js";
import { themeButton } from "./theme.js";
import { showPlayer } from "./components/player-bar.js";
import { showPlaylist } from "./components/playlist-panel.js";
import { toast } from "./components/toast.js";

/** @typedef {import("./types.js").LibraryRecord} LibraryRecord */

/**
 * What views share.
 * @typedef {object} App
 * @property {LibraryRecord} library Read once; `reload` reads it again.
 * @property {() => Promise<LibraryRecord>} reload
 * @property {Player} player
 * @property {Playlist} playlist
 * @property {(path: string, params?: URLSearchParams, options?: {merge?: string}) => void} go Open an address. Steps in
 *   a row with the same `merge` are one step of the back button.
 * @property {(text: string) => void} announce Tell assistive technology, politely.
 * @property {(error: unknown) => void} fail Show an error, unless it is a request that was given up.
 */

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {string} title
 * @property {(params: URLSearchParams) => void} show
 * @property {() => void} [leave] Called when another view is shown.
 */

/** @type {Record<string, {name: string, load: () => Promise<{createView: (app: App) => View}>}>} */
const VIEWS = {
  "/": { name: "Search", load: () => import("./views/search.js") },
  "/compare": { name: "Compare", load: () => import("./views/compare.js") },
  "/map": { name: "Map", load: () => import("./views/map.js") },
  "/library": { name: "Library", load: () => import("./views/library.js") },
};

const links = Object.entries(VIEWS).map(([path, { name }]) => h("a", { href: path }, name));
/** @type {Map<string, View>} */
const views = new Map();
/** @type {View | null} */
let current = null;
let turn = 0;

/** @param {LibraryRecord} library */
function bones(library) {
  return JSON.stringify([library.models?.map((one) => one.name), library.spaces, library.tracks > 0]);
}

/** @returns {Promise<LibraryRecord>} */
async function reload() {
  const before = bones(app.library);
  app.library = await get("/library");
  // Views are built for the models and spaces that were there.
  if (bones(app.library) !== before) for (const [path, view] of views) if (view !== current) views.delete(path);
  return app.library;
}

/** @param {unknown} error */
function fail(error) {
  if (isAbort(error)) return;
  toast(error instanceof Error ? error.message : String(error), { error: true });
}

let announcing = 0;

/** @param {string} text */
function announce(text) {
  // While a slider moves, only the last of many results is worth hearing.
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    byId("announcer").textContent = text;
  }, 500);
}

/** @type {App["go"]} */
function go(path, params, { merge } = {}) {
  const target = address(path, params);
  if (target === location.pathname + location.search) return;
  const again = merge !== undefined && history.state?.merge === merge && location.pathname === path;
  if (again) history.replaceState({ merge }, "", target);
  else history.pushState({ merge }, "", target);
  void route();
}

/** @type {App} */
const app = {
  library: /** @type {LibraryRecord} */ ({}), reload, player: new Player(), playlist: new Playlist(), go, announce, fail,
};

/** Show the view that the address names. */
async function route() {
  turn += 1;
  const mine = turn;
  const path = location.pathname in VIEWS ? location.pathname : "/";
  try {
    let view = views.get(path);
    if (!view) {
      const module = await VIEWS[path].load();
      view = views.get(path) ?? module.createView(app);
      views.set(path, view);
    }
    if (mine !== turn) return;
    if (current !== view) {
      current?.leave?.();
      current = view;
      fill(byId("main"), view.element);
      scrollTo(0, 0);
    }
    for (const link of links) {
      if (link.pathname === path) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = view.title;
    view.show(new URLSearchParams(location.search));
  } catch (error) {
    fail(error);
  }
}

/** @param {MouseEvent} event */
function follow(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.origin !== location.origin || !(link.pathname in VIEWS) || link.hasAttribute("download") || link.hash) return;
  event.preventDefault();
  go(link.pathname, new URLSearchParams(link.search));
}

/** @param {KeyboardEvent} event */
function keys(event) {
  // Space plays and pauses, unless a control has the focus that uses it.
  const target = event.target instanceof Element ? event.target : null;
  if (event.key !== " " || target?.closest("a, button, input, select, textarea, summary, [role=option]")) return;
  if (!app.player.sound) return;
  event.preventDefault();
  void app.player.toggle();
}

async function start() {
  const playlist = h("div", { class: "playlist-holder" });
  fill(
    byId("header"),
    h("a", { href: "/", class: "brand" }, "soundalike"),
    h("nav", { "aria-label": "Views" }, ...links),
    h("div", { class: "header-end" }, playlist, themeButton()),
  );
  showPlayer(byId("player"), app.player);
  showPlaylist(playlist, app);
  document.addEventListener("click", follow);
  document.addEventListener("keydown", keys);
  addEventListener("popstate", () => void route());
  try {
    await reload();
  } catch (error) {
    const again = h("button", { type: "button", class: "button", onclick: () => location.reload() }, "Try again");
    const reason = error instanceof Error ? error.message : String(error);
    fill(byId("main"), h("section", { class: "empty" }, h("h1", {}, "The library cannot be read"), h("p", {}, reason), again));
    return;
  }
  await route();
}

void start();
