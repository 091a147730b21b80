// The cards below the tiles. Those in trouble stand first and are open; the healthy ones are folded to a line. They move and fold
// by themselves only while nobody touches the page and none of them has been scrolled away.

import { $, mark, write } from "/static/dom.js";

const SEVERITY = { down: 0, away: 1, degraded: 2 };
const HEALTHY = 3;
const IDLE_MS = 3_000;
const INPUTS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];

export class Cards {
  constructor(grid) {
    this.grid = grid;
    this.cards = [...grid.children];
    this.states = new Map();
    this.chosen = new Map();
    this.arranged = null;
    this.touchedAt = -Infinity;
    for (const name of INPUTS) addEventListener(name, () => { this.touchedAt = performance.now(); }, { passive: true, capture: true });
    for (const card of this.cards) {
      card.querySelector("summary").addEventListener("click", () => this.chosen.set(card.id, !card.open));
    }
    addEventListener("hashchange", () => this.#byAddress());
    // A second press of the same link changes no address.
    document.addEventListener("click", (event) => {
      const link = event.target.closest('a[href^="#card-"]');
      if (link && link.hash === location.hash) this.#byAddress();
    });
  }

  // said -- of each card {card, state, words}; of several that are for one card, the worst state counts and the words are joined.
  show(said) {
    const all = new Map();
    for (const { card, state, words } of said) {
      const before = all.get(card);
      all.set(card, {
        state: before && severity(before.state) <= severity(state) ? before.state : state,
        words: [before?.words, words].filter(Boolean).join(" · "),
      });
    }
    for (const card of this.cards) {
      const { state, words } = all.get(card.id.slice("card-".length)) ?? { state: "ok", words: "" };
      if (this.states.has(card.id) && isTrouble(state) !== isTrouble(this.states.get(card.id))) this.chosen.delete(card.id);
      this.states.set(card.id, state);
      mark(card, "data-state", state);
      write(card.querySelector(".card-words"), words);
    }
    const order = [...this.cards].sort((one, other) => severity(this.states.get(one.id)) - severity(this.states.get(other.id)));
    const wanted = order.map((card) => `${card.id}${this.#isOpen(card) ? "+" : ""}`).join();
    if (wanted === this.arranged || !(this.arranged === null || this.#isIdle())) return;
    const isFirst = this.arranged === null;
    this.arranged = wanted;
    performance.mark("rearranged");
    for (const card of this.cards) card.open = this.#isOpen(card);
    order.forEach((card, place) => { if (this.grid.children[place] !== card) this.grid.insertBefore(card, this.grid.children[place]); });
    if (isFirst) this.#byAddress();
  }

  #isOpen(card) {
    return this.chosen.get(card.id) ?? isTrouble(this.states.get(card.id));
  }

  #isIdle() {
    const { activeElement } = document;
    return performance.now() - this.touchedAt > IDLE_MS
      && this.grid.getBoundingClientRect().top >= 0
      && !this.grid.contains(activeElement)
      && !document.querySelector("dialog[open]");
  }

  #byAddress() {
    // #job=… is looked up in the card of jobs (lookup.js).
    const card = location.hash.startsWith("#job=") ? $("card-jobs") : location.hash.startsWith("#card-") ? $(location.hash.slice(1)) : null;
    if (!this.cards.includes(card)) return;
    this.chosen.set(card.id, true);
    card.open = true;
    card.scrollIntoView({ block: "start" });
    card.querySelector("summary").focus({ preventScroll: true });
  }
}

function severity(state) {
  return SEVERITY[state] ?? HEALTHY;
}

function isTrouble(state) {
  return state in SEVERITY;
}
