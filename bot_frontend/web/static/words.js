// Figures as a person reads them. null is what nobody knows, and is said so.

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const UNKNOWN = "unknown";
const DAY = 86400;

export function count(value) {
  return value === null ? UNKNOWN : COUNT.format(value);
}

export function fine(value) {
  if (value === null) return UNKNOWN;
  return value < 10 ? FINE.format(value) : COUNT.format(value);
}

export function counted(value, one, many) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function duration(seconds) {
  if (seconds === null) return UNKNOWN;
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  if (seconds < DAY) return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / 3600)} h`;
}

// Of something that takes moments, to the hundredth.
export function moments(seconds) {
  if (seconds === null) return UNKNOWN;
  return seconds < 10 ? `${seconds.toFixed(seconds < 1 ? 2 : 1)} s` : duration(seconds);
}

export function ago(seconds) {
  if (seconds === null) return "never";
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

export function older(age, elapsed) {
  return age === null ? null : age + elapsed;
}

// The time of day, with its date where that was not today.
export function at(unixSeconds, nowSeconds) {
  if (unixSeconds === null) return UNKNOWN;
  return (Math.abs(nowSeconds - unixSeconds) < DAY / 2 ? CLOCK : DATE).format(new Date(unixSeconds * 1000));
}

export function bytes(value) {
  if (value === null) return UNKNOWN;
  let size = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (size < 1000) return `${fine(size)} ${unit}`;
    size /= 1000;
  }
  return `${fine(size)} TB`;
}

const TURNS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

// What people wrote, in a sentence of ours: on one line, and nothing in it turns the rest around.
export function shown(text) {
  const line = text.replace(TURNS, " ").trim();
  return RIGHT_TO_LEFT.test(line) ? `\u2068${line}\u2069` : line;
}

export function plain(word) {
  return word.replaceAll("_", " ");
}

export function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function zone() {
  return `Times are those of this browser, ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
}
