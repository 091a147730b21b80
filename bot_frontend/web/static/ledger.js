// The ledger's balance sheet, and whether what was sealed of it is as it was.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { grouped } from "/static/money.js";
import { ago, count, counted, older } from "/static/words.js";

const NAMES = {
  users: "All users",
  house: "House",
  stars: "Telegram Stars",
  opening: "Opening balances",
  adjustments: "Adjustments by admins",
  promo: "Promotions",
  provider_fees: "Providers' fees",
  payouts: "Paid out",
  exchange: "For exchanges",
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
        what: NAMES[account] ?? account,
        at: `${grouped(balance)} ${currency}`,
        by: counted(entries, "entry", "entries"),
      });
    },
  });
  rows($("ledger-days"), books.days, {
    template: "event-row",
    key: ({ day, currency }) => `${day} ${currency}`,
    show: (element, { day, currency, debits, credits, entries }) => {
      fill(element, {
        what: day,
        at: `+${grouped(credits)} −${grouped(debits)} ${currency}`,
        by: counted(entries, "entry", "entries"),
      });
    },
  });
  const { broken_seals: broken } = books;
  return [{ card: "ledger", state: broken ? "down" : "ok", words: broken ? `${counted(broken, "seal is", "seals are")} broken` : "" }];
}

function words({ seal, unsealed_entries: unsealed, broken_seals: broken }) {
  if (broken) return `${counted(broken, "seal is", "seals are")} broken: entries were changed after they were sealed.`;
  if (seal === null) return "Nothing is sealed yet.";
  return `Seal ${count(seal)} is whole, and so is all before it. ${counted(unsealed, "entry is", "entries are")} not sealed yet.`;
}
