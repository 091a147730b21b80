// Withdrawals that are open, and those that do not get on.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { exact } from "/static/money.js";
import { gettext, ngettext } from "/static/texts.js";
import { ago, duration, older } from "/static/words.js";

export function showPayouts({ payouts }, elapsed) {
  const { age_seconds: age, is_stopped: isStopped, open, stuck } = payouts;
  $("card-payouts").hidden = age === null;
  if (age === null) return [];
  const state = stuck.length ? "degraded" : "ok";
  write($("payouts-age"), ago(older(age, elapsed)));
  write($("payouts-words"), words(open, isStopped));
  mark($("payouts-words"), "data-state", state);
  rows($("payouts"), stuck, {
    template: "event-row",
    key: ({ number }) => String(number),
    show: (element, each) => {
      mark(element, "data-state", "degraded");
      fill(element, {
        what: trouble(each),
        at: gettext("for {duration}", { duration: duration(older(each.for_seconds, elapsed)) }),
        by: ngettext("{adapter}, {count} attempt", "{adapter}, {count} attempts", each.attempts, { adapter: each.adapter }),
      });
    },
  });
  $("payouts").hidden = stuck.length === 0;
  return [{ card: "payouts", state, words: stuck.length ? ngettext("{count} withdrawal is stuck", "{count} withdrawals are stuck", stuck.length) : "" }];
}

function words({ held, approved, paying }, isStopped) {
  return [
    isStopped ? gettext("Payouts are stopped.") : "",
    ngettext("{count} withdrawal waits for approval.", "{count} withdrawals wait for approval.", held),
    ngettext("{count} is approved and not paid yet.", "{count} are approved and not paid yet.", approved),
    ngettext("{count} is being paid.", "{count} are being paid.", paying),
  ].filter(Boolean).join(" ");
}

function trouble({ number, amount, currency, state }) {
  const args = { number: String(number), amount: exact(amount, currency) };
  return state === "approved"
    ? gettext("Withdrawal {number} of {amount}: approved, and no worker pays it", args)
    : gettext("Withdrawal {number} of {amount}: the provider does not say whether it is paid", args);
}
