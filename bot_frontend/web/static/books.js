// What happened: the breaker's transitions, and what operators did. Newest first.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { BREAKER_LEVEL } from "/static/breaker.js";
import { ago, at, counted, older, plain } from "/static/words.js";

export function showTransitions(status, elapsed) {
  rows($("transitions"), withoutTries(status.transitions), {
    template: "event-row",
    key: (event) => event.key,
    show: (element, event) => {
      mark(element, "data-state", BREAKER_LEVEL[event.after] ?? "unknown");
      const reason = event.reason ? `: ${plain(event.reason)}` : "";
      const by = event.failed ? counted(event.failed, "probe failed", "probes in a row failed") : event.by ? `by ${event.by}` : "";
      fill(element, { what: `${plain(event.after)}${reason}`, at: at(event.at, status.now), by });
    },
  });
  $("transitions").hidden = status.transitions.length === 0;
  write($("transitions-none"), status.transitions.length ? "" : status.age_seconds === null ? "Unknown yet." : "It has never opened.");
  write($("transitions-age"), ago(older(status.age_seconds, elapsed)));
}

// In an outage it is tried every second or so. Tries that fail are one row, so that what came before stays in sight.
function withoutTries(transitions) {
  const shown = [];
  for (const event of transitions) {
    const last = shown.at(-1);
    if (event.after === "half_open") continue;
    if (event.before !== "half_open" || event.after !== "open") shown.push({ ...event, key: `${event.at} ${event.after}` });
    else if (last?.failed) last.failed += 1;
    else shown.push({ ...event, failed: 1, key: `tries ${shown.length}` });
  }
  return shown;
}

export function showBooks(status, elapsed) {
  rows($("books"), status.recent_actions, {
    template: "event-row",
    key: (entry) => `${entry.at} ${entry.actor} ${entry.action} ${entry.target}`,
    show: (element, entry) => {
      mark(element, "data-state", entry.outcome === "done" ? "ok" : "unknown");
      fill(element, {
        what: `${entry.action}${entry.target ? ` ${entry.target}` : ""}: ${entry.outcome}`,
        at: at(entry.at, status.now),
        by: `by ${entry.actor}`,
      });
    },
  });
  $("books").hidden = status.recent_actions.length === 0;
  write($("books-none"), status.recent_actions.length ? "" : "Nothing is on the books.");
  write($("books-age"), ago(older(status.broadcasts.age_seconds, elapsed)));
}
