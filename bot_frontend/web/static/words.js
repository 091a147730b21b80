// Figures as a person reads them. null is what nobody knows, and is said so.

import { gettext, isolated, LOCALE, noop } from "/static/texts.js";

const COUNT = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 2 });
const TENTHS = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const HUNDREDTHS = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const PERCENT = new Intl.NumberFormat(LOCALE, { style: "percent" });
const FINE_PERCENT = new Intl.NumberFormat(LOCALE, { style: "percent", minimumFractionDigits: 2 });
const LIST = new Intl.ListFormat(LOCALE, { type: "unit", style: "short" });
// Days before months, as all but Americans have them.
export const DATES = LOCALE.replace(/^en(-XA)?(?=-u)/, "en-GB");
const CLOCK = new Intl.DateTimeFormat(DATES, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DATE = new Intl.DateTimeFormat(DATES, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const UNKNOWN = gettext("unknown");
const DAY = 86400;

export function count(value) {
  return value === null ? UNKNOWN : COUNT.format(value);
}

export function fine(value) {
  if (value === null) return UNKNOWN;
  return value < 10 ? FINE.format(value) : COUNT.format(value);
}

// 0.5 is 50%.
export function share(value) {
  return PERCENT.format(value);
}

// The same to the hundredth.
export function fineShare(value) {
  return FINE_PERCENT.format(value);
}

export function counted(value, one, many) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// Names and figures, one after the other.
export function listed(items) {
  return LIST.format(items.map((item) => isolated(String(item))));
}

// What is said of one thing, in one line; what is empty is left out.
export function inOne(parts) {
  return parts.filter(Boolean).reduce((one, other) => gettext("{one}; {other}", { one, other }));
}

export function duration(seconds) {
  if (seconds === null) return UNKNOWN;
  if (seconds < 60) return gettext("{seconds} s", { seconds: Math.max(0, Math.floor(seconds)) });
  if (seconds < 3600) return gettext("{minutes} min {seconds} s", { minutes: Math.floor(seconds / 60), seconds: twoDigits(seconds % 60) });
  if (seconds < DAY) return gettext("{hours} h {minutes} min", { hours: Math.floor(seconds / 3600), minutes: twoDigits((seconds % 3600) / 60) });
  return gettext("{days} d {hours} h", { days: Math.floor(seconds / DAY), hours: Math.floor((seconds % DAY) / 3600) });
}

function twoDigits(value) {
  return String(Math.floor(value)).padStart(2, "0");
}

// Of something that takes moments, to the hundredth.
export function moments(seconds) {
  if (seconds === null) return UNKNOWN;
  return seconds < 10 ? gettext("{seconds} s", { seconds: (seconds < 1 ? HUNDREDTHS : TENTHS).format(seconds) }) : duration(seconds);
}

export function ago(seconds) {
  if (seconds === null) return gettext("never");
  return seconds < 1 ? gettext("just now") : gettext("{duration} ago", { duration: duration(seconds) });
}

export function older(age, elapsed) {
  return age === null ? null : age + elapsed;
}

// The time of day, with its date where that was not today.
export function at(unixSeconds, nowSeconds) {
  if (unixSeconds === null) return UNKNOWN;
  return (Math.abs(nowSeconds - unixSeconds) < DAY / 2 ? CLOCK : DATE).format(new Date(unixSeconds * 1000));
}

const SIZES = [noop("{size} B"), noop("{size} kB"), noop("{size} MB"), noop("{size} GB"), noop("{size} TB")];

export function bytes(value) {
  if (value === null) return UNKNOWN;
  let size = value;
  let unit = 0;
  for (; size >= 1000 && unit < SIZES.length - 1; unit += 1) size /= 1000;
  return gettext(SIZES[unit], { size: fine(size) });
}

// Why the breaker lets nothing through, or a probe failed, by its code (dbcore/failures.py).
const REASONS = {
  outage: noop("outage"),
  saturation: noop("saturation"),
  ambiguous: noop("ambiguous"),
  quota: noop("quota"),
  storage: noop("storage"),
  configuration: noop("configuration"),
  conflict: noop("conflict"),
  slow: noop("slow"),
  data: noop("data"),
  corruption: noop("corruption"),
  unknown_outcome: noop("unknown outcome"),
};

export function reason(code) {
  return code in REASONS ? gettext(REASONS[code]) : plain(code);
}

// What is wrong with Redis, by its codes.
const REDIS_TROUBLES = {
  read_only: noop("read-only"),
  too_few_replicas: noop("too few replicas"),
  disk: noop("disk"),
  memory_full: noop("memory full"),
  evicting: noop("evicting"),
  memory_short: noop("memory short"),
  may_evict: noop("may evict"),
  not_persistent: noop("not persistent"),
};

export function redisTroubles(codes) {
  return listed(codes.map((code) => (code in REDIS_TROUBLES ? gettext(REDIS_TROUBLES[code]) : plain(code))));
}

const TURNS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu;

// What people wrote, in a sentence of ours: on one line, and nothing in it turns the rest around.
export function shown(text) {
  return isolated(text.replace(TURNS, " ").trim());
}

export function plain(word) {
  return word.replaceAll("_", " ");
}

export function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function zone() {
  return gettext("Times are those of this browser, {zone}.", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone });
}
