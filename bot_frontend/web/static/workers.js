// Who does the work: each worker process, when it last beat, and what it has in hand.

import { nameButton } from "/static/actions.js";
import { BREAKER_LEVEL } from "/static/breaker.js";
import { $, fill, mark, rows, write } from "/static/dom.js";
import { gettext, ngettext, noop, pgettext } from "/static/texts.js";
import { ago, listed, moments, older, plain } from "/static/words.js";

const JOBS_NAMED_MAX = 3;
// A process that has not beaten for so long has lost its jobs to others.
const BEAT_SECONDS_MAX = 2;

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
        where: gettext("{host} · pid {pid}", { host: String(worker.host), pid: String(worker.pid) }),
        doing: doing(worker, elapsed),
        queues: listed(worker.queues),
        beat: beat(isLate, ago(older(worker.beat_age_seconds, elapsed))),
      });
    },
  });
  showFleet(status.fleet);
  $("workers").hidden = $("processes-heading").hidden = workers.length === 0;
  write($("workers-none"), workers.length ? "" : status.age_seconds === null ? gettext("Unknown yet.") : none());
  write($("workers-age"), ago(older(status.age_seconds, elapsed)));
  const drained = status.fleet.filter(({ state }) => state !== "working").length;
  return drained ? [{ card: "workers", state: "degraded", words: ngettext("{count} is drained", "{count} are drained", drained) }] : [];
}

function none() {
  return gettext("No worker process is running. Jobs are accepted, and wait in Redis until one starts.");
}

function beat(isLate, when) {
  return isLate ? gettext("last heartbeat {when}", { when }) : gettext("heartbeat {when}", { when });
}

const LEVEL = { working: "ok", draining: "working_through", drained: "degraded", silent: "down", gone: "down" };

export function stateInWords(state) {
  switch (state) {
    case "working": return pgettext("worker", "working");
    case "draining": return pgettext("worker", "draining");
    case "drained": return pgettext("worker", "drained");
    case "silent": return pgettext("worker", "silent");
    case "gone": return pgettext("worker", "gone");
    default: return state;
  }
}

// Each worker, and a button that drains it or lets it take jobs again.
function showFleet(fleet) {
  rows($("fleet"), fleet, {
    template: "fleet-row",
    key: ({ name }) => name,
    show: (element, worker) => {
      const { name, state, processes, alone } = worker;
      mark(element.fields.state, "data-state", LEVEL[state]);
      fill(element, {
        name, state: stateInWords(state), processes: ngettext("{count} process", "{count} processes", processes), words: told(worker),
      });
      const button = element.querySelector("button");
      write(button, state === "working" ? gettext("Drain") : state === "gone" ? gettext("Forget") : gettext("Resume"));
      mark(button, "data-action", state !== "working" ? "worker.resume" : alone.length ? "worker.drain_last" : "worker.drain");
      nameButton(button, name, listed(alone));
    },
  });
  $("fleet").hidden = fleet.length === 0;
}

function told({ state, jobs, drained_by: operator, drained_seconds: seconds }) {
  if (state === "working") return "";
  const left = ngettext("{count} job is left.", "{count} jobs are left.", jobs);
  const rest = {
    draining: () => left,
    drained: () => gettext("It has no jobs left."),
    silent: () => `${gettext("It does not answer.")} ${left}`,
    gone: () => gettext("It ended, and its jobs went to others."),
  }[state]?.() ?? "";
  return `${gettext("Told to drain by {operator} {when}.", { operator, when: ago(seconds) })} ${rest}`.trim();
}

const BREAKERS = {
  open: noop("breaker open"), half_open: noop("breaker half-open"), forced_open: noop("breaker held open"), disabled: noop("breaker ignored"),
  unknown: noop("breaker unknown"),
};

function doing({ breaker, doing: jobs }, elapsed) {
  const named = jobs.slice(0, JOBS_NAMED_MAX).map((job) => `${job.kind} ${moments(job.seconds + elapsed)}`);
  const more = jobs.length - named.length;
  const said = [
    ...(breaker === "closed" ? [] : [breaker in BREAKERS ? gettext(BREAKERS[breaker]) : plain(breaker)]),
    ...named,
    ...(more ? [ngettext("{count} more", "{count} more", more)] : []),
  ];
  return said.length ? listed(said) : gettext("idle");
}
