// What other providers list of payments, beside the ledger: what the last comparison found.

import { agreement, difference, standing } from "/static/differences.js";
import { $, fill, mark, rows, write } from "/static/dom.js";
import { gettext, ngettext, pgettext } from "/static/texts.js";
import { ago, older } from "/static/words.js";

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
    show: (element, { provider, currency, ...each }) => {
      mark(element, "data-state", each.accepted ? "ok" : "degraded");
      fill(element, {
        what: difference(each.difference, each.payment_id, provider),
        at: gettext("{provider} {theirs}, ledger {ours}", {
          provider, theirs: told(each.provider_minor_units, currency), ours: told(each.ledger_minor_units, currency),
        }),
        by: standing(each.accepted, each.is_booked),
      });
    },
  });
  $("providers").hidden = found.length === 0;
  return [{ card: "providers", state, words: agreement(open) }];
}

function words({ provider, payments, open, compared_age_seconds: age }) {
  const compared = age === null
    ? gettext("{provider}: not compared yet.", { provider })
    : ngettext("{provider}: {count} payment.", "{provider}: {count} payments.", payments, { provider });
  return `${compared} ${agreement(open)}`;
}

// In the smallest units of the provider's currency.
function told(units, currency) {
  return units === null ? pgettext("no amount", "none") : gettext("{amount} {currency}", { amount: units, currency });
}
