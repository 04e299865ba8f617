/**
 * Requests to the HTTP interface. Errors are problem documents (RFC 9457), whose `detail` is one sentence.
 */

const BASE = "/api/v1";

/** A request that was refused or failed. Its message is meant for people. */
export class ApiError extends Error {
  /**
   * @param {string} detail
   * @param {number} status 0 if there was no answer.
   */
  constructor(detail, status) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
  }
}

/**
 * Whether a request was given up on purpose.
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof Error && error.name === "AbortError";
}

/**
 * @param {string} path Below /api/v1, or an address that begins with it.
 */
function full(path) {
  return path.startsWith(BASE) ? path : BASE + path;
}

/**
 * The sentence of an answer that is an error.
 * @param {number} status
 * @param {string} body
 */
export function problemOf(status, body) {
  try {
    const detail = JSON.parse(body).detail;
    if (typeof detail === "string" && detail) return new ApiError(detail, status);
  } catch {
    // A proxy may answer with a page of its own.
  }
  return new ApiError(`the server answered with status ${status}`, status);
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function send(path, options) {
  let answer;
  try {
    answer = await fetch(full(path), options);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("the server does not answer; is it still running?", 0);
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
  return answer;
}

/**
 * GET a record.
 * @template T
 * @param {string} path
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<T>}
 */
export async function get(path, { signal } = {}) {
  return (await send(path, { signal })).json();
}

/**
 * POST a record and read one.
 * @template T
 * @param {string} path
 * @param {unknown} body
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<T>}
 */
export async function post(path, body, options = {}) {
  return (await postRaw(path, body, options)).json();
}

/**
 * POST a record; the answer is something else than JSON.
 * @param {string} path
 * @param {unknown} body
 * @param {{signal?: AbortSignal}} [options]
 */
export function postRaw(path, body, { signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  return send(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

/**
 * DELETE a resource.
 * @param {string} path
 */
export async function remove(path) {
  await send(path, { method: "DELETE" });
}

/**
 * Send a recording. fetch reports no progress of what it sends, so that this uses XMLHttpRequest.
 * @param {Blob} blob
 * @param {string} name
 * @param {{progress?: (share: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<import("./types.js").UploadRecord>}
 */
export function upload(blob, name, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}/uploads?name=${encodeURIComponent(name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress?.(event.total ? event.loaded / event.total : 0);
    request.onerror = () => reject(new ApiError("the server does not answer; is it still running?", 0));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.status, request.responseText));
    };
    signal?.addEventListener("abort", () => request.abort());
    request.send(blob);
  });
}

/**
 * Ask for the newest of many values, one at a time: while one is worked on, only the latest of those that arrive
 * waits. Answers come as fast as they can be made, and never out of order.
 * @template T, R
 * @param {(value: T) => Promise<R>} work
 * @param {(result: R, value: T) => void} done
 * @param {(error: unknown, value: T) => void} failed
 */
export function newestWins(work, done, failed) {
  let busy = false;
  /** @type {{value: T} | null} */
  let waiting = null;
  let dropped = 0;

  /** @param {T} value */
  async function run(value) {
    busy = true;
    const asked = dropped;
    try {
      const result = await work(value);
      if (asked === dropped) done(result, value);
    } catch (error) {
      if (asked === dropped && !waiting) failed(error, value);
    }
    busy = false;
    const next = waiting;
    waiting = null;
    if (next) await run(next.value);
  }

  return {
    /** @param {T} value */
    ask(value) {
      if (busy) waiting = { value };
      else void run(value);
    },
    /** Forget what waits, and the answer to what is worked on. */
    drop() {
      waiting = null;
      dropped += 1;
    },
  };
}

/**
 * A function that aborts its earlier call when it is called again.
 * @template {unknown[]} A
 * @template R
 * @param {(signal: AbortSignal, ...values: A) => Promise<R>} work
 */
export function latestOnly(work) {
  let controller = new AbortController();
  /** @param {A} values */
  return (...values) => {
    controller.abort();
    controller = new AbortController();
    return work(controller.signal, ...values);
  };
}
