// Jobs that could not be done, and wait for a person.

import { nameButton } from "/static/actions.js";
import { $, fill, rows, write } from "/static/dom.js";
import { ago, at, count, counted, older } from "/static/words.js";

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
  if (open === null) return "Unknown until the database is first read.";
  if (!items.length) return open ? `${counted(open, "is", "are")} open.` : "No failed jobs.";
  if (open <= items.length) return "";
  return `The oldest ${count(items.length)} of ${count(open)}. All of a kind at once, in a shell: ballast jobs retry --kind ${items[0].kind}`;
}
