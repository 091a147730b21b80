// Telegram's book of Stars beside the ledger: what the last comparison found.

import { agreement, difference, standing } from "/static/differences.js";
import { $, fill, mark, rows, write } from "/static/dom.js";
import { gettext, ngettext, pgettext } from "/static/texts.js";
import { ago, older } from "/static/words.js";

export function showStars({ stars }, elapsed) {
  const { compared_age_seconds: age, open, differences } = stars;
  const state = open ? "degraded" : "ok";
  $("card-stars").hidden = age === null && !stars.is_reading;
  write($("stars-age"), ago(older(age, elapsed)));
  write($("stars-words"), words(stars));
  mark($("stars-words"), "data-state", state);
  rows($("stars"), differences, {
    template: "event-row",
    key: (each) => `${each.difference} ${each.charge_id}`,
    show: (element, each) => {
      mark(element, "data-state", each.accepted ? "ok" : "degraded");
      fill(element, {
        what: difference(each.difference, each.charge_id, "Telegram"),
        at: gettext("{provider} {theirs}, ledger {ours}", {
          provider: "Telegram", theirs: told(each.telegram_stars), ours: told(each.ledger_stars),
        }),
        by: standing(each.accepted, each.is_booked_by_charge_id),
      });
    },
  });
  $("stars").hidden = differences.length === 0;
  return [{ card: "stars", state, words: agreement(open) }];
}

function words({ transactions, balance, open, is_reading: isReading }) {
  if (transactions === null) return gettext("Telegram's book is being read for the first time.");
  return [
    agreement(open),
    ngettext("{count} transaction in Telegram's book.", "{count} transactions in Telegram's book.", transactions),
    ngettext("Telegram's balance is {count} Star.", "Telegram's balance is {count} Stars.", balance),
    isReading ? gettext("Telegram's book is being read again.") : "",
  ].filter(Boolean).join(" ");
}

function told(stars) {
  return stars === null ? pgettext("no amount", "none") : ngettext("{count} Star", "{count} Stars", stars);
}
