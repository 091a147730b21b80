// Broadcasts: how far each is, how fast, and until when.

import { nameButton } from "/static/actions.js";
import { deliveries, halted, LEVEL, pace, reached, statusInWords } from "/static/broadcast-words.js";
import { $, fill, mark, reach, rows, write } from "/static/dom.js";
import { gettext } from "/static/texts.js";
import { ago, at, older, share as percent } from "/static/words.js";

const OFFERED = {
  scheduled: ["broadcast.cancel"],
  sending: ["broadcast.pause", "broadcast.cancel"],
  paused: ["broadcast.resume", "broadcast.cancel"],
  halted: ["broadcast.resume", "broadcast.cancel"],
};

export function showBroadcasts(status, elapsed) {
  const { broadcasts } = status;
  const stuck = new Set(broadcasts.stuck);
  rows($("broadcasts"), broadcasts.items, {
    template: "broadcast-row",
    key: (item) => item.id,
    show: (element, item) => showOne(element, item, stuck.has(item.id), status.now),
  });
  $("broadcasts").hidden = broadcasts.items.length === 0;
  const none = broadcasts.age_seconds === null ? gettext("Unknown until the database is first read.") : gettext("None recently.");
  write($("broadcasts-none"), broadcasts.items.length ? "" : none);
  write($("broadcasts-age"), ago(older(broadcasts.age_seconds, elapsed)));
}

function showOne(element, item, isStuck, now) {
  const done = item.sent + item.blocked + item.failed + item.unknown;
  const share = item.audience ? done / item.audience : 0;
  const status = statusInWords(item.status);
  const name = gettext("Broadcast {id}", { id: String(item.id) });
  fill(element, {
    name,
    status: isStuck ? gettext("{status}, stuck", { status }) : status,
    share: percent(Math.floor(share * 100) / 100),
    counts: deliveries(item),
    pace: progress(item, isStuck, now),
  });
  mark(element.fields.status, "data-state", isStuck ? "down" : LEVEL[item.status] ?? "unknown");
  const bar = element.querySelector(".bar");
  mark(bar, "aria-valuenow", String(Math.floor(share * 100)));
  mark(bar, "aria-label", name);
  reach(bar.querySelector("i"), share);
  const offered = [...(OFFERED[item.status] ?? []), ...(isStuck ? ["broadcast.resume"] : [])];
  for (const button of element.querySelectorAll("[data-action]")) {
    button.hidden = !offered.includes(button.dataset.action);
    nameButton(button, String(item.id), reached(item));
  }
}

function progress(item, isStuck, now) {
  if (item.halted_reason) return halted(item.halted_reason);
  if (isStuck) return gettext("It is stuck. Resume starts a new run for the remaining recipients.");
  if (item.status === "scheduled") return item.scheduled_for === null ? "" : gettext("Begins {time}", { time: at(item.scheduled_for, now) });
  return item.status === "sending" ? pace(item.rate, item.eta_seconds) : "";
}
