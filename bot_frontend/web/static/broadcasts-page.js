// All broadcasts: what each says, how far it is, and what can be done with it.

import { questionOf, uuid } from "/static/actions.js";
import { get, knowSession, post, signedIn, whatWentWrong } from "/static/api.js";
import { Question } from "/static/ask.js";
import { deliveries, halted, LEVEL, nowInWords, pace, reached, statusInWords } from "/static/broadcast-words.js";
import { $, fill, mark, reach, rows, write } from "/static/dom.js";
import { Stream } from "/static/stream.js";
import { gettext } from "/static/texts.js";
import { ago, at, older as grown, share as percent, shown, zone } from "/static/words.js";

const TICK_MS = 1_000;
const PAGE = 20;

const OFFERED = {
  draft: ["start", "cancel"],
  scheduled: ["cancel"],
  sending: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  halted: ["resume", "cancel"],
};
let answer = null;
let known = null; // the figures' mark when the list was read
const figures = new Stream("/status/stream", heard, read);
const question = new Question($("confirm"));
const older = [];
const seen = new Map();
const compared = new Map();
let cursor = null;

function when(text) {
  return at(Date.parse(text) / 1000, Date.now() / 1000);
}

// Recipients a second, from what was read before; a minute's look at most.
function rate(item, now) {
  const done = item.sent + item.blocked + item.failed + item.unknown;
  const looks = [...(seen.get(item.id) ?? []).filter((look) => now - look.now < 60 && look.done <= done), { now, done }];
  seen.set(item.id, looks);
  const passed = now - looks[0].now;
  return passed < 3 ? null : (done - looks[0].done) / passed;
}

function show() {
  if (!answer) return;
  const newest = answer.items;
  const items = [...newest, ...older.filter((item) => !newest.some(({ id }) => id === item.id))];
  rows($("broadcasts"), items, { template: "broadcast-row", key: (item) => item.id, show: showOne });
  write($("broadcasts-none"), items.length ? "" : gettext("No broadcasts yet."));
  $("more").hidden = (older.length ? cursor : answer.next_cursor) === null;
  const age = figures.answer?.broadcasts.age_seconds ?? null;
  write($("freshness"), figures.isLost ? gettext("Not connected") : age === null ? gettext("Live") : gettext("As of {when}", { when: ago(grown(age, figures.elapsed)) }));
  document.body.dataset.ready = "yes";
}

// The figures say when something of the broadcasts has changed.
function heard() {
  if (figures.answer) knowSession(figures.answer.actions);
  const changed = figures.answer?.broadcasts.mark ?? null;
  if (changed !== known) {
    known = changed;
    read();
  }
  show();
}

async function read() {
  try {
    answer = await get(`/broadcasts?limit=${PAGE}`);
    show();
  } catch (error) {
    known = null; // it is read with the next figures
    if (!answer) write($("freshness"), whatWentWrong(error));
  }
}

function showOne(element, item) {
  const done = item.sent + item.blocked + item.failed + item.unknown;
  const share = item.audience ? done / item.audience : Number(item.status === "finished");
  const name = gettext("Broadcast {id}", { id: String(item.id) });
  fill(element, {
    name,
    status: statusInWords(item.status),
    share: item.audience === null ? "" : percent(Math.floor(share * 100) / 100),
    text: item.text ?? gettext("A copied message"),
    counts: item.audience === null ? gettext("drafted by {actor}", { actor: item.actor }) : deliveries(item),
    pace: progress(item, done),
    variants: compared.get(item.id) ?? "",
    report: item.audience === null ? "" : gettext("Report (CSV)"),
  });
  mark(element.fields.report, "href", `/api/v1/broadcasts/${item.id}/recipients.csv`);
  mark(element.fields.status, "data-state", LEVEL[item.status]);
  const bar = element.querySelector(".bar");
  bar.hidden = item.audience === null;
  mark(bar, "aria-valuenow", String(Math.floor(share * 100)));
  mark(bar, "aria-label", name);
  reach(bar.querySelector("i"), share);
  const compare = element.querySelector("[data-compare]");
  compare.hidden = !item.has_variants || item.audience === null;
  mark(compare, "aria-label", gettext("Compare the texts of broadcast {id}", { id: String(item.id) }));
  compare.onclick = () => showVariants(item);
  for (const button of element.querySelectorAll("[data-act]")) {
    button.hidden = !(OFFERED[item.status] ?? []).includes(button.dataset.act);
    mark(button, "aria-label", gettext("{action}: broadcast {id}", { action: button.textContent, id: String(item.id) }));
    button.onclick = () => ask(button, item);
  }
}

function progress(item, done) {
  if (item.halted_reason) return halted(item.halted_reason);
  if (item.scheduled_for !== null && ["draft", "scheduled"].includes(item.status)) return gettext("Begins {time}", { time: when(item.scheduled_for) });
  if (item.status !== "sending") return "";
  const perSecond = rate(item, performance.now() / 1000);
  const words = pace(perSecond, perSecond ? (item.audience - done) / perSecond : null);
  return item.canary_out ? `${gettext("The first recipients get it now; the others wait for the result.")} ${words}` : words;
}

async function showVariants({ id }) {
  try {
    const { items } = await get(`/broadcasts/${id}/variants`);
    const each = (variant) => gettext("{name} “{text}”: {deliveries}.", {
      name: variant.name.toUpperCase(), text: shown(variant.text), deliveries: deliveries(variant),
    });
    compared.set(id, items.map(each).join(" "));
  } catch (error) {
    compared.set(id, whatWentWrong(error));
  }
  show();
}

function startQuestion(item) {
  return {
    title: gettext("Start broadcast {id}?", { id: String(item.id) }),
    words: item.scheduled_for
      ? gettext("It is sent to everybody in its segment at {time}.", { time: when(item.scheduled_for) })
      : gettext("It is sent to everybody in its segment, and cannot be taken back."),
    go: gettext("Start"),
  };
}

function ask(button, item) {
  const { act } = button.dataset;
  const key = uuid();
  question.ask(button, {
    ...(act === "start" ? startQuestion(item) : questionOf(`broadcast.${act}`, String(item.id), reached(item))),
    act: async () => {
      const { status } = await post(`/broadcasts/${item.id}/${act}`, {}, key);
      read();
      return nowInWords(item.id, status);
    },
  });
}

async function more() {
  const page = await get(`/broadcasts?limit=${PAGE}&cursor=${encodeURIComponent(older.length ? cursor : answer.next_cursor)}`);
  older.push(...page.items);
  cursor = page.next_cursor;
  show();
}

async function begin() {
  const { permitted, why_not: whyNot } = await signedIn();
  const allowed = permitted.includes("broadcast");
  mark(document.body, "data-acting", allowed ? "yes" : "no");
  write($("why-not"), allowed ? "" : whyNot ?? gettext("Your role may not send broadcasts."));
}

write($("zone"), zone());
$("more").addEventListener("click", more);
setInterval(show, TICK_MS);
figures.connect();
begin();
