// Telegram's book of Stars beside the ledger: what the last comparison found.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, count, counted, older } from "/static/words.js";

const NAMES = {
  theirs_alone: "a payment that the ledger lacks",
  refund_theirs_alone: "a refund that the ledger lacks",
  ours_alone: "a payment that Telegram lacks",
  refund_ours_alone: "a refund that Telegram lacks",
  amounts_differ: "amounts of a payment differ",
  refund_amounts_differ: "amounts of a refund differ",
  payers_differ: "payers differ",
  balance_differs: "Telegram's balance is not the sum of its transactions",
};

export function showStars({ stars }, elapsed) {
  const { compared_age_seconds: age, open, differences } = stars;
  $("card-stars").hidden = age === null && !stars.is_reading;
  write($("stars-age"), ago(older(age, elapsed)));
  write($("stars-words"), words(stars));
  mark($("stars-words"), "data-state", open ? "degraded" : "ok");
  rows($("stars"), differences, {
    template: "event-row",
    key: ({ difference, charge_id: id }) => `${difference} ${id}`,
    show: (element, each) => {
      mark(element, "data-state", each.accepted ? "ok" : "degraded");
      fill(element, {
        what: `${NAMES[each.difference]}: ${each.charge_id}`,
        at: `Telegram ${told(each.telegram_stars)}, ledger ${told(each.ledger_stars)}`,
        by: each.accepted ? "accepted" : each.is_booked_by_charge_id ? "is being booked" : "open",
      });
    },
  });
  $("stars").hidden = differences.length === 0;
  return [{ card: "stars", state: open ? "degraded" : "ok", words: open ? `${counted(open, "difference is", "differences are")} open` : "The ledger agrees" }];
}

function words({ transactions, balance, open, is_reading: isReading }) {
  if (transactions === null) return "Telegram's book is being read for the first time.";
  const found = open ? `${counted(open, "difference is", "differences are")} open` : "The ledger agrees";
  const now = isReading ? " Telegram's book is being read again." : "";
  return `${found}: ${counted(transactions, "transaction", "transactions")}, a balance of ${count(balance)} Stars.${now}`;
}

function told(stars) {
  return stars === null ? "none" : `${count(stars)} Stars`;
}
