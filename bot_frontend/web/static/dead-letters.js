// Jobs that could not be done, and wait for a person.

import { nameButton } from "/static/actions.js";
import { $, fill, rows, write } from "/static/dom.js";
import { gettext, ngettext } from "/static/texts.js";
import { ago, at, older } from "/static/words.js";

export function showDeadLetters(status, elapsed) {
  const { dead_letters: letters } = status;
  rows($("letters"), letters.items, {
    template: "letter-row",
    key: (letter) => letter.reference,
    show: (element, letter) => {
      fill(element, {
        reference: letter.reference, kind: letter.kind, at: at(letter.at, status.now), error: letter.error,
      });
      for (const button of element.querySelectorAll("[data-action]")) nameButton(button, letter.reference, letter.kind);
    },
  });
  $("letters").hidden = letters.items.length === 0;
  write($("letters-none"), none(letters));
  write($("letters-age"), ago(older(letters.age_seconds, elapsed)));
}

function none({ open, items }) {
  if (open === null) return gettext("Unknown until the database is first read.");
  if (!items.length) return open ? ngettext("{count} failed job", "{count} failed jobs", open) : gettext("No failed jobs.");
  if (open <= items.length) return "";
  return gettext("The oldest {shown} of {open}. To retry all of a kind, run: {command}", {
    shown: items.length, open, command: `ballast jobs retry --kind ${items[0].kind}`,
  });
}
