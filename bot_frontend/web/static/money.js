// Amounts are integers of minor units, as the ledger has them: exact up to 2^53, ninety trillion units with two decimals.

import { shown } from "/static/words.js";

const { currency, exponent } = document.body.dataset;
const DECIMALS = Number(exponent);

// Of an exact text, such as -1234567.50.
export function grouped(text) {
  return text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
}

function written(minor) {
  const digits = String(minor).replace("-", "").padStart(DECIMALS + 1, "0");
  const whole = grouped(digits.slice(0, digits.length - DECIMALS));
  return DECIMALS ? `${whole}.${digits.slice(-DECIMALS)}` : whole;
}

export function amount(minor) {
  return `${written(minor)} ${currency}`;
}

export function balance(minor) {
  return `${minor < 0 ? "−" : ""}${amount(minor)}`;
}

export function signed(minor) {
  return `${minor < 0 ? "−" : "+"}${amount(minor)}`;
}

// Minor units, or null for what is no plain amount above zero: nothing is guessed.
export function minorUnits(text) {
  const found = text.trim().match(/^(\d{1,15})(?:[.,](\d+))?$/);
  if (!found || (found[2] ?? "").length > DECIMALS) return null;
  const minor = Number(found[1] + (found[2] ?? "").padEnd(DECIMALS, "0"));
  return minor > 0 && Number.isSafeInteger(minor) ? minor : null;
}

export function plainAmount(minor) {
  return written(minor).replaceAll(",", "");
}

export function byName({ first_name: name, username, telegram_id: id }) {
  return `${name ? shown(name) : "(no name)"} (${username ? `@${username}` : `ID ${id}`})`;
}
