/**
 * Which part of a map is seen. Pure functions, no DOM.
 *
 * Coordinates of the map are in [-1, 1], y upwards; those of the screen are CSS pixels, y downwards. At zoom 1 all of
 * the map fits, with a margin.
 */

/**
 * @typedef {object} Camera
 * @property {number} x The middle of the screen, on the map.
 * @property {number} y
 * @property {number} zoom
 */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{x: number, y: number}} Point */

const FARTHEST = 0.5;
const CLOSEST = 400;
const MARGIN = 0.92;

/** @type {Camera} */
export const ALL = { x: 0, y: 0, zoom: 1 };

/**
 * Pixels per unit of the map.
 * @param {Camera} camera
 * @param {Size} size
 */
export function unit(camera, { width, height }) {
  return (camera.zoom * MARGIN * Math.min(width, height)) / 2;
}

/**
 * @param {Camera} camera
 * @param {Size} size
 * @param {Point} point Of the map.
 * @returns {Point}
 */
export function toScreen(camera, size, point) {
  const scale = unit(camera, size);
  return { x: size.width / 2 + (point.x - camera.x) * scale, y: size.height / 2 - (point.y - camera.y) * scale };
}

/**
 * @param {Camera} camera
 * @param {Size} size
 * @param {Point} point Of the screen.
 * @returns {Point}
 */
export function toMap(camera, size, point) {
  const scale = unit(camera, size);
  return { x: camera.x + (point.x - size.width / 2) / scale, y: camera.y - (point.y - size.height / 2) / scale };
}

/**
 * Keep the map in reach.
 * @param {Camera} camera
 * @returns {Camera}
 */
export function bounded({ x, y, zoom }) {
  const within = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(Math.max(value, -most), most);
  return { x: within(x, 1), y: within(y, 1), zoom: Math.min(Math.max(zoom, FARTHEST), CLOSEST) };
}

/**
 * Move the map by a distance on the screen.
 * @param {Camera} camera
 * @param {Size} size
 * @param {number} dx
 * @param {number} dy
 */
export function panned(camera, size, dx, dy) {
  const scale = unit(camera, size);
  return bounded({ ...camera, x: camera.x - dx / scale, y: camera.y + dy / scale });
}

/**
 * Zoom, so that what is at a point of the screen stays there.
 * @param {Camera} camera
 * @param {Size} size
 * @param {number} factor
 * @param {Point} point
 */
export function zoomed(camera, size, factor, point) {
  const before = toMap(camera, size, point);
  const next = bounded({ ...camera, zoom: camera.zoom * factor });
  const after = toMap(next, size, point);
  return bounded({ ...next, x: next.x + before.x - after.x, y: next.y + before.y - after.y });
}

/**
 * The diameter of points in CSS pixels: smaller the more there are, and growing slowly with the zoom.
 * @param {number} count
 * @param {number} zoom
 */
export function pointSize(count, zoom) {
  const base = Math.min(Math.max(150 / Math.sqrt(Math.max(count, 1)), 2.5), 12);
  return Math.min(base * Math.max(zoom, 1) ** 0.35, 22);
}
