// The last outages and pauses, newest first, each from its beginning to its end however often a probe failed in between.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, at, counted, duration, older, plain, sentence } from "/static/words.js";

export function showOutages(status, elapsed) {
  const { outages } = status;
  rows($("outages"), outages, {
    template: "event-row",
    key: (outage) => outage.began_at.toFixed(3),
    show: (element, outage) => {
      const isOver = outage.ended_at !== null;
      const lasted = duration(outage.duration_seconds + (isOver ? 0 : elapsed));
      mark(element, "data-state", isOver ? "ok" : outage.reason ? "down" : "away");
      fill(element, {
        what: `${sentence(cause(outage))}, ${lasted}${isOver ? "" : " so far"}`,
        at: `${at(outage.began_at, status.now)} – ${isOver ? at(outage.ended_at, status.now) : "now"}`,
        by: effects(outage),
      });
    },
  });
  $("outages").hidden = outages.length === 0;
  write($("outages-none"), outages.length ? "" : status.age_seconds === null ? "Unknown yet." : "None so far.");
  write($("outages-age"), ago(older(status.age_seconds, elapsed)));
}

export function cause({ reason, paused_by: name }) {
  if (reason) return plain(reason);
  return `paused by ${name ?? "an operator"}`;
}

function effects(outage) {
  const waited = outage.jobs_waited
    ? `${counted(outage.jobs_waited, "job", "jobs")} waited, the longest ${duration(outage.longest_wait_seconds)}`
    : "nobody waited";
  return outage.failed_probes ? `${waited}; ${counted(outage.failed_probes, "probe", "probes")} failed` : waited;
}
