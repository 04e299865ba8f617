/**
 * Many points on a canvas, by WebGL 2, in one draw call.
 *
 * This is a renderer of its own because the well-kept libraries for scatter plots make code from text: regl, on which
 * regl-scatterplot stands, calls `Function` for every draw command, and the Content Security Policy of the server
 * forbids that.
 *
 * Places, groups and marks are buffers that stay on the graphics card; panning, zooming, colours and hidden groups are
 * uniforms. When the card loses them, `restore` fills them again.
 */

import { pointSize, unit } from "../views/map/camera.js";

/** @typedef {import("../views/map/camera.js").Camera} Camera */

export const MOST_GROUPS = 16;

const VERTEX = `#version 300 es
uniform vec2 u_middle, u_scale;
uniform float u_size, u_plain;
uniform vec4 u_palette[${MOST_GROUPS}];
in vec2 a_place;
in float a_group, a_mark;
out vec4 v_colour;
out float v_size, v_ring;
void main() {
  vec4 colour = u_palette[int(a_group)];
  v_ring = a_mark;
  v_size = a_mark > 0.0 ? u_size * 1.5 + 4.0 : u_size;
  v_colour = a_mark > 0.0 ? colour : vec4(colour.rgb, colour.a * u_plain);
  gl_Position = colour.a > 0.0 ? vec4((a_place - u_middle) * u_scale, 0.0, 1.0) : vec4(2.0, 2.0, 0.0, 1.0);
  gl_PointSize = v_size;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 u_ink;
in vec4 v_colour;
in float v_size, v_ring;
out vec4 colour;
void main() {
  float away = length(gl_PointCoord * 2.0 - 1.0);
  float soft = 2.0 / v_size;
  float alpha = v_colour.a * (1.0 - smoothstep(1.0 - soft, 1.0, away));
  float ring = v_ring > 0.0 ? smoothstep(1.0 - 4.5 * soft, 1.0 - 3.5 * soft, away) : 0.0;
  colour = vec4(mix(v_colour.rgb, u_ink, ring) * alpha, alpha);
}`;

export class Points {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} restored Called when what was lost is there again, and should be drawn.
   */
  constructor(canvas, restored) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, powerPreference: "low-power" });
    if (!gl) throw new Error("this browser has no WebGL 2");
    this.canvas = canvas;
    this.gl = gl;
    this.count = 0;
    /** @type {Float32Array} */
    this.place = new Float32Array();
    /** @type {Uint8Array} */
    this.group = new Uint8Array();
    /** @type {Uint8Array} */
    this.mark = new Uint8Array();
    this.palette = new Float32Array(4 * MOST_GROUPS);
    this.ink = new Float32Array(3);
    this.marked = false;
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.made = this.#build();
      this.#upload();
      restored();
    });
    this.made = this.#build();
  }

  /** The name of what draws, for reports. */
  get renderer() {
    const names = this.gl.getExtension("WEBGL_debug_renderer_info");
    return String(this.gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : this.gl.RENDERER));
  }

  /** @param {Float32Array} xy */
  setPlaces(xy) {
    this.count = xy.length / 2;
    this.place = xy;
    this.group = new Uint8Array(this.count);
    this.mark = new Uint8Array(this.count);
    this.marked = false;
    this.#upload();
  }

  /**
   * @param {Uint8Array} codes The group of every point.
   */
  setGroups(codes) {
    this.group = codes;
    this.#fill(this.made.buffers.group, codes);
  }

  /**
   * @param {{colour: number[], hidden: boolean}[]} groups
   * @param {number[]} ink The colour of the rings around marked points.
   */
  setPalette(groups, ink) {
    this.palette.fill(0);
    for (const [at, { colour, hidden }] of groups.slice(0, MOST_GROUPS).entries()) this.palette.set([...colour, hidden ? 0 : 0.9], 4 * at);
    this.ink.set(ink);
  }

  /**
   * Mark points: they are larger, have a ring, and lie above the others, which step back.
   * @param {Iterable<number>} marked
   */
  setMarks(marked) {
    this.mark = new Uint8Array(this.count);
    for (const at of marked) this.mark[at] = 1;
    this.marked = this.mark.includes(1);
    this.#fill(this.made.buffers.mark, this.mark);
    this.#sort();
  }

  /**
   * Fit the canvas to its size on the screen, in CSS pixels.
   * @param {{width: number, height: number}} size
   */
  resize(size) {
    const dense = devicePixelRatio || 1;
    const [width, height] = [Math.round(size.width * dense), Math.round(size.height * dense)];
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
  }

  /** @param {Camera} camera */
  draw(camera) {
    const { gl, canvas } = this;
    const { uniforms } = this.made;
    if (gl.isContextLost()) return;
    const scale = unit(camera, canvas);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.count) return;
    gl.uniform2f(uniforms.u_middle, camera.x, camera.y);
    gl.uniform2f(uniforms.u_scale, (2 * scale) / canvas.width, (2 * scale) / canvas.height);
    gl.uniform1f(uniforms.u_size, pointSize(this.count, camera.zoom) * (devicePixelRatio || 1));
    gl.uniform1f(uniforms.u_plain, this.marked ? 0.35 : 1);
    gl.uniform4fv(uniforms.u_palette, this.palette);
    gl.uniform3fv(uniforms.u_ink, this.ink);
    gl.drawElements(gl.POINTS, this.count, gl.UNSIGNED_INT, 0);
  }

  #build() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of /** @type {const} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = gl.createShader(kind);
      if (!shader) continue;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the points cannot be drawn: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const place = (/** @type {string} */ name) => gl.getUniformLocation(program, name);
    const uniforms = {
      u_middle: place("u_middle"), u_scale: place("u_scale"), u_size: place("u_size"), u_plain: place("u_plain"),
      u_palette: place("u_palette"), u_ink: place("u_ink"),
    };
    const buffers = { place: gl.createBuffer(), group: gl.createBuffer(), mark: gl.createBuffer(), order: gl.createBuffer() };
    for (const [name, buffer, size, kind] of /** @type {const} */ ([
      ["a_place", buffers.place, 2, gl.FLOAT], ["a_group", buffers.group, 1, gl.UNSIGNED_BYTE], ["a_mark", buffers.mark, 1, gl.UNSIGNED_BYTE],
    ])) {
      const at = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, kind, false, 0, 0);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.order);
    return { uniforms, buffers };
  }

  #upload() {
    this.#fill(this.made.buffers.place, this.place);
    this.#fill(this.made.buffers.group, this.group);
    this.#fill(this.made.buffers.mark, this.mark);
    this.#sort();
  }

  /** The order in which points are drawn: marked ones last. */
  #sort() {
    const order = new Uint32Array(this.count);
    let next = 0;
    for (const wanted of [0, 1]) {
      for (let at = 0; at < this.count; at += 1) if (this.mark[at] === wanted) order[next++] = at;
    }
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, order, this.gl.STATIC_DRAW);
  }

  /**
   * @param {WebGLBuffer} buffer
   * @param {Float32Array | Uint8Array} values
   */
  #fill(buffer, values) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, this.gl.STATIC_DRAW);
  }
}
