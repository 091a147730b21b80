// Who does the work: each worker process, when it last beat, and what it has in hand.

import { BREAKER_LEVEL } from "/static/breaker.js";
import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, moments, older, plain } from "/static/words.js";

const JOBS_NAMED_MAX = 3;
// A process that has not beaten for so long has lost its jobs to others.
const BEAT_SECONDS_MAX = 2;

const NONE = "No worker process is running. Jobs are accepted, and wait in Redis until one starts.";

export function showWorkers(status, elapsed) {
  const { workers } = status;
  rows($("workers"), workers, {
    template: "worker-row",
    key: (worker) => `${worker.name}@${worker.host}:${worker.pid}`,
    show: (element, worker) => {
      const isLate = worker.beat_age_seconds > BEAT_SECONDS_MAX;
      mark(element, "data-state", isLate ? "down" : BREAKER_LEVEL[worker.breaker] ?? "unknown");
      element.classList.toggle("late", isLate);
      fill(element, {
        name: worker.name,
        where: `${worker.host} · pid ${worker.pid}`,
        doing: doing(worker, elapsed),
        queues: worker.queues.join(", "),
        beat: `${isLate ? "last beat" : "beat"} ${ago(older(worker.beat_age_seconds, elapsed))}`,
      });
    },
  });
  $("workers").hidden = workers.length === 0;
  write($("workers-none"), workers.length ? "" : status.age_seconds === null ? "Unknown yet." : NONE);
  write($("workers-age"), ago(older(status.age_seconds, elapsed)));
}

function doing(worker, elapsed) {
  const named = worker.doing.slice(0, JOBS_NAMED_MAX).map((job) => `${job.kind} ${moments(job.seconds + elapsed)}`);
  const more = worker.doing.length - named.length;
  const jobs = more ? [...named, `${more} more`] : named;
  if (worker.breaker !== "closed") jobs.unshift(`breaker ${plain(worker.breaker)}`);
  return jobs.join(", ") || "idle";
}
