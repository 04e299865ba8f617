/**
 * What the address of the Library view says, and results of jobs in words. Pure functions, no DOM.
 */

import { readNumber } from "../../state.js";
import { counted } from "../../words.js";

export const PARTS = /** @type {const} */ (["tracks", "failures", "duplicates", "versions"]);
export const PAGE = 50;

/**
 * @typedef {object} LibraryState
 * @property {typeof PARTS[number]} part
 * @property {string} q
 * @property {number} page From 1.
 */

/**
 * @param {URLSearchParams} params
 * @returns {LibraryState}
 */
export function readLibrary(params) {
  return {
    part: PARTS.find((name) => name === params.get("show")) ?? "tracks",
    q: params.get("q") ?? "",
    page: Math.min(Math.max(Math.floor(readNumber(params.get("page")) ?? 1), 1), 1_000_000),
  };
}

/** @param {LibraryState} state */
export function writeLibrary({ part, q, page }) {
  const params = new URLSearchParams();
  if (part !== "tracks") params.set("show", part);
  if (q) params.set("q", q);
  if (page > 1) params.set("page", String(page));
  return params;
}

/**
 * What an index run did: "12 tracks added, 3 changed; 1 file failed".
 * @param {Record<string, any>} result
 */
export function indexInWords(result) {
  const parts = [["added", "added"], ["changed", "changed"], ["moved", "moved"], ["copied", "copied"], ["pruned", "removed"], ["unchanged", "unchanged"], ["missing", "missing"]]
    .filter(([name]) => result[name]).map(([name, verb]) => `${counted(result[name], "track")} ${verb}`);
  const failed = result.failed.length ? `; ${counted(result.failed.length, "file")} could not be read` : "";
  return (parts.join(", ") || "nothing new was found") + failed + (result.interrupted ? "; it was cancelled, and the next run continues" : "");
}

/**
 * What a job is about, as a heading.
 * @param {import("../../jobs.js").JobRecord} job
 */
export function jobTitle(job) {
  const places = job.arguments.sources ?? job.arguments.paths ?? [];
  const where = places.length === 1 ? places[0] : counted(places.length, "file");
  return { index: `Indexing ${where}`, remove: `Removing ${where}`, duplicates: "Finding duplicates", versions: "Finding versions", map: "Making a map", stems: `Separating ${counted(job.arguments.tracks?.length ?? 0, "track")}` }[job.kind];
}
