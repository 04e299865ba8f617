/**
 * Light or dark: as the system has it, or as the person chose here. The choice is kept in this browser.
 */

import { fill, h, icon } from "./dom.js";

const KEY = "soundalike.theme";
const NEXT = /** @type {const} */ ({ system: "light", light: "dark", dark: "system" });
const NAMES = { system: "as the system", light: "light", dark: "dark" };

/** @typedef {keyof typeof NEXT} Theme */

/** @returns {Theme} */
function stored() {
  const found = localStorage.getItem(KEY);
  return found === "light" || found === "dark" ? found : "system";
}

/** @param {Theme} theme */
function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  // Canvases read their colours once, so that they are told.
  document.dispatchEvent(new CustomEvent("themechange"));
}

/** A button that goes through the themes. */
export function themeButton() {
  const button = h("button", { type: "button", class: "icon-button" });
  /** @param {Theme} theme */
  function show(theme) {
    fill(button, icon(theme));
    const label = `Colours: ${NAMES[theme]}`;
    button.setAttribute("aria-label", label);
    button.title = label;
    apply(theme);
  }
  button.addEventListener("click", () => {
    const theme = NEXT[stored()];
    localStorage.setItem(KEY, theme);
    show(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(stored()));
  show(stored());
  return button;
}

/**
 * The value of a CSS variable, for canvases.
 * @param {string} name
 */
export function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
