// What the page shows below its verdict: the figures ("status"), somebody ("people") or a list ("lists").

import { mark } from "/static/dom.js";

export function openView(name) {
  mark(document.body, "data-view", name);
  for (const section of document.querySelectorAll("[data-of-view]")) section.hidden = section.dataset.ofView !== name;
}

export function closeView() {
  openView("status");
  history.replaceState(null, "", location.pathname);
}
