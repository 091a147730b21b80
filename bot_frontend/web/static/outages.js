// The outages and pauses, newest first, each from its beginning to its end however often a probe failed in between; and
// what part of the time had none.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { ago, at, duration, fineShare, listed, moments, older, plain, share as percent } from "/static/words.js";

const DAY_HOURS = 24;

export function showOutages(status, elapsed) {
  const { outages } = status;
  rows($("outages"), outages, {
    template: "event-row",
    key: (outage) => outage.began_at.toFixed(3),
    show: (element, outage) => {
      mark(element, "data-state", outage.ended_at !== null ? "ok" : outage.reason ? "down" : "away");
      fill(element, { what: what(outage, elapsed), at: span(outage, status.now), by: [waited(outage), probes(outage)].filter(Boolean).join(" ") });
    },
  });
  $("outages").hidden = outages.length === 0;
  write($("outages-none"), outages.length ? "" : status.age_seconds === null ? gettext("Unknown yet.") : gettext("None so far."));
  write($("outages-age"), ago(older(status.age_seconds, elapsed)));
  write($("outages-uptime"), status.uptime.length ? gettext("Uptime: {spans}", { spans: status.uptime.map(uptimeInLine).join(" · ") }) : "");
  const isOn = outages.some((outage) => outage.ended_at === null);
  return [{ card: "outages", state: isOn ? "away" : "ok", words: outages.length ? newest(outages[0], isOn, status.now, elapsed) : gettext("None so far") }];
}

function newest(outage, isOn, now, elapsed) {
  const words = what(outage, elapsed);
  return isOn ? words : listed([words, at(outage.began_at, now)]);
}

const CAUSES = {
  outage: noop("Outage"),
  saturation: noop("Saturation"),
  ambiguous: noop("Ambiguous"),
  quota: noop("Quota"),
  storage: noop("Storage"),
  configuration: noop("Configuration"),
};

export function what(outage, elapsed) {
  const isOver = outage.ended_at !== null;
  const args = { cause: cause(outage), duration: duration(outage.duration_seconds + (isOver ? 0 : elapsed)) };
  return isOver ? gettext("{cause}, {duration}", args) : gettext("{cause}, {duration} so far", args);
}

export function span(outage, now) {
  const from = at(outage.began_at, now);
  if (outage.ended_at === null) return gettext("{from} – now", { from });
  return gettext("{from} – {until}", { from, until: at(outage.ended_at, now) });
}

function cause({ reason, paused_by: operator }) {
  if (reason) return reason in CAUSES ? gettext(CAUSES[reason]) : plain(reason);
  return operator === null ? gettext("Paused by an operator") : gettext("Paused by {operator}", { operator });
}

// What failed, when it was noticed, who waited and until when: a sentence each, or none.
export function story(outage, now) {
  return { noticed: noticed(outage, now), probes: probes(outage), waited: waited(outage), drained: drained(outage, now) };
}

function noticed({ failed_at: failed, began_at: began }, now) {
  if (failed === null) return "";
  return gettext("The first call failed at {time}. After {duration} the breaker blocked all calls.", { time: at(failed, now), duration: moments(began - failed) });
}

function probes({ failed_probes: failed, ended_at: ended }) {
  if (!failed) return "";
  return ended === null
    ? ngettext("{count} probe failed so far.", "{count} probes failed so far.", failed)
    : ngettext("{count} probe failed until one was answered.", "{count} probes failed until one was answered.", failed);
}

function waited({ ended_at: ended, jobs_waited: jobs, longest_wait_seconds: longest }) {
  if (!jobs) return ended === null ? gettext("Nobody waits so far.") : gettext("Nobody waited.");
  const args = { duration: duration(longest) };
  return ended === null
    ? ngettext("{count} job waits, the longest {duration}.", "{count} jobs wait, the longest {duration}.", jobs, args)
    : ngettext("{count} job waited, the longest {duration}.", "{count} jobs waited, the longest {duration}.", jobs, args);
}

function drained({ drained_at: done, ended_at: ended, jobs_left: left, jobs_waited: jobs }, now) {
  if (ended === null || !jobs) return "";
  if (done !== null) {
    return gettext("The last of these jobs was finished at {time}, {duration} after the end.", { time: at(done, now), duration: moments(Math.max(0, done - ended)) });
  }
  if (left) return ngettext("{count} of these jobs still waits.", "{count} of these jobs still wait.", left);
  return gettext("It is not known when the last of these jobs was finished.");
}

export function uptimeInWords(uptime) {
  const { hours } = uptime;
  const name = hours > DAY_HOURS
    ? ngettext("Last day", "Last {count} days", hours / DAY_HOURS)
    : ngettext("Last hour", "Last {count} hours", hours);
  return { name, value: uptimeOf(uptime) };
}

function uptimeInLine(uptime) {
  const { hours } = uptime;
  const args = { uptime: uptimeOf(uptime) };
  return hours > DAY_HOURS
    ? ngettext("last day {uptime}", "last {count} days {uptime}", hours / DAY_HOURS, args)
    : ngettext("last hour {uptime}", "last {count} hours {uptime}", hours, args);
}

// Rounded down: only what had no outage at all has 100%.
function uptimeOf({ hours, measured_seconds: measured, share, down_seconds: down, paused_seconds: paused, outages }) {
  const rounded = share < 1 ? fineShare(Math.floor(10_000 * share) / 10_000) : percent(1);
  const isPart = measured < 3600 * hours - 1;
  return listed([
    outages
      ? ngettext("{percent} ({count} outage, {duration})", "{percent} ({count} outages, {duration})", outages, { percent: rounded, duration: moments(down) })
      : rounded,
    paused ? gettext("paused for {duration}", { duration: moments(paused) }) : "",
    isPart ? gettext("measured for {duration}", { duration: duration(measured) }) : "",
  ].filter(Boolean));
}
