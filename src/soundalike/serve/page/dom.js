/**
 * Elements. Text is only ever set as text, never as HTML: titles and file names come from anywhere.
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Set attributes, properties and listeners of an element. `class`, `for`, `role`, `aria-*`, `data-*` and all names with
 * a hyphen are attributes; `on*` are listeners; `vars` are CSS variables; the rest are properties.
 * @param {Element} element
 * @param {Record<string, unknown>} props
 */
function set(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name === "vars") {
      const style = /** @type {HTMLElement} */ (element).style;
      for (const [key, one] of Object.entries(/** @type {Record<string, string>} */ (value))) style.setProperty(key, one);
    } else if (element instanceof SVGElement || name.includes("-") || ["class", "for", "role", "list"].includes(name)) {
      element.setAttribute(name, String(value));
    } else {
      Reflect.set(element, name, value);
    }
  }
}

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  set(element, props);
  append(element, children);
  return element;
}

/**
 * Make an element of SVG.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  set(element, props);
  append(element, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Child[]} children
 */
function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Replace what is in an element.
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * A name from a tag or a file. It stands for itself: writing from right to left, and characters that turn the direction,
 * leave the text beside it as it is. Long ones are cut by the style sheet.
 * @param {string} text
 */
export function named(text) {
  return h("bdi", {}, text);
}

/**
 * Names and facts in one line, each one for itself, with dots between them. What is empty is left out.
 * @param {...(string | number | false | null | undefined)} texts
 * @returns {Child[]}
 */
export function dotted(...texts) {
  return texts.filter(Boolean).flatMap((text, at) => [at > 0 && " \u00b7 ", named(String(text))]);
}

/**
 * The element of an id. Throws if there is none.
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the document has no element ${id}`);
  return found;
}

let numbers = 0;

/**
 * An id that no other element has.
 * @param {string} prefix
 */
export function freshId(prefix) {
  numbers += 1;
  return `${prefix}-${numbers}`;
}

/** Whether the person asked for less motion. */
export function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Outlines on a 24 by 24 grid. @type {Record<string, string>} */
const ICONS = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M8 5.5h3v13H8zM13.5 5.5h3v13h-3z",
  up: "M7 10.5l4.2-7c1.4 0 2.2 1 2.2 2.3L13 9.5h5.2c1.2 0 2 1.1 1.7 2.2l-1.7 6.6c-.2.9-1 1.5-1.9 1.5H7zM4 10.5h3v9.3H4z",
  down: "M17 13.5l-4.2 7c-1.4 0-2.2-1-2.2-2.3l.4-3.7H5.8c-1.2 0-2-1.1-1.7-2.2l1.7-6.6c.2-.9 1-1.5 1.9-1.5H17zM20 13.5h-3V4.2h3z",
  more: "M6 9l6 6 6-6",
  add: "M12 5v14M5 12h14",
  "remove-line": "M5 12h14",
  lasso: "M12 4.5c4.7 0 8.5 2.6 8.5 5.9s-3.8 5.9-8.5 5.9-8.5-2.6-8.5-5.9S7.3 4.5 12 4.5zM8 15.6c-2 .6-2.6 3.6-.4 4.4",
  whole: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  folder: "M3.5 6.5h6l2 2.5h9v10h-17z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  remove: "M6 6l12 12M18 6L6 18",
  raise: "M12 19V5M6 11l6-6 6 6",
  lower: "M12 5v14M6 13l6 6 6-6",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  copy: "M9 9h10v11H9zM5 15V4h10",
  microphone: "M12 3.5a2.7 2.7 0 0 1 2.7 2.7v5.3a2.7 2.7 0 0 1-5.4 0V6.2A2.7 2.7 0 0 1 12 3.5zM6 11.5a6 6 0 0 0 12 0M12 17.5V21",
  file: "M12 16V5M7.5 9L12 4.5 16.5 9M5 15v4.5h14V15",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5L20 20",
  list: "M5 7h10M5 12h10M5 17h6M16.5 18.5a2 2 0 1 1 0-.01M18.5 18V9l3 1.5",
  compare: "M4 8h13M13.5 4.5L17 8l-3.5 3.5M20 16H7M10.5 12.5L7 16l3.5 3.5",
  volume: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M17.8 6.5a8 8 0 0 1 0 11",
  light: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  dark: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
};
const SOLID = new Set(["play", "pause"]);

/**
 * A small picture for a control that has a name of its own.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  return s(
    "svg",
    { class: SOLID.has(name) ? "icon solid" : "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    s("path", { d: ICONS[name] }),
  );
}

/**
 * A round button with a picture. `label` is its name and its tooltip.
 * @param {string} name
 * @param {string} label
 * @param {Record<string, unknown>} [props]
 */
export function iconButton(name, label, props = {}) {
  const { class: more = "", ...rest } = props;
  return h("button", { type: "button", class: `icon-button ${more}`, "aria-label": label, title: label, ...rest }, icon(name));
}

/**
 * Colour an element, and what is in it, like a space: sets `--c`.
 * @param {HTMLElement | SVGElement} element
 * @param {string} colour
 */
export function tint(element, colour) {
  element.classList.add("tinted");
  element.style.setProperty("--c", colour);
}
