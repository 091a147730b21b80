// What the form says, as /api/v1/broadcasts takes it. Throws Unreadable with words for what cannot be read.

import { minorUnits } from "/static/money.js";

export class Unreadable extends Error {}

function number(name, text) {
  if (!/^\d+(?:[.,]\d+)?$/.test(text)) throw new Unreadable(`${name}: write a number.`);
  return Number(text.replace(",", "."));
}

function units(name, text) {
  const minor = /^0+(?:[.,]0*)?$/.test(text) ? 0 : minorUnits(text);
  if (minor === null) throw new Unreadable(`${name}: write a plain amount, such as 5.50.`);
  return minor;
}

function moment(text) {
  return new Date(text).toISOString();
}

function json(name, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Unreadable(`${name}: write JSON.`);
  }
}

function ids(text) {
  return text.split(/[\s,]+/).filter(Boolean).map((word) => number("Telegram IDs", word));
}

// "Text | https://…" or "Text | data" a line.
export function buttons(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const [words, target = ""] = line.split("|").map((part) => part.trim());
    return [/^(https?|tg):\/\//.test(target) ? { text: words, url: target } : { text: words, data: target }];
  });
}

const SEGMENT = {
  active_days: (text) => number("Seen within", text),
  language: (text) => text,
  seen_until: moment,
  joined_since: moment,
  balance_min: (text) => units("Balance from", text),
  balance_max: (text) => units("Balance to", text),
  telegram_ids: ids,
  app: (text) => text,
  sql: (text) => text,
};

// What the form calls the fields of the API. The last name in the address of a field that is in here counts.
const CALLED = {
  text: "Text", other: "Another text", media: "Media", file_id: "file_id", buttons: "Buttons", entities: "Entities",
  active_days: "Seen within", language: "Language", seen_until: "Not seen since", joined_since: "Joined since",
  balance_min: "Balance from", balance_max: "Balance to", telegram_ids: "Telegram IDs", app: "An app's segment", sql: "Own SQL",
  scheduled_for: "Start at", begin: "Quiet from", end: "Quiet until", canary: "The first", percent: "The first",
  failures_max: "At most failed", stars_max: "At most, Stars",
};

// "body.segment.language: expected …" of the API, in the form's words.
export function inFormsWords(refusal) {
  return refusal.replace(/\bbody((?:\.\w+)+): /g, (given, address) => {
    const name = address.split(".").findLast((part) => part in CALLED);
    return name ? `${CALLED[name]}: ` : given;
  });
}

export function composition(form) {
  const { elements } = form;
  const given = (name) => elements[name].value.trim();
  const made = { text: elements.text.value.trim() ? elements.text.value : null, segment: {} };
  if (given("entities")) made.entities = json("Entities", given("entities"));
  if (given("other")) made.other = { text: elements.other.value };
  if (given("media_type") && !given("file_id")) throw new Unreadable("Media: choose a file, or write its file_id.");
  if (given("file_id") && !given("media_type")) throw new Unreadable("Media: choose its kind.");
  if (given("media_type")) made.media = { type: given("media_type"), file_id: given("file_id") };
  if (given("buttons")) made.buttons = buttons(given("buttons"));
  for (const [name, read] of Object.entries(SEGMENT)) if (given(name)) made.segment[name] = read(given(name));
  if (given("scheduled_for")) made.scheduled_for = moment(given("scheduled_for"));
  if (given("quiet_begin") || given("quiet_end")) {
    if (!given("quiet_begin") || !given("quiet_end")) throw new Unreadable("Quiet: write both times.");
    const { timeZone: zone } = Intl.DateTimeFormat().resolvedOptions();
    made.quiet_hours = { begin: given("quiet_begin"), end: given("quiet_end"), zone };
  }
  const rule = {};
  if (given("canary_unit") === "percent") rule.percent = number("The first", given("canary"));
  else made.canary = number("The first", given("canary"));
  if (given("canary_then") === "few") rule.failures_max = number("At most failed", given("failures_max"));
  const isRule = given("canary_then") !== "go" || rule.percent !== undefined;
  if (given("canary_then") === "go" && isRule) rule.failures_max = 100;
  if (isRule) made.canary_rule = rule;
  if (elements.paid.checked) {
    made.paid = true;
    if (given("stars_max")) made.stars_max = number("At most, Stars", given("stars_max"));
  }
  return made;
}
