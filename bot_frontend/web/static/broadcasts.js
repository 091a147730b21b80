// Broadcasts: how far each is, how fast, and until when.

import { nameButton } from "/static/actions.js";
import { $, fill, mark, reach, rows, write } from "/static/dom.js";
import { ago, at, count, duration, fine, older } from "/static/words.js";

const LEVEL = { sending: "working_through", scheduled: "unknown", paused: "degraded", halted: "down", finished: "ok", cancelled: "unknown" };
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
  const none = broadcasts.age_seconds === null ? "Unknown until the database is first read." : "None recently.";
  write($("broadcasts-none"), broadcasts.items.length ? "" : none);
  write($("broadcasts-age"), ago(older(broadcasts.age_seconds, elapsed)));
}

function showOne(element, item, isStuck, now) {
  const done = item.sent + item.blocked + item.failed + item.unknown;
  const share = item.audience ? done / item.audience : 0;
  const percent = Math.floor(share * 100);
  fill(element, {
    name: `Broadcast ${item.id}`,
    status: isStuck ? `${item.status}, stuck` : item.status,
    share: `${percent}%`,
    counts: counts(item),
    pace: pace(item, isStuck, now),
  });
  mark(element.fields.status, "data-state", isStuck ? "down" : LEVEL[item.status] ?? "unknown");
  const bar = element.querySelector(".bar");
  mark(bar, "aria-valuenow", String(percent));
  mark(bar, "aria-label", `Broadcast ${item.id}`);
  reach(bar.querySelector("i"), share);
  const offered = [...(OFFERED[item.status] ?? []), ...(isStuck ? ["broadcast.resume"] : [])];
  for (const button of element.querySelectorAll("[data-action]")) {
    button.hidden = !offered.includes(button.dataset.action);
    nameButton(button, String(item.id), `${count(item.sent)} of ${count(item.audience)}`);
  }
}

function counts(item) {
  const parts = [`${count(item.sent)} of ${count(item.audience)} sent`];
  for (const outcome of ["blocked", "failed", "unknown"]) if (item[outcome]) parts.push(`${count(item[outcome])} ${outcome}`);
  return parts.join(" · ");
}

function pace(item, isStuck, now) {
  if (item.halted_reason) return `It stopped itself: ${item.halted_reason}`;
  if (isStuck) return "It is stuck. Resume starts a new run for the remaining recipients.";
  if (item.status === "scheduled") return item.scheduled_for === null ? "" : `begins ${at(item.scheduled_for, now)}`;
  if (item.status !== "sending") return "";
  const left = item.eta_seconds === null ? "" : `, done in ${duration(item.eta_seconds)}`;
  return item.rate === null ? "the rate is not measured yet" : `${fine(item.rate)} per second${left}`;
}
