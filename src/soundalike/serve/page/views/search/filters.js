/**
 * Which tracks may be found: conditions, level, artists, versions, and bounds per space.
 */

import { fill, freshId, h, tint } from "../../dom.js";

/** @typedef {import("../../state.js").SearchState} SearchState */
/** @typedef {Pick<SearchState, "where" | "by" | "otherArtists" | "collapse" | "atLeast" | "atMost" | "model" | "weights" | "stem">} Filters */

const EXAMPLES = ["bpm 90..110", "genre = jazz", "key ~ query", "year < 1980 and artist != Bach"];
const LEVELS = /** @type {const} */ ([["auto", ""], ["track", "track"], ["passage", "passage"]]);

/**
 * @param {import("../../types.js").LibraryRecord} library
 * @param {(change: Partial<Filters>, name: string) => void} changed
 */
export function filterPanel(library, changed) {
  const [whereId, noteId] = [freshId("where"), freshId("note")];
  const where = h("input", { id: whereId, type: "text", autocomplete: "off", spellcheck: false, placeholder: EXAMPLES[0], "aria-describedby": noteId });
  const note = h("p", { id: noteId, class: "field-note", role: "status" });
  const examples = h("p", { class: "examples" }, ...EXAMPLES.map((text) => {
    const button = h("button", { type: "button", class: "example", onclick: () => {
      where.value = text;
      changed({ where: text }, "where");
    } }, text);
    return button;
  }));
  const name = freshId("level");
  const levels = LEVELS.map(([label, value]) => {
    const input = h("input", { type: "radio", name, value, onchange: () => changed({ by: value || null }, "by") });
    return { input, element: h("label", {}, input, h("span", {}, label)) };
  });
  const artists = h("input", { type: "checkbox", onchange: () => changed({ otherArtists: artists.checked }, "artists") });
  const collapse = h("input", { type: "checkbox", onchange: () => changed({ collapse: collapse.checked }, "collapse") });
  const model = h("select", { id: freshId("model"), onchange: () => changed({ model: model.value, weights: null }, "model") },
    ...library.models.map((one) => h("option", { value: one.name }, one.name)));
  const bounds = h("div", { class: "bounds" });
  const details = h("details", {}, h("summary", {}, "Bounds per space"),
    h("p", { class: "field-note" }, "Percentiles from 0 to 100. At least 95 keeps the closest of 20 pairs."), bounds);
  // On a narrow screen the results come first.
  const element = h(
    "details", { class: "filters", open: matchMedia("(min-width: 901px)").matches },
    h("summary", {}, h("h2", {}, "Where to look")),
    library.models.length > 1 && h("div", { class: "field" }, h("label", { for: model.id }, "Model"), model),
    h("div", { class: "field" }, h("label", { for: whereId }, "Only tracks with"), where, note, examples),
    h("fieldset", { class: "levels" }, h("legend", {}, "Compare"), h("div", { class: "segmented" }, ...levels.map((one) => one.element))),
    h("label", { class: "check" }, artists, "Other artists only"),
    h("label", { class: "check" }, collapse, "One version of each piece"),
    details,
  );

  where.addEventListener("change", () => changed({ where: where.value }, "where"));
  where.addEventListener("keydown", (event) => {
    if (event.key === "Enter") changed({ where: where.value }, "where");
  });

  /**
   * @param {import("../../types.js").SpaceInfo[]} spaces
   * @param {Filters} filters
   */
  function showBounds(spaces, filters) {
    if (bounds.contains(document.activeElement)) return;
    fill(
      bounds,
      ...spaces.map((space) => {
        const [least, most] = /** @type {const} */ (["atLeast", "atMost"]).map((key) => {
          const input = h("input", {
            type: "number", min: "0", max: "100", step: "any", value: filters[key][space.name] ?? "",
            placeholder: key === "atLeast" ? "at least" : "at most",
            "aria-label": `${space.name}: ${key === "atLeast" ? "at least" : "at most"}`,
          });
          input.addEventListener("change", () => {
            const { [space.name]: _, ...rest } = filters[key];
            const value = input.valueAsNumber;
            filters[key] = Number.isNaN(value) ? rest : { ...rest, [space.name]: Math.min(100, Math.max(0, value)) };
            changed({ [key]: filters[key] }, "bounds");
          });
          return input;
        });
        const label = h("span", { class: "bound-name" }, h("span", { class: "dot" }), space.name);
        tint(label, space.colour);
        return h("div", { class: "bound" }, label, least, most);
      }),
    );
  }

  return {
    element,
    /**
     * @param {import("../../types.js").SpaceInfo[]} spaces
     * @param {Filters} filters
     */
    show(spaces, filters) {
      if (document.activeElement !== where) where.value = filters.where;
      for (const { input } of levels) input.checked = input.value === (filters.by ?? "");
      artists.checked = filters.otherArtists;
      collapse.checked = filters.collapse;
      artists.disabled = collapse.disabled = filters.stem !== null;
      model.value = filters.model ?? library.models.find((one) => one.default)?.name ?? "";
      showBounds(spaces, { ...filters });
      if (Object.keys(filters.atLeast).length + Object.keys(filters.atMost).length) details.open = true;
    },
    /**
     * Show what is wrong with the conditions; null for nothing.
     * @param {string | null} problem
     */
    complain(problem) {
      where.setAttribute("aria-invalid", String(problem !== null));
      note.classList.toggle("bad", problem !== null);
      note.textContent = problem ?? "";
    },
  };
}
