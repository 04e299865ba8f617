/**
 * A job that runs: what it does, how far it is, and a button that cancels it.
 */

import { h } from "../dom.js";
import { progressInWords, secondsLeft } from "../jobs.js";
import { clock } from "../words.js";

/** @typedef {import("../jobs.js").JobRecord} JobRecord */

/**
 * @param {string} label What the job does, for its progress bar.
 * @param {() => void} cancel
 */
export function jobProgress(label, cancel) {
  const bar = h("progress", { max: 1, "aria-label": label });
  const words = h("p", { class: "job-words number" });
  const button = h("button", { type: "button", class: "button", onclick: () => {
    button.disabled = true;
    cancel();
  } }, "Cancel");
  const element = h("div", { class: "job-progress" }, h("div", { class: "job-bar" }, words, bar), button);
  return {
    element,
    /** @param {JobRecord} job */
    show(job) {
      const { done, total } = job.progress;
      if (job.state === "running" && total) bar.value = done / total;
      else bar.removeAttribute("value");
      const left = secondsLeft(job, Date.now());
      words.textContent = progressInWords(job) + (left === null ? "" : ` · about ${clock(left)} left`);
    },
  };
}
