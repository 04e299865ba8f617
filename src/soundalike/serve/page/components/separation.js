/**
 * Separate tracks into stems, by a job of the server.
 */

import { ApiError } from "../api.js";
import { cancelJob, followJob, isFinished, startJob } from "../jobs.js";
import { jobProgress } from "./job-progress.js";

/** The status of an answer that needs separated tracks. */
const NOT_SEPARATED = 409;

/** @param {unknown} error */
export function isNotSeparated(error) {
  return error instanceof ApiError && error.status === NOT_SEPARATED;
}

/**
 * Separate tracks. Rejects if one cannot be separated, or the job is cancelled.
 * @param {string} separator
 * @param {(number | null)[]} tracks
 * @param {(progress: HTMLElement) => void} show Called with what shows the progress.
 * @param {(error: unknown) => void} fail Called if the job cannot be cancelled.
 * @returns {Promise<void>}
 */
export async function separate(separator, tracks, show, fail) {
  const job = await startJob({ kind: "stems", separator, tracks });
  const progress = jobProgress("Separate the recordings", () => void cancelJob(job.id).catch(fail));
  show(progress.element);
  progress.show(job);
  await new Promise((resolve, reject) => {
    followJob(job.id, (now) => {
      if (!isFinished(now)) progress.show(now);
      else if (now.state !== "done") reject(new Error(now.error ?? "The recordings are not separated, as the job was cancelled."));
      else if (now.result.failed.length) reject(new Error(now.result.failed[0].error));
      else resolve(now);
    }, reject);
  }).finally(() => progress.element.remove());
}
