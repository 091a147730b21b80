// Operator actions, newest first.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { gettext, noop } from "/static/texts.js";
import { ago, at, older, plain } from "/static/words.js";

export function showBooks(status, elapsed) {
  rows($("books"), status.recent_actions, {
    template: "event-row",
    key: (entry) => `${entry.at} ${entry.actor} ${entry.action} ${entry.target}`,
    show: (element, entry) => {
      mark(element, "data-state", entry.outcome === "done" ? "ok" : "unknown");
      fill(element, {
        what: entryInWords(entry),
        at: at(entry.at, status.now),
        by: gettext("by {operator}", { operator: entry.actor }),
      });
    },
  });
  $("books").hidden = status.recent_actions.length === 0;
  write($("books-none"), status.recent_actions.length ? "" : gettext("No operator actions yet."));
  write($("books-age"), ago(older(status.broadcasts.age_seconds, elapsed)));
  const [last] = status.recent_actions;
  return [{ card: "actions", state: "ok", words: last ? named(last) : gettext("None yet") }];
}

// As the audit log has it.
function named({ action, target }) {
  return `${action} ${target}`.trim();
}

const OUTCOMES = { done: noop("done"), queued: noop("queued") };

// A line of the audit log: an act and its outcome.
export function entryInWords(entry) {
  return gettext("{act}: {outcome}", { act: named(entry), outcome: outcomeInWords(entry.outcome) });
}

export function outcomeInWords(outcome) {
  if (outcome in OUTCOMES) return gettext(OUTCOMES[outcome]);
  const [, why] = outcome.match(/^refused: (.+)$/s) ?? [];
  return why ? gettext("refused: {why}", { why: plain(why) }) : outcome;
}
