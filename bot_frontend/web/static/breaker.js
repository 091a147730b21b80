// The fleet's breaker: whether calls reach the database, why not, and when it is tried again.

import { $, mark, write } from "/static/dom.js";
import { gettext } from "/static/texts.js";
import { ago, at, count, duration, older, reason, sentence, UNKNOWN } from "/static/words.js";

export const BREAKER_LEVEL = {
  closed: "ok", open: "down", half_open: "working_through", forced_open: "away", disabled: "degraded", unknown: "unknown",
};

// Which of the three overrides is in force.
const WORD = { forced_open: "breaker.open", disabled: "breaker.close" };

export function showBreaker(status, elapsed) {
  const { breaker } = status;
  mark($("breaker-state"), "data-state", BREAKER_LEVEL[breaker.state] ?? "unknown");
  write($("breaker-state"), sentence(breaker.words));
  const { reason: why, since } = breaker;
  const [none, never, always] = breaker.state === "unknown" ? [UNKNOWN, UNKNOWN, UNKNOWN] : [gettext("none"), gettext("never changed"), gettext("always")];
  write($("breaker-reason"), breaker.paused_by ? gettext("paused by {operator}", { operator: breaker.paused_by }) : why === null ? none : reason(why));
  write($("breaker-since"), since === null ? never : at(since, status.now));
  write($("breaker-for"), since === null ? always : duration(status.now + elapsed - since));
  write($("breaker-next"), nextProbe(breaker, elapsed));
  write($("breaker-processes"), count(breaker.processes_open));
  write($("breaker-age"), ago(older(status.age_seconds, elapsed)));
  for (const button of $("breaker-actions").children) {
    mark(button, "aria-pressed", String(button.dataset.action === (WORD[breaker.state] ?? "breaker.auto")));
  }
  return [{ card: "breaker", state: BREAKER_LEVEL[breaker.state] ?? "unknown", words: sentence(breaker.words) }];
}

function nextProbe(breaker, elapsed) {
  if (breaker.next_probe_seconds === null) return gettext("as scheduled");
  const left = breaker.next_probe_seconds - elapsed;
  return left < 1 ? gettext("now") : gettext("in {duration}", { duration: duration(left) });
}
