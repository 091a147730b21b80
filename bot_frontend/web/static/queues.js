// What waits: Celery's queues, the jobs on record, and how fast they are done.

import { nameButton } from "/static/actions.js";
import { $, fill, mark, reach, rows, write } from "/static/dom.js";
import { gettext } from "/static/texts.js";
import { ago, count, duration, fine, moments, older, UNKNOWN } from "/static/words.js";

const ALWAYS = ["replies", "health"];

// So that three jobs do not look like a full queue.
const FULL_BAR_MIN = 20;

// Fewer are done before anybody reads of them.
const BACKLOG_MIN = 20;
// By so much more must come than is done: the two are counted at different moments.
const GROWING = 1.1;

export function showQueues(status, elapsed) {
  const { inbox, queues, throughput } = status;
  const most = Math.max(FULL_BAR_MIN, ...queues.map((queue) => queue.length));
  rows($("queues"), queues, {
    template: "queue-row",
    key: (queue) => queue.name,
    show: (element, queue) => {
      const isLeft = queue.paused_by !== null || (queue.length > 0 && !queue.attended);
      mark(element, "data-state", isLeft ? "degraded" : "ok");
      fill(element, { name: queue.name, length: count(queue.length), note: note(queue, isLeft) });
      showPause(element, queue);
      reach(element.querySelector("i"), queue.length / most);
    },
  });
  write($("inbox-size"), count(inbox.size));
  write($("inbox-held"), count(inbox.held_back));
  write($("inbox-oldest"), inbox.oldest_seconds === null ? (inbox.size === null ? UNKNOWN : gettext("none")) : duration(older(inbox.oldest_seconds, elapsed)));
  write($("inbox-eta"), eta(inbox, throughput));
  write($("commands-rate"), fine(throughput.commands_per_minute));
  write($("answers-rate"), fine(throughput.answers_per_minute));
  write($("answers-half"), within(throughput.answer_p50_seconds, throughput));
  write($("answers-most"), within(throughput.answer_p95_seconds, throughput));
  write($("queues-age"), ago(older(status.age_seconds, elapsed)));
}

function note({ paused_by: by, paused_seconds: seconds }, isLeft) {
  if (by !== null) return gettext("paused by {operator} {when}; its jobs wait, in order", { operator: by, when: ago(seconds) });
  return isLeft ? gettext("no worker consumes it") : "";
}

// Those by which people are answered are not paused.
function showPause(element, { name, paused_by: by }) {
  const button = element.querySelector("button");
  button.hidden = ALWAYS.includes(name);
  write(button, by === null ? gettext("Pause") : gettext("Resume"));
  mark(button, "data-action", by === null ? "queue.pause" : "queue.resume");
  nameButton(button, name, name);
}

// How long all that waits takes at the pace of the last minute; and whether more comes than is done.
function eta({ size, held_back: held }, { answers_per_minute: done, commands_per_minute: came }) {
  const waiting = (size ?? 0) - (held ?? 0);
  if (size === null || done === null) return UNKNOWN;
  if (waiting < BACKLOG_MIN) return gettext("moments");
  if (done < 1) return gettext("never at this rate: nothing is answered");
  const args = { duration: duration((60 * waiting) / done), growth: fine(came - done) };
  return came > done * GROWING
    ? gettext("{duration} at this rate; the backlog grows by {growth} per minute: add workers", args)
    : gettext("{duration} at this rate", args);
}

function within(seconds, { answers_per_minute: rate }) {
  return seconds === null && rate !== null ? gettext("none recently") : moments(seconds);
}
