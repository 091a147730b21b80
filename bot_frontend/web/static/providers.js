// What other providers list of payments, beside the ledger: what the last comparison found.

import { $, fill, mark, rows, write } from "/static/dom.js";
import { ago, count, counted, older } from "/static/words.js";

const NAMES = {
  theirs_alone: "a payment that the ledger lacks",
  not_as_asked: "a payment that is not what its checkout asked for",
  ours_alone: "a payment that the provider lacks",
  amounts_differ: "amounts of a payment differ",
  payers_differ: "payers differ",
  refund_theirs_alone: "a refund that the ledger lacks",
  refund_ours_alone: "a refund that the provider lacks",
  contradicted: "reports that contradict each other",
  refused: "a payment that the ledger cannot hold",
};

export function showProviders({ providers }, elapsed) {
  $("card-providers").hidden = providers.length === 0;
  if (providers.length === 0) return [];
  const open = providers.reduce((sum, each) => sum + each.open, 0);
  const ages = providers.map((each) => each.compared_age_seconds).filter((age) => age !== null);
  const state = open ? "degraded" : "ok";
  write($("providers-age"), ages.length ? ago(older(Math.max(...ages), elapsed)) : "");
  write($("providers-words"), providers.map(words).join(" "));
  mark($("providers-words"), "data-state", state);
  const found = providers.flatMap(({ provider, differences }) => differences.map((each) => ({ provider, ...each })));
  rows($("providers"), found, {
    template: "event-row",
    key: (each) => `${each.provider} ${each.difference} ${each.payment_id}`,
    show: (element, each) => {
      mark(element, "data-state", each.accepted ? "ok" : "degraded");
      fill(element, {
        what: `${NAMES[each.difference]}: ${each.payment_id}`,
        at: `${each.provider} ${told(each.provider_minor_units, each)}, ledger ${told(each.ledger_minor_units, each)}`,
        by: each.accepted ? "accepted" : each.is_booked ? "is being booked" : "open",
      });
    },
  });
  $("providers").hidden = found.length === 0;
  const summary = open ? `${counted(open, "difference is", "differences are")} open` : "The ledger agrees";
  return [{ card: "providers", state, words: summary }];
}

function words({ provider, payments, open, compared_age_seconds: age }) {
  const found = open ? `${counted(open, "difference is", "differences are")} open` : "the ledger agrees";
  return age === null ? `${provider}: not compared yet, ${found}.` : `${provider}: ${counted(payments, "payment", "payments")}, ${found}.`;
}

// In the smallest units of the provider's currency.
function told(units, { currency }) {
  return units === null ? "none" : `${count(units)} ${currency}`;
}
