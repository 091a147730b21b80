// Amounts are integers of minor units, as the ledger has them: exact up to 2^53, ninety trillion units with two decimals.

import { shown } from "/static/words.js";

const { currency, decimals } = document.body.dataset;
const DECIMALS = Object.fromEntries(decimals.split(",").map((each) => each.split(":")).map(([code, digits]) => [code, Number(digits)]));

// Of an exact text, such as -1234567.50.
export function grouped(text) {
  return text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
}

// Of a currency that the bot no longer has nobody knows the decimals.
function written(minor, code) {
  const decimals = DECIMALS[code] ?? 0;
  const digits = String(minor).replace("-", "").padStart(decimals + 1, "0");
  const whole = grouped(digits.slice(0, digits.length - decimals));
  return decimals ? `${whole}.${digits.slice(-decimals)}` : whole;
}

// All amounts are of the first currency unless another is named.
export function amount(minor, code = currency) {
  return `${written(minor, code)} ${code}${code in DECIMALS ? "" : " minor units"}`;
}

export function balance(minor, code = currency) {
  return `${minor < 0 ? "−" : ""}${amount(minor, code)}`;
}

export function signed(minor, code = currency) {
  return `${minor < 0 ? "−" : "+"}${amount(minor, code)}`;
}

// Minor units, or null for what is no plain amount above zero: nothing is guessed.
export function minorUnits(text, code = currency) {
  const decimals = DECIMALS[code] ?? 0;
  const found = text.trim().match(/^(\d{1,15})(?:[.,](\d+))?$/);
  if (!found || (found[2] ?? "").length > decimals) return null;
  const minor = Number(found[1] + (found[2] ?? "").padEnd(decimals, "0"));
  return minor > 0 && Number.isSafeInteger(minor) ? minor : null;
}

export function plainAmount(minor, code = currency) {
  return written(minor, code).replaceAll(",", "");
}

export function byName({ first_name: name, username, telegram_id: id }) {
  return `${name ? shown(name) : "(no name)"} (${username ? `@${username}` : `ID ${id}`})`;
}
