// Withdrawals that are open, and those that do not get on.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { grouped } from "/static/money.js";
import { ago, counted, duration, older } from "/static/words.js";

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
        what: `Withdrawal ${each.number} of ${grouped(each.amount)} ${each.currency}: ${trouble(each)}`,
        at: `for ${duration(older(each.for_seconds, elapsed))}`,
        by: `${each.adapter}, ${counted(each.attempts, "attempt", "attempts")}`,
      });
    },
  });
  $("payouts").hidden = stuck.length === 0;
  return [{ card: "payouts", state, words: stuck.length ? `${counted(stuck.length, "withdrawal is", "withdrawals are")} stuck` : "" }];
}

function words({ held, approved, paying }, isStopped) {
  const waiting = `${counted(held, "withdrawal waits", "withdrawals wait")} for approval, ${approved} to be paid, ${paying} being paid.`;
  return isStopped ? `Payouts are stopped. ${waiting}` : waiting;
}

function trouble({ state }) {
  return state === "approved" ? "approved, and no worker pays it" : "the provider does not say whether it is paid";
}
