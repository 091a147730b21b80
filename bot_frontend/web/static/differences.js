// How the ledger differs from what Telegram or another provider lists, in words.

import { gettext, ngettext, noop, pgettext } from "/static/texts.js";

const DIFFERENCES = {
  theirs_alone: noop("A payment that the ledger lacks: {id}"),
  ours_alone: noop("A payment that {provider} lacks: {id}"),
  not_as_asked: noop("A payment that is not what its checkout asked for: {id}"),
  refused: noop("A payment that the ledger cannot hold: {id}"),
  amounts_differ: noop("Amounts of a payment differ: {id}"),
  payers_differ: noop("Payers of a payment differ: {id}"),
  contradicted: noop("Reports of a payment contradict each other: {id}"),
  refund_theirs_alone: noop("A refund that the ledger lacks: {id}"),
  refund_ours_alone: noop("A refund that {provider} lacks: {id}"),
  refund_amounts_differ: noop("Amounts of a refund differ: {id}"),
  balance_differs: noop("The balance at {provider} is not the sum of its transactions: {id}"),
};

export function difference(code, id, provider) {
  return code in DIFFERENCES ? gettext(DIFFERENCES[code], { id, provider }) : `${code}: ${id}`;
}

// What becomes of a difference.
export function standing(isAccepted, isBooked) {
  if (isAccepted) return pgettext("difference", "accepted");
  return isBooked ? pgettext("difference", "is being booked") : pgettext("difference", "open");
}

export function agreement(open) {
  return open ? ngettext("{count} difference is open.", "{count} differences are open.", open) : gettext("The ledger agrees.");
}
