/**
 * The jobs that run, and what those that ended did. They are found again after a reload of the page.
 */

import { fill, h, iconButton } from "../../dom.js";
import { cancelJob, followJob, isFinished, listJobs, startJob } from "../../jobs.js";
import { get } from "../../api.js";
import { counted } from "../../words.js";
import { jobProgress } from "../../components/job-progress.js";
import { indexInWords, jobTitle } from "./state.js";

/** @typedef {import("../../jobs.js").JobRecord} JobRecord */

/**
 * @param {import("../../main.js").App} app
 * @param {(job: JobRecord) => void} ended Called with every job that ends while it is followed.
 */
export function jobList(app, ended) {
  const list = h("ul", { class: "job-list" });
  const element = h("section", { class: "card library-jobs", "aria-label": "Jobs" }, h("h2", {}, "Jobs"), list);
  /** @type {Map<string, {job: JobRecord, item: HTMLElement, progress: ReturnType<typeof jobProgress>, stop: () => void}>} */
  const rows = new Map();

  /** @param {JobRecord} job */
  function add(job) {
    const known = rows.get(job.id);
    if (known) {
      if (!isFinished(known.job)) update(job);
      return;
    }
    const progress = jobProgress(jobTitle(job), () => void cancelJob(job.id).catch(app.fail));
    const row = { job, item: h("li", { class: "job", "data-job": job.id }), progress, stop: () => {} };
    rows.set(job.id, row);
    list.prepend(row.item);
    draw(job.id);
    if (!isFinished(job)) {
      row.stop = followJob(job.id, (now) => {
        const over = !isFinished(row.job) && isFinished(now);
        update(now);
        if (!over) return;
        app.announce(`${jobTitle(now)}: ${outcome(now)}`);
        ended(now);
      }, (error) => {
        rows.delete(job.id);
        row.item.remove();
        hide();
        app.fail(error);
      });
    }
    hide();
  }

  /** @param {JobRecord} job */
  function update(job) {
    const row = rows.get(job.id);
    if (!row) return;
    const before = row.job;
    row.job = job;
    if (isFinished(job) || isFinished(before)) draw(job.id);
    else row.progress.show(job);
  }

  /** @param {string} id */
  function draw(id) {
    const row = rows.get(id);
    if (!row) return;
    const { job, item, progress } = row;
    if (!isFinished(job)) {
      progress.show(job);
      fill(item, h("h3", {}, jobTitle(job)), progress.element);
      return;
    }
    const forget = iconButton("remove", `Forget: ${jobTitle(job)}`, { title: "Forget", onclick: async () => {
      try {
        await cancelJob(id);
        rows.delete(id);
        item.remove();
        hide();
      } catch (error) {
        app.fail(error);
      }
    } });
    const more = h("div", {});
    fill(item, h("div", { class: "job-head" }, h("h3", {}, jobTitle(job)), forget), h("p", { class: job.state === "failed" ? "bad" : "" }, outcome(job)), more);
    if (job.kind === "index") fill(more, details(job));
  }

  /** @param {JobRecord} job */
  function outcome(job) {
    if (job.state === "failed") return job.error ?? "it failed";
    if (job.result && job.kind === "index") return indexInWords(job.result);
    if (job.state === "cancelled") return "cancelled";
    if (job.result && job.kind === "remove") return `${counted(job.result.removed, "track")} removed, ${counted(job.result.tracks, "track")} left`;
    return "done";
  }

  /** @param {JobRecord} job */
  function details({ result }) {
    if (!result) return null;
    /** @type {[string, string][]} */
    const lines = [
      ...result.failed.map((/** @type {any} */ one) => [one.path, one.error]),
      ...result.warnings.map((/** @type {any} */ one) => [one.path, one.warning]),
      ...result.silent.map((/** @type {string} */ path) => [path, "silent"]),
    ];
    if (!lines.length) return null;
    return h("details", {}, h("summary", {}, `${counted(lines.length, "file")} to look at`),
      h("ul", { class: "file-list" }, ...lines.map(([path, text]) => h("li", {}, h("code", {}, path), h("span", { class: "soft" }, text)))));
  }

  function hide() {
    element.hidden = !rows.size;
  }

  hide();
  return {
    element,
    /** Find the jobs of the server. */
    async load() {
      const found = await listJobs();
      for (const job of found.reverse()) {
        if (job.kind !== "index" && job.kind !== "remove") continue;
        const full = isFinished(job) && !rows.has(job.id) ? await get(`/jobs/${job.id}`) : job;
        add(/** @type {JobRecord} */ (full));
      }
    },
    /** @param {object} request */
    async start(request) {
      add(await startJob(request));
    },
  };
}
