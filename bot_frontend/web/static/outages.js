// The outages and pauses, newest first, each from its beginning to its end however often a probe failed in between; and
// what part of the time had none.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, at, counted, duration, moments, older, plain, sentence } from "/static/words.js";

const DAY_HOURS = 24;

export function showOutages(status, elapsed) {
  const { outages } = status;
  rows($("outages"), outages, {
    template: "event-row",
    key: (outage) => outage.began_at.toFixed(3),
    show: (element, outage) => {
      mark(element, "data-state", outage.ended_at !== null ? "ok" : outage.reason ? "down" : "away");
      fill(element, { what: what(outage, elapsed), at: span(outage, status.now), by: effects(outage) });
    },
  });
  $("outages").hidden = outages.length === 0;
  write($("outages-none"), outages.length ? "" : status.age_seconds === null ? "Unknown yet." : "None so far.");
  write($("outages-age"), ago(older(status.age_seconds, elapsed)));
  const uptimes = status.uptime.map(uptimeInWords).map(({ name, value }) => `${name.toLowerCase()} ${value}`);
  write($("outages-uptime"), uptimes.length ? `Uptime: ${uptimes.join("; ")}.` : "");
  const isOn = outages.some((outage) => outage.ended_at === null);
  return [{ card: "outages", state: isOn ? "away" : "ok", words: outages.length ? `${what(outages[0], elapsed)}${isOn ? "" : `, ${at(outages[0].began_at, status.now)}`}` : "None so far" }];
}

export function what(outage, elapsed) {
  const isOver = outage.ended_at !== null;
  return `${sentence(cause(outage))}, ${duration(outage.duration_seconds + (isOver ? 0 : elapsed))}${isOver ? "" : " so far"}`;
}

export function span(outage, now) {
  return `${at(outage.began_at, now)} – ${outage.ended_at === null ? "now" : at(outage.ended_at, now)}`;
}

export function cause({ reason, paused_by: name }) {
  if (reason) return plain(reason);
  return `paused by ${name ?? "an operator"}`;
}

// What failed, when it was noticed, who waited and until when: a sentence each, or none.
export function story(outage, now) {
  const { failed_at: failed, began_at: began } = outage;
  return {
    noticed: failed === null ? "" : `The first call failed at ${at(failed, now)}. After ${moments(began - failed)} the breaker held all calls back.`,
    probes: outage.failed_probes ? `${counted(outage.failed_probes, "probe", "probes")} failed ${outage.ended_at === null ? "so far" : "until one was answered"}.` : "",
    waited: `${sentence(waited(outage))}.`,
    drained: drained(outage, now),
  };
}

function drained(outage, now) {
  const { drained_at: done, ended_at: ended, jobs_left: left, jobs_waited: jobs } = outage;
  if (ended === null || !jobs) return "";
  if (done !== null) return `The last of these jobs was finished at ${at(done, now)}, ${moments(Math.max(0, done - ended))} after the end.`;
  if (left) return `${counted(left, "job", "jobs")} of these still ${left === 1 ? "waits" : "wait"}.`;
  return "When the last of these jobs was finished is not known.";
}

function waited({ ended_at: ended, jobs_waited: jobs, longest_wait_seconds: longest }) {
  const tense = ended !== null ? "waited" : jobs === 1 ? "waits" : "wait";
  if (!jobs) return `nobody ${ended === null ? "waits so far" : "waited"}`;
  return `${counted(jobs, "job", "jobs")} ${tense}, the longest ${duration(longest)}`;
}

function effects(outage) {
  return outage.failed_probes ? `${waited(outage)}; ${counted(outage.failed_probes, "probe", "probes")} failed` : waited(outage);
}

// Rounded down: only what had no outage at all has 100%.
export function uptimeInWords({ hours, measured_seconds: measured, share, down_seconds: down, paused_seconds: paused, outages }) {
  const name = `Last ${hours > DAY_HOURS ? `${hours / DAY_HOURS} days` : `${hours} hours`}`;
  const known = measured < 3600 * hours - 1 ? `, of the ${duration(measured)} that are known` : "";
  const percent = share < 1 ? `${(Math.floor(10_000 * share) / 100).toFixed(2)}%` : "100%";
  const lost = outages ? ` (${counted(outages, "outage", "outages")}, ${moments(down)})` : "";
  const held = paused ? `, paused for ${moments(paused)}` : "";
  return { name, value: `${percent}${lost}${held}${known}` };
}
