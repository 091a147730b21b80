// Somebody's card: found by the search in the head or by the address (#user=123), with what happened on their account, and what
// an operator does about it. It speaks to /api/v1, as programs do.

import { get, whyNotRead } from "/static/api.js";
import { $, fill, rows, write } from "/static/dom.js";
import { amount, balance, byName, signed } from "/static/money.js";
import { gettext, ngettext, noop, pgettext } from "/static/texts.js";
import { kindName, side } from "/static/transfers.js";
import { closeView, openView } from "/static/view.js";
import { at, inOne, listed, plain } from "/static/words.js";

const MOVEMENTS = 20;
const FOUND_MAX = 20;

function moment(text) {
  return text === null ? gettext("never") : at(Date.parse(text) / 1000, Date.now() / 1000);
}

const REACHED = { active: "", blocked: noop("has blocked the bot"), deactivated: noop("has left Telegram") };

const FAILED = {
  job: noop("Job {number}"),
  transfer: noop("Transfer {number}"),
  adjustment: noop("Adjustment {number}"),
  ledger: noop("Ledger {number}"),
};

const RECEIVED = {
  pending: noop("Broadcast {number}: pending"),
  leased: noop("Broadcast {number}: being sent"),
  sent: noop("Broadcast {number}: sent"),
  blocked: noop("Broadcast {number}: blocked"),
  failed: noop("Broadcast {number}: failed"),
  unknown: noop("Broadcast {number}: unknown"),
};

const RENEWALS = {
  on: noop("It is renewed"),
  cancelled: noop("It is not renewed"),
  failed: noop("The renewal could not be paid"),
};

const ASKED_OF_TELEGRAM = {
  cancelled: noop("Telegram is being asked: renewal cancelled"),
  allowed: noop("Telegram is being asked: renewal allowed"),
};

export function frozen(user) {
  return user.sending_frozen ? gettext("Frozen") : "";
}

// Of the account first, then whether the bot's messages reach its owner.
function standing(user) {
  const refuses = user.receiving_frozen ? gettext("Frozen: neither sends nor receives money") : gettext("Frozen: receives money, sends none");
  return inOne([user.sending_frozen ? refuses : gettext("Active"), REACHED[user.status] && gettext(REACHED[user.status])]);
}

function renewal(subscription) {
  if (subscription.wanted !== null) return gettext(ASKED_OF_TELEGRAM[subscription.wanted]);
  const words = subscription.cancelled_by_bot ? gettext("It is not renewed: cancelled by this bot") : gettext(RENEWALS[subscription.renewal]);
  const { refusal: why } = subscription;
  return why === null ? words : gettext("{renewal}. Telegram refused the last change: {why}", { renewal: words, why });
}

function plainRows(id, items, none, fields) {
  const keyed = items.map((item, place) => ({ place, ...fields(item) }));
  rows($(id), keyed, { template: "plain-row", key: (row) => row.place, show: (element, { place: _, ...row }) => fill(element, row) });
  write($(`${id}-none`), items.length ? "" : none);
}

