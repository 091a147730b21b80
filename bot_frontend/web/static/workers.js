// Who does the work: each worker process, when it last beat, and what it has in hand.

import { nameButton } from "/static/actions.js";
import { BREAKER_LEVEL } from "/static/breaker.js";
import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, counted, moments, older, plain } from "/static/words.js";

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
  showFleet(status.fleet);
  $("workers").hidden = $("processes-heading").hidden = workers.length === 0;
  write($("workers-none"), workers.length ? "" : status.age_seconds === null ? "Unknown yet." : NONE);
  write($("workers-age"), ago(older(status.age_seconds, elapsed)));
  const drained = status.fleet.filter(({ state }) => state !== "working").length;
  return drained ? [{ card: "workers", state: "degraded", words: `${counted(drained, "is", "are")} drained` }] : [];
}

const STATE = { working: "ok", draining: "working_through", drained: "degraded", silent: "down", gone: "down" };

// Each worker, and a button that drains it or has it take jobs again.
function showFleet(fleet) {
  rows($("fleet"), fleet, {
    template: "fleet-row",
    key: ({ name }) => name,
    show: (element, worker) => {
      const { name, state, processes, alone } = worker;
      mark(element.fields.state, "data-state", STATE[state]);
      fill(element, { name, state, processes: counted(processes, "process", "processes"), words: told(worker) });
      const button = element.querySelector("button");
      write(button, state === "working" ? "Drain" : state === "gone" ? "Forget" : "Resume");
      mark(button, "data-action", state !== "working" ? "worker.resume" : alone.length ? "worker.drain_last" : "worker.drain");
      nameButton(button, name, alone.join(", "));
    },
  });
  $("fleet").hidden = fleet.length === 0;
}

function told({ state, jobs, drained_by: by, drained_seconds: seconds }) {
  if (state === "working") return "";
  const since = `told to drain by ${by} ${ago(seconds)}`;
  if (state === "drained") return `${since}; nothing is left that it had`;
  if (state === "gone") return `${since}; it ended, and its jobs went to others`;
  const left = `${counted(jobs, "job", "jobs")} left`;
  return state === "silent" ? `${since}; it does not answer, ${left}` : `${since}; ${left}`;
}

function doing(worker, elapsed) {
  const named = worker.doing.slice(0, JOBS_NAMED_MAX).map((job) => `${job.kind} ${moments(job.seconds + elapsed)}`);
  const more = worker.doing.length - named.length;
  const jobs = more ? [...named, `${more} more`] : named;
  if (worker.breaker !== "closed") jobs.unshift(`breaker ${plain(worker.breaker)}`);
  return jobs.join(", ") || "idle";
}
