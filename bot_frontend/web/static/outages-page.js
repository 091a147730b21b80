// All outages that are known, each with its story, and what part of the time had none.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { span, story, uptimeInWords, what } from "/static/outages.js";
import { Stream } from "/static/stream.js";
import { gettext } from "/static/texts.js";
import { ago, older, zone } from "/static/words.js";

const TICK_MS = 1_000;

const report = new Stream("/outages/stream", show);

function show() {
  const { answer, elapsed } = report;
  if (report.isSignedOut) {
    write($("freshness"), gettext("You are signed out"));
    return;
  }
  write($("contact"), report.contact);
  if (!answer) return;
  rows($("uptimes"), answer.uptime, {
    template: "uptime-row",
    key: (each) => each.hours,
    show: (element, each) => fill(element, uptimeInWords(each)),
  });
  rows($("outages"), answer.outages, {
    template: "outage-row",
    key: (outage) => outage.began_at.toFixed(1),
    show: (element, outage) => {
      mark(element, "data-state", outage.ended_at !== null ? "ok" : outage.reason ? "down" : "away");
      fill(element, { what: what(outage, elapsed), at: span(outage, answer.now), ...story(outage, answer.now + elapsed) });
    },
  });
  $("outages").hidden = answer.outages.length === 0;
  write($("outages-none"), answer.outages.length ? "" : answer.age_seconds === null ? gettext("Unknown yet.") : gettext("None so far."));
  const age = older(answer.age_seconds, elapsed);
  write($("freshness"), age === null ? gettext("Nothing seen yet") : gettext("As of {when}", { when: ago(age) }));
  document.body.dataset.ready = "yes";
}

write($("zone"), zone());
setInterval(show, TICK_MS);
report.connect();
