// Credits and debits above a limit, for owners: what waits is listed, and each is decided by a dialog of acts.js.

import { get, whyNotRead } from "/static/api.js";
import { $, fill, rows, write } from "/static/dom.js";
import { signed } from "/static/money.js";
import { gettext, ngettext } from "/static/texts.js";
import { at, shown } from "/static/words.js";

const SHOWN_MAX = 100;
const ALL_WAITING = `/approvals?waiting=true&limit=${SHOWN_MAX}`;

const now = () => Date.now() / 1000;
const moment = (text) => at(Date.parse(text) / 1000, now());

export class Approvals {
  constructor() {
    this.items = [];
    this.known = 0;
    this.turn = 0;
  }

  // What the cards say of it.
  show({ approvals: { waiting }, actions: { permitted } }) {
    const mayDecide = permitted.includes("approve");
    $("card-approvals").hidden = !mayDecide;
    if (mayDecide && waiting !== null && waiting !== this.known) {
      this.known = waiting;
      this.refresh();
    }
    if (!waiting || !mayDecide) return [{ card: "approvals", state: "ok", words: gettext("None waiting") }];
    return [{ card: "approvals", state: "degraded", words: ngettext("{count} waits for an owner", "{count} wait for an owner", waiting) }];
  }

  find(id) {
    return this.items.find((each) => each.id === id);
  }

  async refresh() {
    const turn = (this.turn += 1);
    try {
      const { items } = await get(ALL_WAITING);
      if (turn !== this.turn) return;
      this.items = items;
      this.#draw();
    } catch (error) {
      this.known = null; // asked again with the next figures
      write($("approvals-words"), whyNotRead(error));
    }
  }

  #draw() {
    write($("approvals-words"), this.items.length ? "" : gettext("Nothing waits for an approval."));
    rows($("approvals"), this.items, {
      template: "approval-row",
      key: (each) => each.id,
      show: (element, each) => {
        fill(element, {
          what: `${each.id}: ${each.amount > 0 ? gettext("credit") : gettext("debit")}`,
          whom: gettext("user {id}", { id: String(each.telegram_id) }),
          amount: signed(each.amount, each.currency),
          reason: shown(each.reason),
          asked: gettext("asked for by {actor} {time}, expires {until}", { actor: each.actor, time: moment(each.created_at), until: moment(each.expires_at) }),
        });
        element.fields.whom.href = `#user=${each.telegram_id}`;
        for (const button of element.querySelectorAll("[data-act]")) {
          button.dataset.approval = each.id;
          button.setAttribute("aria-label", gettext("{button}: {target}", { button: button.textContent, target: String(each.id) }));
        }
      },
    });
  }
}
