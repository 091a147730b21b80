// Operator actions, newest first.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, at, older } from "/static/words.js";

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
  write($("books-none"), status.recent_actions.length ? "" : "No operator actions yet.");
  write($("books-age"), ago(older(status.broadcasts.age_seconds, elapsed)));
  const [last] = status.recent_actions;
  return [{ card: "actions", state: "ok", words: last ? `${last.action} ${last.target}`.trim() : "None yet" }];
}
