// What became of what somebody did, for a few seconds at the edge of the page; it is read aloud, and needs no answer.

import { $ } from "/static/dom.js";

const SHOWN_MS = 8_000;
const SHOWN_MAX = 3;

// state -- one of the page's, for its colour.
export function toast(words, state = "ok") {
  const element = document.createElement("p");
  element.className = "toast";
  element.dataset.state = state;
  element.dataset.testid = "toast";
  element.textContent = words;
  const list = $("toasts");
  list.append(element);
  while (list.children.length > SHOWN_MAX) list.firstElementChild.remove();
  element.addEventListener("click", () => element.remove());
  setTimeout(function leave() {
    // Whoever reads it longer keeps it.
    if (element.matches(":hover")) setTimeout(leave, 1000);
    else element.remove();
  }, SHOWN_MS);
}