export class People {
  constructor() {
    this.user = null;
    this.asked = 0;
    $("people-search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#find($("people-query").value.trim());
    });
    $("people-close").addEventListener("click", () => this.#close());
    $("movements-more").addEventListener("click", () => this.#more());
    window.addEventListener("hashchange", () => this.#byAddress());
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape" && !$("people").hidden && !document.querySelector("dialog[open]")) this.#close();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, textarea, select, dialog");
      if (event.key === "/" && !typing) {
        event.preventDefault();
        $("people-query").focus();
      }
    });
    this.#byAddress();
  }

  // What is shown is read again, after an act.
  async refresh() {
    if (this.user) await this.#show(this.user.telegram_id);
  }

  #byAddress() {
    const found = location.hash.match(/^#user=([1-9]\d{0,15})$/);
    if (found && ($("people").hidden || this.user?.telegram_id !== Number(found[1]))) this.#show(Number(found[1]));
  }

  async #find(query) {
    if (!query) return;
    await this.#asking(gettext("Searching…"), async () => {
      const { items } = await get(`/users?limit=${FOUND_MAX}&q=${encodeURIComponent(query)}`);
      if (items.length === 1) return () => this.#show(items[0].telegram_id);
      return () => this.#list(items, query);
    });
  }

  #list(items, query) {
    this.user = null;
    $("person").hidden = true;
    write($("people-heading"), items.length ? ngettext("{count} person", "{count} people", items.length) : gettext("Nobody"));
    const few = items.length < FOUND_MAX ? "" : gettext("There may be more. Write more of the name, or a username or ID.");
    const none = gettext("Nobody is found by “{query}”. Try a part of the name, an ID, a transfer's number or a key.", { query });
    write($("people-words"), items.length ? few : none);
    rows($("people-found"), items, {
      template: "found-row",
      key: (user) => user.telegram_id,
      show: (element, user) => {
        fill(element, { name: byName(user), balance: balance(user.balance), mark: frozen(user) });
        element.fields.name.href = `#user=${user.telegram_id}`;
      },
    });
    $("people-heading").focus();
  }

  async #show(telegramId) {
    await this.#asking(gettext("Loading…"), async () => {
      const [user, page, ...lists] = await Promise.all([
        get(`/users/${telegramId}`),
        get(`/users/${telegramId}/movements?limit=${MOVEMENTS}`),
        get(`/users/${telegramId}/failures`),
        get(`/users/${telegramId}/waiting`),
        get(`/users/${telegramId}/broadcasts`),
        get(`/users/${telegramId}/subscriptions`),
      ]);
      return () => {
        const isNew = this.user?.telegram_id !== telegramId;
        this.user = user;
        this.movements = page.items;
        this.cursor = page.next_cursor;
        this.#draw(...lists.map((list) => list.items));
        if (isNew) $("people-heading").focus();
      };
    });
  }

  #draw(failures, waiting, received, subscriptions) {
    const { user } = this;
    history.replaceState(null, "", `#user=${user.telegram_id}`);
    write($("people-heading"), user.first_name || gettext("(no name)"));
    write($("people-words"), "");
    rows($("people-found"), [], { template: "found-row", key: String, show() {} });
    write($("person-handle"), user.username ? `@${user.username}` : gettext("no username"));
    write($("person-id"), String(user.telegram_id));
    write($("person-balance"), balance(user.balance));
    write($("person-available"), user.available === user.balance ? "" : gettext("available {amount}", { amount: balance(user.available) }));
    write($("person-others"), listed(user.other_balances.filter((each) => each.balance).map((each) => balance(each.balance, each.currency))));
    write($("person-status"), standing(user));
    write($("person-language"), user.language ?? user.language_code ?? gettext("unknown"));
    write($("person-first"), moment(user.first_seen_at));
    write($("person-last"), moment(user.last_seen_at));
    $("person").dataset.state = user.sending_frozen ? "away" : "ok";
    for (const button of document.querySelectorAll("#person-acts [data-act]")) {
      const isFreeze = button.dataset.act === "freeze";
      if (isFreeze || button.dataset.act === "unfreeze") button.hidden = user.sending_frozen === isFreeze;
    }
    $("person-csv").href = `/api/v1/users/${user.telegram_id}/movements.csv`;
    this.#drawMovements();
    rows($("failures"), failures, {
      template: "failure-row",
      key: (failure) => `${failure.what} ${failure.number}`,
      show: (element, failure) => fill(element, {
        what: gettext(FAILED[failure.what], { number: failure.number }),
        at: moment(failure.failed_at),
        why: failure.why,
        amount: failure.amount === null ? "" : amount(failure.amount, failure.currency),
      }),
    });
    write($("failures-none"), failures.length ? "" : gettext("Nothing failed."));
    plainRows("waiting", waiting, gettext("Nothing waits."), ({ what, number, kind, amount: minor, currency, counterparty }) => ({
      what: what === "job" ? gettext("Job {number}", { number }) : gettext("Their confirmation of {amount}", { amount: amount(minor, currency) }),
      at: "",
      words: what === "job" ? kind : pgettext("history", "to {name}", { name: byName(counterparty) }),
    }));
    plainRows("received", received, gettext("None."), ({ broadcast_id: id, status, text, updated_at: updated }) => ({
      what: Object.hasOwn(RECEIVED, status) ? gettext(RECEIVED[status], { number: String(id) }) : `${id}: ${plain(status)}`,
      at: moment(updated),
      words: text ?? gettext("a copied message"),
    }));
    this.#drawSubscriptions(subscriptions);
    $("person").hidden = false;
  }

  #drawSubscriptions(subscriptions) {
    this.subscriptions = subscriptions;
    rows($("subscriptions"), subscriptions, {
      template: "subscription-row",
      key: (each) => each.number,
      show: (element, each) => {
        fill(element, {
          what: [each.plan, ngettext("{count} Star", "{count} Stars", each.stars), `#${each.number}`].join(" · "),
          until: each.is_paid ? gettext("paid until {time}", { time: moment(each.expires_at) }) : gettext("ended {time}", { time: moment(each.expires_at) }),
          renewal: renewal(each),
        });
        const isOpen = each.is_paid && each.wanted === null;
        for (const button of element.querySelectorAll("[data-act]")) {
          button.dataset.subscription = each.number;
          const cancels = button.dataset.act === "cancel_renewal";
          button.hidden = !isOpen || (cancels ? each.renewal !== "on" : !each.cancelled_by_bot);
        }
      },
    });
    write($("subscriptions-none"), subscriptions.length ? "" : gettext("None."));
  }

  #drawMovements() {
    rows($("movements"), this.movements, {
      template: "movement-row",
      key: (movement) => movement.version,
      show: (element, movement) => {
        const named = { kind: kindName(movement.kind), whom: side(movement.counterparty) };
        const marks = [];
        if (movement.reverses !== null) marks.push(gettext("reverses {number}", { number: `#${movement.reverses}` }));
        if (movement.reversed_amount) marks.push(gettext("{amount} reversed", { amount: amount(movement.reversed_amount) }));
        fill(element, {
          what: movement.amount > 0 ? gettext("{kind} from {whom}", named) : gettext("{kind} to {whom}", named),
          amount: signed(movement.amount),
          memo: movement.memo,
          number: [`#${movement.transfer_id}`, moment(movement.created_at), ...marks].join(" · "),
        });
        const button = element.querySelector("[data-act]");
        button.dataset.transfer = movement.transfer_id;
        button.setAttribute("aria-label", gettext("Reverse transfer {number}", { number: String(movement.transfer_id) }));
        const isFinal = ["reversal", "star_payment", "star_refund"].includes(movement.kind);
        button.hidden = isFinal || movement.reversed_amount >= Math.abs(movement.amount);
      },
    });
    write($("movements-none"), this.movements.length ? "" : gettext("Nothing has moved yet."));
    $("movements-more").hidden = this.cursor === null;
  }

  async #more() {
    const user = this.user;
    await this.#asking(gettext("Loading…"), async () => {
      const page = await get(`/users/${user.telegram_id}/movements?limit=${MOVEMENTS}&cursor=${encodeURIComponent(this.cursor)}`);
      return () => {
        this.movements = [...this.movements, ...page.items];
        this.cursor = page.next_cursor;
        write($("people-words"), "");
        this.#drawMovements();
      };
    });
  }

  // Of two searches the later one is shown, whichever is answered first.
  async #asking(words, ask) {
    const turn = (this.asked += 1);
    openView("people");
    write($("people-words"), words);
    try {
      const draw = await ask();
      if (turn === this.asked) await draw();
    } catch (error) {
      if (turn !== this.asked) return;
      write($("people-words"), whyNotRead(error));
    }
  }

  #close() {
    this.asked += 1;
    this.user = null;
    $("person").hidden = true;
    closeView();
    $("people-query").focus();
  }
}
