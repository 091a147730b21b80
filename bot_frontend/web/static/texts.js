// What the page says, in its language. The English text is the key. The server has the catalogue loaded before any module
// (/page-texts/de.js); English needs none, and what is not in it, or a catalogue that did not come, is said in English.
//
// The first argument is a plain string literal in double quotes, for `make texts` reads those. A variable may stand there
// only for a text that `noop` marks elsewhere.

const { lang, dir } = document.documentElement;
const { texts, plurals } = globalThis.pageTexts ?? { texts: {}, plurals: [] };

// The page's language for Intl. Digits are 0 to 9 and years are Gregorian in every language, as in the chat.
export const LOCALE = locale(lang);

const NUMBER = new Intl.NumberFormat(LOCALE);
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const ISOLATED = /^[\u2066-\u2068][^]*\u2069$/u;

// args -- what stands in the places of the text, by name: gettext("Paused by {operator}", { operator }). Numbers are written as
// the language writes them.
export function gettext(text, args) {
  return said(text, text, null, args);
}

// The same for a text that means something else elsewhere. context -- where it stands, for translators.
export function pgettext(context, text, args) {
  return said(`${context}\u0004${text}`, text, null, args);
}

// The form for `count`, which is also the argument {count}.
export function ngettext(one, many, count, args) {
  return said(one, count === 1 ? one : many, count, { count, ...args });
}

// The text itself: it is for the catalogue, and said later.
export function noop(text) {
  return text;
}

// What people wrote, among words of ours: nothing in it turns the rest around.
export function isolated(text) {
  if (text === "" || ISOLATED.test(text)) return text;
  return dir === "rtl" || RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}

function said(key, english, count, args = {}) {
  const found = Object.hasOwn(texts, key) ? texts[key] : null;
  return placed(found === null ? null : form(found, count), args) ?? placed(english, args) ?? english;
}

// A text that has plural forms is [which of `plurals`, each form]. A table of `plurals` has the form for each number up to 199,
// from where on all languages go by the last two digits.
function form(found, count) {
  if (typeof found === "string") return found;
  const [table, ...forms] = found;
  const number = Math.floor(Math.abs(count ?? 1));
  const index = Number(plurals[table][number < 200 ? number : 100 + (number % 100)]);
  return forms[Math.min(index, forms.length - 1)];
}

// null where the text has a place that there is nothing for.
function placed(text, args) {
  if (text === null) return null;
  let isWhole = true;
  const whole = text.replace(/\{(\w+)\}/g, (place, name) => {
    if (!Object.hasOwn(args, name)) isWhole = false;
    const value = args[name];
    return isolated(typeof value === "number" ? NUMBER.format(value) : String(value));
  });
  return isWhole ? whole : null;
}

function locale(tag) {
  try {
    return Intl.getCanonicalLocales(`${tag}-u-ca-gregory-nu-latn`)[0];
  } catch {
    return "en-u-ca-gregory-nu-latn";
  }
}
