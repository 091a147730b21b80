// What pages say of a broadcast: its status, how far it is, how fast, and why it stopped itself.

import { gettext, ngettext, noop } from "/static/texts.js";
import { count, duration, fine, shown } from "/static/words.js";

const STATUSES = {
  draft: noop("draft"), scheduled: noop("scheduled"), sending: noop("sending"), paused: noop("paused"), halted: noop("halted"),
  finished: noop("finished"), cancelled: noop("cancelled"),
};

const NOW = {
  scheduled: noop("Done. Broadcast {id} is scheduled."), sending: noop("Done. Broadcast {id} is sending."),
  paused: noop("Done. Broadcast {id} is paused."), finished: noop("Done. Broadcast {id} is finished."),
  cancelled: noop("Done. Broadcast {id} is cancelled."),
};

// Of the badge that has the status.
export const LEVEL = {
  draft: "unknown", scheduled: "unknown", sending: "working_through", paused: "degraded", halted: "down", finished: "ok", cancelled: "unknown",
};

export function statusInWords(status) {
  return status in STATUSES ? gettext(STATUSES[status]) : status;
}

// What an act made of it.
export function nowInWords(id, status) {
  if (status in NOW) return gettext(NOW[status], { id: String(id) });
  return gettext("Done. Broadcast {id}: {status}.", { id: String(id), status: statusInWords(status) });
}

// How many have it, as it stands in a question.
export function reached({ sent, audience }) {
  return audience === null ? count(0) : gettext("{sent} of {audience}", { sent: count(sent), audience: count(audience) });
}

// What became of its messages; of nothing it is silent but of what was sent.
export function deliveries({ sent, audience, blocked, failed, unknown }) {
  return [
    gettext("{sent} of {audience} sent", { sent: count(sent), audience: count(audience) }),
    blocked ? ngettext("{count} blocked", "{count} blocked", blocked) : "",
    failed ? ngettext("{count} failed", "{count} failed", failed) : "",
    unknown ? ngettext("{count} unknown", "{count} unknown", unknown) : "",
  ].filter(Boolean).join(" · ");
}

// perSecond -- null before it is measured; seconds -- how long it takes at that rate, null if nobody knows.
export function pace(perSecond, seconds) {
  if (!perSecond) return gettext("The rate is not measured yet.");
  if (seconds === null) return gettext("{rate} per second", { rate: fine(perSecond) });
  return gettext("{rate} per second, done in {duration}", { rate: fine(perSecond), duration: duration(seconds) });
}

const SOURCE_DELETED = noop("the message that it copies was deleted. Draw the broadcast up again for those who are left");

// reason -- as it is kept with the broadcast (ballast/broadcasts/halts.py). Telegram's words stay as they are.
export function halted(reason) {
  return gettext("It stopped by itself: {why}.", { why: why(reason) });
}

function why(reason) {
  const [, out, failed] = reason.match(/^canary: (\d+) out, (\d+) not delivered$/) ?? [];
  if (out) {
    return gettext("the first {out} are done, {failed} of them not delivered. Resume sends to the others", {
      out: count(Number(out)), failed: count(Number(failed)),
    });
  }
  const telegrams = shown(reason.replace(`: ${SOURCE_DELETED}`, ""));
  return reason.endsWith(`: ${SOURCE_DELETED}`) ? `${telegrams}: ${gettext(SOURCE_DELETED)}` : telegrams;
}
