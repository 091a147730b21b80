// Amounts are integers of minor units, as the ledger has them: exact up to 2^53, ninety trillion units with two decimals.

import { gettext, isolated, LOCALE } from "/static/texts.js";
import { shown } from "/static/words.js";

const { currency, decimals } = document.body.dataset;
const DECIMALS = Object.fromEntries(decimals.split(",").map((each) => each.split(":")).map(([code, digits]) => [code, Number(digits)]));

// As people write them.
const PARTS = new Intl.NumberFormat(LOCALE).formatToParts(1_234_567.5);
const [GROUP, POINT] = ["group", "decimal"].map((type) => PARTS.find((part) => part.type === type).value);

// Of an exact text, such as -1234567.50.
export function grouped(text) {
  const [units, behind] = text.split(".");
  const inGroups = units.replace(/\B(?=(\d{3})+$)/g, GROUP);
  return behind === undefined ? inGroups : `${inGroups}${POINT}${behind}`;
}

// The same with its currency; sign -- before it.
export function exact(text, code, sign = "") {
  return isolated(`${sign}${grouped(text)} ${code}`);
}

// With a point before its decimals. Of a currency that the bot no longer has nobody knows the decimals.
export function plainAmount(minor, code = currency) {
  const decimals = DECIMALS[code] ?? 0;
  const digits = String(minor).replace("-", "").padStart(decimals + 1, "0");
  const units = digits.slice(0, digits.length - decimals);
  return decimals ? `${units}.${digits.slice(-decimals)}` : units;
}

function written(sign, minor, code) {
  const text = plainAmount(minor, code);
  if (code in DECIMALS) return exact(text, code, sign);
  return gettext("{amount} minor units", { amount: exact(text, code, sign) });
}

// All amounts are of the first currency unless another is named.
export function amount(minor, code = currency) {
  return written("", minor, code);
}

export function balance(minor, code = currency) {
  return written(minor < 0 ? "−" : "", minor, code);
}

export function signed(minor, code = currency) {
  return written(minor < 0 ? "−" : "+", minor, code);
}

// 1,234: thousands to some and decimals to others.
export function isAmbiguous(text) {
  return /^[1-9]\d{0,2}[.,]\d{3}$/.test(text.trim());
}

// What minorUnits reads: of three decimals a fourth, as in 1.2340, says that they are no thousands.
export function typedAmount(minor, code = currency) {
  const text = plainAmount(minor, code);
  return isAmbiguous(text) ? `${text}0` : text;
}

// Minor units, or null for what is no plain amount above zero or can be read two ways: nothing is guessed.
export function minorUnits(text, code = currency) {
  const decimals = DECIMALS[code] ?? 0;
  const found = text.trim().match(/^(\d{1,15})(?:[.,](\d+))?$/);
  if (!found || isAmbiguous(text)) return null;
  const [, units, behind = ""] = found;
  const written = decimals >= 3 ? behind.slice(0, decimals) + behind.slice(decimals).replace(/0+$/, "") : behind;
  if (written.length > decimals) return null;
  const minor = Number(units + written.padEnd(decimals, "0"));
  return minor > 0 && Number.isSafeInteger(minor) ? minor : null;
}

export function byName({ first_name: name, username, telegram_id: id }) {
  return isolated(`${name ? shown(name) : gettext("(no name)")} (${username ? `@${username}` : gettext("ID {id}", { id: String(id) })})`);
}
