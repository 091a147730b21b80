// Where a job is, by the reference that its user was told.

import { $, write } from "/static/dom.js";
import { gettext, noop } from "/static/texts.js";
import { at, duration, inOne } from "/static/words.js";

const TIMEOUT_MS = 25_000;

const STATES = {
  held_back: noop("Held back"),
  queued: noop("Queued"),
  running: noop("Running"),
  behind: noop("Waiting"),
  delayed: noop("Waiting"),
  answering: noop("Done, not answered yet"),
  finished: noop("Finished today or yesterday"),
  failed: noop("Failed"),
};

// waitsFor -- what it waits for, in words; empty if it waits for nothing.
export function stateInWords(code, waitsFor) {
  const state = code in STATES ? gettext(STATES[code]) : code;
  return waitsFor ? gettext("{state}: it waits for {what}", { state, what: waitsFor }) : state;
}

export function lookUpByReference() {
  $("lookup").addEventListener("submit", async (event) => {
    event.preventDefault();
    const reference = $("lookup-reference").value.trim();
    if (!reference) return;
    history.replaceState(null, "", `#job=${encodeURIComponent(reference)}`);
    write($("lookup-result"), gettext("Loading…"));
    write($("lookup-result"), await found(reference));
  });
  byAddress();
  addEventListener("hashchange", byAddress);
}

function byAddress() {
  const named = location.hash.match(/^#job=([0-9A-Za-z]{1,20})$/);
  if (!named) return;
  $("lookup-reference").value = named[1];
  $("lookup").requestSubmit();
}

async function found(reference) {
  try {
    const answer = await fetch(`/jobs/${encodeURIComponent(reference)}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const job = await answer.json();
    return answer.ok ? described(job) : job.error;
  } catch {
    return gettext("No answer. Try again.");
  }
}

function described(job) {
  const words = inOne([stateInWords(job.state, job.waits_for), job.kind, whose(job), since(job)]);
  return gettext("{reference}: {words}.", { reference: job.reference, words });
}

function whose({ telegram_id: id, username }) {
  if (!id) return "";
  return username ? gettext("of @{username}, id {id}", { username, id: String(id) }) : gettext("of id {id}", { id: String(id) });
}

function since({ since: unixSeconds, age_seconds: age }) {
  if (unixSeconds === null) return "";
  const time = at(unixSeconds, Date.now() / 1000);
  return age === null ? gettext("since {time}", { time }) : gettext("since {time} ({duration})", { time, duration: duration(age) });
}
