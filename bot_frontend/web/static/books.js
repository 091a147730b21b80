// What happened: the breaker's transitions, and what operators did. Newest first.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { BREAKER_LEVEL } from "/static/breaker.js";
import { ago, at, older, plain } from "/static/words.js";

export function showTransitions(status, elapsed) {
  rows($("transitions"), status.transitions, {
    template: "event-row",
    key: (event) => `${event.at}>${event.after}`,
    show: (element, event) => {
      mark(element, "data-state", BREAKER_LEVEL[event.after] ?? "unknown");
      const reason = event.reason ? `: ${plain(event.reason)}` : "";
      fill(element, { what: `${plain(event.after)}${reason}`, at: at(event.at, status.now), by: event.by ? `by ${event.by}` : "" });
    },
  });
  $("transitions").hidden = status.transitions.length === 0;
  write($("transitions-none"), status.transitions.length ? "" : status.age_seconds === null ? "Unknown yet." : "It has never opened.");
  write($("transitions-age"), ago(older(status.age_seconds, elapsed)));
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
