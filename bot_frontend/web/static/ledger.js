// The ledger's balance sheet, and whether what was sealed of it is as it was.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { exact } from "/static/money.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { ago, count, older } from "/static/words.js";

const NAMES = {
  users: noop("All users"),
  house: noop("House"),
  stars: noop("Telegram Stars"),
  opening: noop("Opening balances"),
  adjustments: noop("Adjustments by admins"),
  promo: noop("Promotions"),
  provider_fees: noop("Providers' fees"),
  payouts: noop("Paid out"),
  exchange: noop("For exchanges"),
};

export function showLedger({ books }, elapsed) {
  $("card-ledger").hidden = books.age_seconds === null;
  write($("ledger-age"), ago(older(books.age_seconds, elapsed)));
  write($("ledger-words"), words(books));
  mark($("ledger-words"), "data-state", books.broken_seals ? "down" : "ok");
  rows($("ledger"), books.sheet, {
    template: "event-row",
    key: ({ currency, account }) => `${currency} ${account}`,
    show: (element, { currency, account, balance, entries }) => {
      fill(element, {
        what: Object.hasOwn(NAMES, account) ? gettext(NAMES[account]) : account,
        at: exact(balance, currency),
        by: ngettext("{count} entry", "{count} entries", entries),
      });
    },
  });
  rows($("ledger-days"), books.days, {
    template: "event-row",
    key: ({ day, currency }) => `${day} ${currency}`,
    show: (element, { day, currency, debits, credits, entries }) => {
      fill(element, {
        what: day,
        at: `${exact(credits, currency, "+")} ${exact(debits, currency, "−")}`,
        by: ngettext("{count} entry", "{count} entries", entries),
      });
    },
  });
  const { broken_seals: broken } = books;
  return [{ card: "ledger", state: broken ? "down" : "ok", words: broken ? ngettext("{count} seal is broken", "{count} seals are broken", broken) : "" }];
}

function words({ seal, unsealed_entries: unsealed, broken_seals: broken }) {
  if (broken) return ngettext("{count} seal is broken: entries were changed after they were sealed.", "{count} seals are broken: entries were changed after they were sealed.", broken);
  if (seal === null) return gettext("Nothing is sealed yet.");
  const whole = gettext("Seal {number} is whole, and so is all before it.", { number: count(seal) });
  return `${whole} ${ngettext("{count} entry is not sealed yet.", "{count} entries are not sealed yet.", unsealed)}`;
}
