// What the form says, as /api/v1/broadcasts takes it. Throws Unreadable with words for what cannot be read.

import { isAmbiguous, minorUnits } from "/static/money.js";
import { gettext, noop } from "/static/texts.js";

export class Unreadable extends Error {}

function number(name, text) {
  if (isAmbiguous(text) || !/^\d+(?:[.,]\d+)?$/.test(text)) throw new Unreadable(gettext("{field}: write a number.", { field: called(name) }));
  return Number(text.replace(",", "."));
}

function units(name, text) {
  const minor = /^0+(?:[.,]0*)?$/.test(text) ? 0 : minorUnits(text);
  if (minor === null) throw new Unreadable(gettext("{field}: write a plain amount, such as 5.50.", { field: called(name) }));
  return minor;
}

function moment(text) {
  return new Date(text).toISOString();
}

function json(name, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Unreadable(gettext("{field}: write JSON.", { field: called(name) }));
  }
}

function ids(name, text) {
  return text.split(/[\s,]+/).filter(Boolean).map((word) => number(name, word));
}

// "Text | https://…" or "Text | data" a line.
export function buttons(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const [words, target = ""] = line.split("|").map((part) => part.trim());
    return [/^(https?|tg):\/\//.test(target) ? { text: words, url: target } : { text: words, data: target }];
  });
}

function verbatim(_, text) {
  return text;
}

const SEGMENT = {
  active_days: number,
  language: verbatim,
  seen_until: (_, text) => moment(text),
  joined_since: (_, text) => moment(text),
  balance_min: units,
  balance_max: units,
  telegram_ids: ids,
  app: verbatim,
  sql: verbatim,
};

// What the form calls the fields of the API. The last name in the address of a field that is in here counts.
const CALLED = {
  text: noop("Text"), other: noop("Another text"), media: noop("Media"), file_id: "file_id", buttons: noop("Buttons"), entities: noop("Entities"),
  active_days: noop("Seen within"), language: noop("Language"), seen_until: noop("Not seen since"), joined_since: noop("Joined since"),
  balance_min: noop("Balance from"), balance_max: noop("Balance to"), telegram_ids: noop("Telegram IDs"), app: noop("An app's segment"),
  sql: noop("Own SQL"), scheduled_for: noop("Start at"), begin: noop("Quiet from"), end: noop("Quiet until"), canary: noop("The first"),
  percent: noop("The first"), failures_max: noop("At most failed"), stars_max: noop("At most, Stars"),
};

function called(name) {
  return gettext(CALLED[name]);
}

// "body.segment.language: expected …" of the API, in the form's words.
export function inFormsWords(refusal) {
  return refusal.replace(/\u2068?\bbody((?:\.\w+)+)\u2069?: /g, (given, address) => {
    const name = address.split(".").findLast((part) => part in CALLED);
    return name ? `${called(name)}: ` : given;
  });
}

export function composition(form) {
  const { elements } = form;
  const given = (name) => elements[name].value.trim();
  const made = { text: elements.text.value.trim() ? elements.text.value : null, segment: {} };
  if (given("entities")) made.entities = json("entities", given("entities"));
  if (given("other")) made.other = { text: elements.other.value };
  if (given("media_type") && !given("file_id")) throw new Unreadable(gettext("Media: choose a file, or write its file_id."));
  if (given("file_id") && !given("media_type")) throw new Unreadable(gettext("Media: choose its kind."));
  if (given("media_type")) made.media = { type: given("media_type"), file_id: given("file_id") };
  if (given("buttons")) made.buttons = buttons(given("buttons"));
  for (const [name, read] of Object.entries(SEGMENT)) if (given(name)) made.segment[name] = read(name, given(name));
  if (given("scheduled_for")) made.scheduled_for = moment(given("scheduled_for"));
  if (given("quiet_begin") || given("quiet_end")) {
    if (!given("quiet_begin") || !given("quiet_end")) throw new Unreadable(gettext("Quiet: write both times."));
    const { timeZone: zone } = Intl.DateTimeFormat().resolvedOptions();
    made.quiet_hours = { begin: given("quiet_begin"), end: given("quiet_end"), zone };
  }
  const rule = {};
  if (given("canary_unit") === "percent") rule.percent = number("percent", given("canary"));
  else made.canary = number("canary", given("canary"));
  if (given("canary_then") === "few") rule.failures_max = number("failures_max", given("failures_max"));
  const isRule = given("canary_then") !== "go" || rule.percent !== undefined;
  if (given("canary_then") === "go" && isRule) rule.failures_max = 100;
  if (isRule) made.canary_rule = rule;
  if (elements.paid.checked) {
    made.paid = true;
    if (given("stars_max")) made.stars_max = number("stars_max", given("stars_max"));
  }
  return made;
}
