// All broadcasts: what each says, how far it is, and what can be done with it.

import { uuid } from "/static/actions.js";
import { get, knowSession, post, signedIn, whatWentWrong } from "/static/api.js";
import { Question } from "/static/ask.js";
import { $, fill, mark, reach, rows, write } from "/static/dom.js";
import { Stream } from "/static/stream.js";
import { ago, at, count, duration, fine, older as grown, zone } from "/static/words.js";

const TICK_MS = 1_000;
const PAGE = 20;

const LEVEL = { draft: "unknown", sending: "working_through", scheduled: "unknown", paused: "degraded", halted: "down", finished: "ok", cancelled: "unknown" };
const OFFERED = {
  draft: ["start", "cancel"],
  scheduled: ["cancel"],
  sending: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  halted: ["resume", "cancel"],
};
const QUESTIONS = {
  start: (item) => ({ title: `Start broadcast ${item.id}?`, words: item.scheduled_for ? `It is sent to everybody in its segment at ${when(item.scheduled_for)}.` : "It is sent to everybody in its segment, and cannot be taken back.", go: "Start" }),
  pause: (item) => ({ title: `Pause broadcast ${item.id}?`, words: `Sending stops within a few seconds. ${reached(item)} have received it; the others wait until it is resumed.`, go: "Pause" }),
  resume: (item) => ({ title: `Resume broadcast ${item.id}?`, words: `Sending continues with the remaining recipients. ${reached(item)} have received it and do not get it again.`, go: "Resume" }),
  cancel: (item) => ({ title: `Cancel broadcast ${item.id}?`, words: `This cannot be undone. ${reached(item)} have received it and keep it; the others never get it.`, go: "Cancel broadcast", isDangerous: true }),
};

let answer = null;
let known = null; // the figures' mark when the list was read
const figures = new Stream("/status/stream", heard, read);
const question = new Question($("confirm"));
const older = [];
const seen = new Map();
const compared = new Map();
let cursor = null;

function reached(item) {
  return item.audience === null ? "0" : `${count(item.sent)} of ${count(item.audience)}`;
}

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
  write($("broadcasts-none"), items.length ? "" : "There was none yet.");
  $("more").hidden = (older.length ? cursor : answer.next_cursor) === null;
  const age = figures.answer?.broadcasts.age_seconds ?? null;
  write($("freshness"), figures.isLost ? "Not connected" : age === null ? "Live" : `As of ${ago(grown(age, figures.elapsed))}`);
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
  const percent = Math.floor(share * 100);
  fill(element, {
    name: `Broadcast ${item.id}`,
    status: item.status,
    share: item.audience === null ? "" : `${percent}%`,
    text: item.text ?? "A copied message",
    counts: item.audience === null ? `drawn up by ${item.actor}` : counts(item),
    pace: pace(item, done),
    variants: compared.get(item.id) ?? "",
    report: item.audience === null ? "" : "Report (CSV)",
  });
  mark(element.fields.report, "href", `/api/v1/broadcasts/${item.id}/recipients.csv`);
  mark(element.fields.status, "data-state", LEVEL[item.status]);
  const bar = element.querySelector(".bar");
  bar.hidden = item.audience === null;
  mark(bar, "aria-valuenow", String(percent));
  mark(bar, "aria-label", `Broadcast ${item.id}`);
  reach(bar.querySelector("i"), share);
  const compare = element.querySelector("[data-compare]");
  compare.hidden = !item.has_variants || item.audience === null;
  mark(compare, "aria-label", `Compare the texts of broadcast ${item.id}`);
  compare.onclick = () => showVariants(item);
  for (const button of element.querySelectorAll("[data-act]")) {
    button.hidden = !(OFFERED[item.status] ?? []).includes(button.dataset.act);
    mark(button, "aria-label", `${button.textContent}: broadcast ${item.id}`);
    button.onclick = () => ask(button, item);
  }
}

function counts(item) {
  const parts = [`${reached(item)} sent`];
  for (const outcome of ["blocked", "failed", "unknown"]) if (item[outcome]) parts.push(`${count(item[outcome])} ${outcome}`);
  return parts.join(" · ");
}

function pace(item, done) {
  if (item.halted_reason) return `It stopped itself: ${reason(item.halted_reason)}`;
  if (item.scheduled_for !== null && ["draft", "scheduled"].includes(item.status)) return `Begins ${when(item.scheduled_for)}`;
  if (item.status !== "sending") return "";
  const perSecond = rate(item, performance.now() / 1000);
  const first = item.canary_out ? "The first ones get it now; the others wait for them. " : "";
  if (!perSecond) return `${first}The rate is not measured yet.`;
  return `${first}${fine(perSecond)} per second, done in ${duration((item.audience - done) / perSecond)}`;
}

function reason(text) {
  const canary = text.match(/^canary: (\d+) out, (\d+) not delivered$/);
  return canary ? `the first ${canary[1]} are done, ${canary[2]} of them not delivered. Resume sends to the others.` : text;
}

async function showVariants({ id }) {
  try {
    const { items } = await get(`/broadcasts/${id}/variants`);
    const each = ({ name, text, audience, sent, blocked, failed, unknown }) =>
      `${name.toUpperCase()} “${text}”: ${count(sent)} of ${count(audience)} sent, ${count(blocked)} blocked, ${count(failed)} failed, ${count(unknown)} unknown.`;
    compared.set(id, items.map(each).join(" "));
  } catch (error) {
    compared.set(id, whatWentWrong(error));
  }
  show();
}

function ask(button, item) {
  const { act } = button.dataset;
  const key = uuid();
  question.ask(button, {
    ...QUESTIONS[act](item),
    act: async () => {
      const { status } = await post(`/broadcasts/${item.id}/${act}`, {}, key);
      read();
      return `Done. Broadcast ${item.id} is ${status}.`;
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
  write($("why-not"), allowed ? "" : whyNot ?? "Your role may not send broadcasts.");
}

write($("zone"), zone());
$("more").addEventListener("click", more);
setInterval(show, TICK_MS);
figures.connect();
begin();
