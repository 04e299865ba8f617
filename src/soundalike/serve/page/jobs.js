/**
 * Long work of the server: start it, follow it, cancel it. Jobs go on when the page is closed.
 */

import { ApiError, get, post, remove } from "./api.js";

/**
 * @typedef {object} JobProgress
 * @property {number} done
 * @property {number | null} total
 * @property {string} unit
 * @property {string} message
 * @property {number | null} seconds_of_audio
 * @property {string | null} current
 */

/**
 * @typedef {object} JobRecord
 * @property {string} id
 * @property {"index" | "remove" | "duplicates" | "versions" | "map" | "stems"} kind
 * @property {Record<string, any>} arguments
 * @property {"waiting" | "running" | "done" | "failed" | "cancelled"} state
 * @property {JobProgress} progress
 * @property {string} created
 * @property {string | null} started
 * @property {string | null} finished
 * @property {string | null} error
 * @property {any} result
 */

/** @param {JobRecord} job */
export function isFinished(job) {
  return job.state !== "waiting" && job.state !== "running";
}

/**
 * Start a job. One that asks for a map that is there already is that one.
 * @param {object} request
 * @returns {Promise<JobRecord>}
 */
export function startJob(request) {
  return post("/jobs", request);
}

/** @returns {Promise<JobRecord[]>} */
export function listJobs() {
  return get("/jobs");
}

/**
 * Cancel a job, or forget it if it is finished.
 * @param {string} id
 */
export async function cancelJob(id) {
  try {
    await remove(`/jobs/${encodeURIComponent(id)}`);
  } catch (error) {
    // It is forgotten already.
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
}

/**
 * Follow a job to its end. Returns a function that stops following it; the job goes on.
 * @param {string} id
 * @param {(job: JobRecord) => void} changed Called whenever it changes, and with its result at the end.
 * @param {(error: unknown) => void} failed Called if it cannot be followed.
 */
export function followJob(id, changed, failed) {
  const events = new EventSource(`/api/v1/jobs/${encodeURIComponent(id)}/events`);
  /** @param {MessageEvent<string>} event */
  const tell = (event) => changed(JSON.parse(event.data));
  events.addEventListener("progress", tell);
  events.addEventListener("done", (event) => {
    events.close();
    tell(event);
  });
  events.addEventListener("error", () => {
    // The browser connects again by itself, unless the answer was an error.
    if (events.readyState === EventSource.CLOSED) failed(new ApiError("the job is no longer known to the server; start it again", 404));
  });
  return () => events.close();
}

/**
 * How far a job is, in words: "encoding · 12 of 64 files".
 * @param {JobRecord} job
 */
export function progressInWords({ state, progress }) {
  if (state === "waiting") return "waiting for another job to end";
  const { done, total, unit, message } = progress;
  if (total === null) return done ? `${message} · ${done} ${unit}s` : message;
  return `${message} · ${done} of ${total} ${total === 1 ? unit : `${unit}s`}`;
}

/**
 * Seconds that are left, as far as the pace until now tells; null if it does not yet.
 * @param {JobRecord} job
 * @param {number} now Milliseconds.
 */
export function secondsLeft({ state, started, progress: { done, total } }, now) {
  if (state !== "running" || !started || total === null || !done || done >= total) return null;
  const spent = (now - Date.parse(started)) / 1000;
  return spent < 5 ? null : (spent / done) * (total - done);
}
