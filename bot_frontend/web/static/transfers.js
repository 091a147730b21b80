// What transfers are called: their kinds, and who stands on their two sides.

import { byName } from "/static/money.js";
import { gettext, noop } from "/static/texts.js";
import { plain, sentence } from "/static/words.js";

const KINDS = {
  transfer: noop("Transfer"),
  credit: noop("Credit"),
  debit: noop("Debit"),
  reversal: noop("Reversal"),
  promo: noop("Promotion"),
  star_payment: noop("Star payment"),
  star_refund: noop("Star refund"),
  provider_payment: noop("Provider payment"),
  provider_refund: noop("Provider refund"),
  provider_fee: noop("Provider fee"),
  payout: noop("Payout"),
  exchange_given: noop("Exchange given"),
  exchange_got: noop("Exchange got"),
  reclassification: noop("Reclassification"),
};

// An app's own kind is shown as the app calls it.
export function kindName(kind) {
  return Object.hasOwn(KINDS, kind) ? gettext(KINDS[kind]) : sentence(plain(kind));
}

// null: an account of the bot's own.
export function side(party) {
  return party ? byName(party) : gettext("the house");
}
