// All users, or all transfers, by filters, a page at a time; and the same as CSV of any size. The filters are in the address:
// #users?status=blocked.

import { get, whyNotRead } from "/static/api.js";
import { $, fill, mark, rows, stamp, write } from "/static/dom.js";
import { amount, balance, byName, minorUnits } from "/static/money.js";
import { frozen } from "/static/people.js";
import { gettext, noop } from "/static/texts.js";
import { kindName, side } from "/static/transfers.js";
import { closeView, openView } from "/static/view.js";
import { at } from "/static/words.js";

const PAGE = 50;
// A page may be empty where a filter fits little, and not be the last one.
const PAGES_AT_ONCE = 5;

const STATUSES = { active: noop("Active"), blocked: noop("Has blocked the bot"), deactivated: noop("Has left Telegram") };

const LISTS = {
  users: {
    title: noop("Users"),
    fields: [
      { name: "status", label: noop("Status"), options: STATUSES },
      { name: "frozen", label: noop("Account"), options: { true: noop("Frozen"), false: noop("Not frozen") } },
      { name: "language", label: noop("Language"), placeholder: "de" },
      { name: "balance_min", label: noop("Balance from"), as: "amount" },
      { name: "balance_max", label: noop("Balance to"), as: "amount" },
      { name: "joined_since", label: noop("Joined since"), as: "day" },
      { name: "seen_since", label: noop("Seen since"), as: "day" },
      { name: "seen_until", label: noop("Last seen before"), as: "day" },
    ],
    template: "found-row",
    key: (user) => user.telegram_id,
    show(element, user) {
      fill(element, { name: byName(user), balance: balance(user.balance), mark: frozen(user) });
      element.fields.name.href = `#user=${user.telegram_id}`;
    },
  },
  transfers: {
    title: noop("Transfers"),
    fields: [
      { name: "kind", label: noop("Kind"), placeholder: "credit" },
      { name: "status", label: noop("Result"), options: { applied: noop("Applied"), rejected: noop("Rejected") } },
      { name: "amount_min", label: noop("Amount from"), as: "amount" },
      { name: "amount_max", label: noop("Amount to"), as: "amount" },
      { name: "since", label: noop("Since"), as: "day" },
      { name: "until", label: noop("Before"), as: "day" },
    ],
    template: "transfer-row",
    key: (transfer) => transfer.id,
    show(element, transfer) {
      const { sender, recipient, reason, reverses } = transfer;
      const marks = [
        reason ? gettext("rejected: {why}", { why: transfer.why }) : "",
        reverses === null ? "" : gettext("reverses {number}", { number: `#${reverses}` }),
      ].filter(Boolean);
      fill(element, {
        what: gettext("{kind} from {sender} to {recipient}", { kind: kindName(transfer.kind), sender: side(sender), recipient: side(recipient) }),
        amount: amount(transfer.amount, transfer.currency),
        memo: transfer.memo,
        number: [`#${transfer.id}`, at(Date.parse(transfer.created_at) / 1000, Date.now() / 1000), ...marks].join(" · "),
      });
      const whose = recipient ?? sender;
      mark(element.fields.what, "href", whose ? `#user=${whose.telegram_id}` : `#transfers`);
    },
  },
};

const UNREADABLE = {
  amount: noop("{field}: expected an amount such as 5.50."),
  day: noop("{field}: expected a date."),
};

// As the API wants it, or null for what cannot be.
const ASKED = {
  amount: (text) => (/^0+$/.test(text) ? 0 : minorUnits(text)),
  day: (text) => (Number.isNaN(Date.parse(`${text}T00:00`)) ? null : new Date(`${text}T00:00`).toISOString()),
};

export class Lists {
  constructor() {
    this.asked = 0;
    $("lists-close").addEventListener("click", () => closeView());
    document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && !$("lists").hidden) closeView(); });
    $("lists-more").addEventListener("click", () => this.#more());
    $("lists-filters").addEventListener("submit", (event) => {
      event.preventDefault();
      const given = [...new FormData($("lists-filters"))].filter(([, value]) => value.trim());
      const address = `#${this.name}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
      if (address === location.hash) this.#byAddress();
      else location.hash = address;
    });
    addEventListener("hashchange", () => this.#byAddress());
    this.#byAddress();
  }

  #byAddress() {
    const [, name, query] = location.hash.match(/^#(users|transfers)(?:\?(.*))?$/) ?? [];
    if (name) this.#open(name, new URLSearchParams(query ?? ""));
  }

  #open(name, given) {
    const isNew = this.name !== name || $("lists").hidden;
    this.name = name;
    this.list = LISTS[name];
    openView("lists");
    write($("lists-heading"), gettext(this.list.title));
    $("lists-fields").replaceChildren(...this.list.fields.map((field) => filter(field, given.get(field.name) ?? "")));
    $("lists-rows").replaceChildren();
    if (isNew) $("lists-heading").focus();
    this.items = [];
    const query = new URLSearchParams();
    for (const { name: field, label, as } of this.list.fields) {
      const text = given.get(field)?.trim();
      if (!text) continue;
      const value = as ? ASKED[as](text) : text;
      if (value === null) {
        write($("lists-words"), gettext(UNREADABLE[as], { field: gettext(label) }));
        return;
      }
      query.set(field, value);
    }
    this.query = query;
    this.cursor = null;
    mark($("lists-csv"), "href", `/api/v1/${name}.csv?${query}`);
    this.#more();
  }

  async #more() {
    const turn = (this.asked += 1);
    write($("lists-words"), gettext("Loading…"));
    try {
      for (let pages = 0, isEmpty = true; isEmpty && pages < PAGES_AT_ONCE; pages += 1) {
        const query = new URLSearchParams({ ...Object.fromEntries(this.query), limit: PAGE, ...(this.cursor === null ? {} : { cursor: this.cursor }) });
        const page = await get(`/${this.name}?${query}`);
        if (turn !== this.asked) return;
        this.items = [...this.items, ...page.items];
        this.cursor = page.next_cursor;
        isEmpty = page.items.length === 0 && this.cursor !== null;
      }
      rows($("lists-rows"), this.items, this.list);
      write($("lists-words"), this.items.length ? "" : this.cursor === null ? gettext("None.") : gettext("None so far. More looks further back."));
    } catch (error) {
      if (turn !== this.asked) return;
      write($("lists-words"), whyNotRead(error));
    }
    $("lists-more").hidden = this.cursor === null;
  }
}

function filter({ name, label, options, as, placeholder = "" }, value) {
  const element = stamp(options ? "choice-field" : "text-field");
  write(element.fields.label, gettext(label));
  const input = element.fields.input;
  input.name = name;
  if (options) input.append(new Option(gettext("Any"), ""), ...Object.entries(options).map(([key, words]) => new Option(gettext(words), key)));
  else Object.assign(input, { type: as === "day" ? "date" : "text", inputMode: as === "amount" ? "decimal" : "text", placeholder });
  input.value = value;
  return element;
}
