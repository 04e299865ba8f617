/**
 * The map itself: a canvas of points that is dragged, zoomed, pointed at and lassoed, with a mouse, fingers or keys.
 *
 * Arrow keys go from a point to its nearest neighbour in that direction, Enter plays it, Space selects it, + and - zoom,
 * 0 shows all, Escape gives up a lasso.
 */

import { dotted, fill, h, named, s } from "../../dom.js";
import { Points } from "../../components/points.js";
import { ALL, bounded, panned, toMap, toScreen, unit, zoomed } from "./camera.js";
import { Grid } from "./grid.js";

/** @typedef {import("./camera.js").Camera} Camera */
/** @typedef {import("./camera.js").Point} Point */
/** @typedef {import("./grid.js").Direction} Direction */

/**
 * @typedef {object} StageEvents
 * @property {(index: number | null) => void} pointed The point under the mouse, or where the keys went.
 * @property {(index: number) => void} pressed
 * @property {(index: number) => void} picked Space was pressed.
 * @property {(indices: number[]) => void} lassoed
 * @property {(camera: Camera) => void} rested The camera moved and rests.
 * @property {(lasso: boolean) => void} lassoing
 */

const REACH = 14;
const STILL = 5;
const STEP = 1.4;
const REST = 400;
const ARROWS = /** @type {Record<string, Direction>} */ ({ ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" });

/**
 * Throws if the browser cannot draw it.
 * @param {StageEvents} tell
 */
export function mapStage(tell) {
  const canvas = h("canvas", { class: "map-canvas", tabIndex: 0, role: "application", "aria-roledescription": "map of tracks" });
  const ring = s("circle", { class: "map-ring", r: 10 });
  const loop = s("path", { class: "map-loop" });
  const [title, about] = [h("strong", {}), h("div", {})];
  const label = h("div", { class: "map-label", "aria-hidden": "true" }, title, about);
  const element = h("div", { class: "map-stage" }, canvas, s("svg", { class: "map-over", "aria-hidden": "true" }, loop, ring), label);
  const points = new Points(canvas, () => redraw());
  let grid = new Grid(new Float32Array());
  let camera = ALL;
  /** @type {number | null} */
  let current = null;
  /** @type {(index: number) => boolean} */
  let visible = () => true;
  let lassoing = false;
  let frame = 0;
  let resting = 0;
  /** @type {Map<number, Point>} */
  const fingers = new Map();
  /** @type {{moved: boolean, from: Point, lasso: Point[] | null} | null} */
  let drag = null;

  // Measured when it changes: asking the page for it in every frame would make it lay out itself each time.
  let room = { width: 1, height: 1 };
  const size = () => room;
  const place = (/** @type {number} */ at) => ({ x: grid.xy[2 * at], y: grid.xy[2 * at + 1] });

  function redraw() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      points.resize(room);
      points.draw(camera);
      overlay();
    });
  }

  function overlay() {
    const shown = current !== null && current < grid.count;
    ring.toggleAttribute("hidden", !shown);
    label.hidden = !shown || !title.textContent;
    if (current !== null && shown) {
      const { x, y } = toScreen(camera, size(), place(current));
      ring.setAttribute("cx", x.toFixed(1));
      ring.setAttribute("cy", y.toFixed(1));
      label.classList.toggle("left", x > room.width / 2);
      label.style.translate = `${x.toFixed(0)}px ${Math.min(Math.max(y, 24), room.height - 24).toFixed(0)}px`;
    }
    const lasso = drag?.lasso ?? [];
    loop.setAttribute("d", lasso.length > 1 ? `M${lasso.map(({ x, y }) => `${x.toFixed(0)} ${y.toFixed(0)}`).join("L")}Z` : "");
  }

  /** @param {Camera} next */
  function move(next) {
    camera = next;
    redraw();
    clearTimeout(resting);
    resting = setTimeout(() => tell.rested(camera), REST);
  }

  /** @param {PointerEvent | WheelEvent} event @returns {Point} */
  function spot(event) {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** @param {Point} at */
  function under(at) {
    return grid.nearest(toMap(camera, size(), at), REACH / unit(camera, size()), visible);
  }

  /** @param {number | null} index */
  function point(index) {
    if (index === current) return;
    current = index;
    title.textContent = "";
    redraw();
    tell.pointed(index);
  }

  /** @param {boolean} wanted */
  function setLasso(wanted) {
    lassoing = wanted;
    canvas.classList.toggle("lasso", wanted);
    tell.lassoing(wanted);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    const at = spot(event);
    fingers.set(event.pointerId, at);
    // A second finger makes it a pinch.
    drag = fingers.size > 1 ? { moved: true, from: at, lasso: null } : { moved: false, from: at, lasso: lassoing || event.shiftKey ? [at] : null };
  });

  canvas.addEventListener("pointermove", (event) => {
    const at = spot(event);
    const before = fingers.get(event.pointerId);
    if (!before || !drag) {
      if (event.pointerType === "mouse") point(under(at));
      return;
    }
    if (fingers.size === 2) pinch(event.pointerId, before, at);
    fingers.set(event.pointerId, at);
    if (fingers.size > 1) return;
    if (!drag.moved && Math.hypot(at.x - drag.from.x, at.y - drag.from.y) < STILL) return;
    drag.moved = true;
    if (drag.lasso) {
      drag.lasso.push(at);
      redraw();
    } else {
      move(panned(camera, size(), at.x - before.x, at.y - before.y));
    }
  });

  /**
   * @param {number} id The finger that moved.
   * @param {Point} before
   * @param {Point} at
   */
  function pinch(id, before, at) {
    const other = [...fingers].find(([one]) => one !== id)?.[1] ?? at;
    const apart = (/** @type {Point} */ one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
    const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
    const slid = panned(camera, size(), (at.x - before.x) / 2, (at.y - before.y) / 2);
    move(zoomed(slid, size(), apart(at) / apart(before), middle));
  }

  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (!drag || fingers.size) return;
    const done = drag;
    drag = null;
    if (done.lasso && done.moved) {
      const polygon = done.lasso.map((at) => toMap(camera, size(), at));
      setLasso(false);
      tell.lassoed(grid.inside(polygon, visible));
    } else if (!done.moved) {
      const found = under(spot(event));
      if (found !== null) {
        point(found);
        tell.pressed(found);
      }
    }
    redraw();
  });
  canvas.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    drag = null;
    redraw();
  });
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !drag) point(null);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    move(zoomed(camera, size(), Math.exp(-event.deltaY * lines * 0.0016), spot(event)));
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = ARROWS[event.key];
    if (direction) step(direction);
    else if (event.key === "Enter" && current !== null) tell.pressed(current);
    else if (event.key === " " && current !== null) tell.picked(current);
    else if (event.key === "+" || event.key === "=") zoom(STEP);
    else if (event.key === "-") zoom(1 / STEP);
    else if (event.key === "0") move(ALL);
    else if (event.key === "Escape" && (lassoing || drag)) {
      drag = null;
      setLasso(false);
      redraw();
    } else return;
    event.preventDefault();
  });

  /** @param {Direction} direction */
  function step(direction) {
    const next = current === null ? grid.nearest(camera, 4, visible) : grid.towards(current, direction, visible);
    if (next === null) return;
    const { x, y } = toScreen(camera, size(), place(next));
    const { width, height } = size();
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) move(bounded({ ...camera, ...place(next) }));
    point(next);
  }

  /** @param {number} factor */
  function zoom(factor) {
    const { width, height } = size();
    move(zoomed(camera, size(), factor, { x: width / 2, y: height / 2 }));
  }

  new ResizeObserver(() => {
    room = { width: canvas.clientWidth || 1, height: canvas.clientHeight || 1 };
    redraw();
  }).observe(canvas);

  return {
    element, canvas, points, redraw, zoom, setLasso,
    fit: () => move(ALL),
    get count() {
      return grid.count;
    },
    /** The point that has the attention. */
    get current() {
      return current;
    },
    /** @param {Float32Array} xy */
    setPlaces(xy) {
      grid = new Grid(xy);
      points.setPlaces(xy);
      current = null;
      redraw();
    },
    /** @param {Camera | null} wanted Null shows all of it. */
    setCamera(wanted) {
      camera = bounded(wanted ?? ALL);
      redraw();
    },
    /** @param {(index: number) => boolean} wanted */
    setVisible(wanted) {
      visible = wanted;
      redraw();
    },
    /** The points that are in sight. */
    inSight() {
      const { width, height } = size();
      const corners = [{ x: 0, y: 0 }, { x: width, y: 0 }, { x: width, y: height }, { x: 0, y: height }];
      return grid.inside(corners.map((at) => toMap(camera, size(), at)), visible);
    },
    /**
     * Name a point, if it still has the attention.
     * @param {number} index
     * @param {string} name
     * @param {(string | number | null)[]} more
     */
    name(index, name, more) {
      if (index !== current) return;
      fill(title, named(name));
      fill(about, ...dotted(...more));
      canvas.setAttribute("aria-label", `Map of ${grid.count} tracks. ${[name, ...more.filter(Boolean)].join(", ")}`);
      redraw();
    },
  };
}
