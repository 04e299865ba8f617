/**
 * The controls of the map: colours, hearing, lasso and zoom above it, the legend below, and how it is made beside it.
 */

import { fill, freshId, h, icon, iconButton, named } from "../../dom.js";
import { count, counted } from "../../words.js";
import { FIELDS } from "./state.js";

/** @typedef {import("./state.js").MapState} MapState */

/**
 * @typedef {object} ControlEvents
 * @property {(part: Partial<MapState>, name: string) => void} change
 * @property {() => void} fit
 * @property {(factor: number) => void} zoom
 * @property {(wanted: boolean) => void} lasso
 * @property {() => void} inSight
 * @property {(group: string, wanted: boolean) => void} toggle
 */

const NAMES = /** @type {Record<string, string>} */ ({ genre: "genre", key: "key", bpm: "tempo", year: "year" });
const METHODS = /** @type {const} */ ([["auto", "best available"], ["umap", "UMAP: neighbours stay together"], ["pca", "PCA: fast"]]);
const HEAR_KEY = "soundalike.hear";
const STEP = 1.5;

/**
 * @param {import("../../types.js").LibraryRecord} library
 * @param {ControlEvents} tell
 */
export function mapControls(library, tell) {
  const [colourId, methodId, modelId, whereId, noteId] = ["colour", "method", "model", "where", "note"].map(freshId);
  const colour = h("select", { id: colourId, onchange: () => tell.change({ colour: colour.value }, "colour") });
  const hear = h("input", { type: "checkbox", checked: localStorage.getItem(HEAR_KEY) === "1", onchange: () => localStorage.setItem(HEAR_KEY, hear.checked ? "1" : "0") });
  const lasso = h("button", { type: "button", class: "button", "aria-pressed": "false", title: "Draw around tracks to select them (or drag with Shift)", onclick: () => tell.lasso(lasso.getAttribute("aria-pressed") !== "true") }, icon("lasso"), "Lasso");
  const bar = h(
    "div", { class: "map-bar" },
    h("div", { class: "map-colour" }, h("label", { for: colourId }, "Colour"), colour),
    h("label", { class: "check map-hear" }, hear, "Hover to hear"),
    h("div", { class: "map-buttons" }, lasso,
      h("button", { type: "button", class: "button quiet", title: "Select all tracks that are in sight", onclick: tell.inSight }, "Select in sight"),
      iconButton("remove-line", "Zoom out", { onclick: () => tell.zoom(1 / STEP) }),
      iconButton("add", "Zoom in", { onclick: () => tell.zoom(STEP) }),
      iconButton("whole", "Show all of it", { onclick: tell.fit })),
  );
  const legend = h("div", { class: "map-legend", role: "group" });
  const note = h("p", { class: "soft map-note" });
  const made = h("p", { class: "field-note" });
  const method = h("select", { id: methodId, onchange: () => tell.change({ method: METHODS.find(([value]) => value === method.value)?.[0] }, "method") },
    ...METHODS.map(([value, label]) => h("option", { value }, label)));
  const model = h("select", { id: modelId, onchange: () => tell.change({ model: model.value, weights: null }, "model") },
    ...library.models.map((one) => h("option", { value: one.name }, one.name)));
  const where = h("input", { id: whereId, type: "text", autocomplete: "off", spellcheck: false, placeholder: "bpm 90..110", "aria-describedby": noteId, onchange: () => tell.change({ where: where.value, at: null }, "where") });
  const settings = h(
    "section", { class: "map-settings", "aria-label": "How the map is made" },
    h("h2", {}, "How it is made"),
    library.models.length > 1 && h("div", { class: "field" }, h("label", { for: modelId }, "Model"), model),
    h("div", { class: "field" }, h("label", { for: whereId }, "Only tracks with"), where, h("p", { id: noteId, class: "field-note" }, "Such as genre = jazz and year < 1980.")),
    h("div", { class: "field" }, h("label", { for: methodId }, "Method"), method), made,
  );

  return {
    bar, settings,
    legend: h("div", { class: "map-under" }, note, legend),
    hears: () => hear.checked,
    /** @param {boolean} wanted */
    lassoing: (wanted) => lasso.setAttribute("aria-pressed", String(wanted)),
    /** @param {string} text */
    about(text) {
      made.textContent = text;
    },
    /**
     * @param {MapState} state
     * @param {import("../../types.js").SpaceInfo[]} spaces
     */
    show(state, spaces) {
      const values = [...FIELDS, ...spaces.map(({ name }) => `space:${name}`)];
      if (values.join() !== [...colour.options].map((one) => one.value).join()) {
        fill(colour, ...values.map((value) => h("option", { value }, NAMES[value] ?? `closeness in ${value.slice(6)}`)));
      }
      if (state.colour) colour.value = state.colour;
      method.value = state.method;
      model.value = state.model ?? library.models.find((one) => one.default)?.name ?? "";
      if (document.activeElement !== where) where.value = state.where;
    },
    /**
     * Show which colours there are.
     * @param {string} field
     * @param {{name: string, colour: string, count: number}[]} groups
     * @param {(Node | string)[]} remark
     */
    colours(field, groups, remark) {
      colour.value = field;
      fill(note, ...remark);
      note.hidden = !remark.length;
      fill(legend, ...groups.map((group) => {
        const button = h("button", { type: "button", class: "map-group", "aria-pressed": "true", title: `Show or hide ${group.name}`, "aria-label": `${group.name}, ${counted(group.count, "track")}`, vars: { "--c": group.colour }, onclick: () => {
          const wanted = button.getAttribute("aria-pressed") !== "true";
          button.setAttribute("aria-pressed", String(wanted));
          tell.toggle(group.name, wanted);
        } }, h("span", { class: "map-dot" }), named(group.name), h("span", { class: "soft number" }, count(group.count)));
        return button;
      }));
    },
  };
}
