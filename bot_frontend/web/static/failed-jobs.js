// Jobs that failed: by cause, and one by one; what is shown, or all that matches, is retried or discarded. The filters are in the
// address: /failed-jobs?kind=balances.adjust&error=timeout.

import { get, signedIn, whyNotRead } from "/static/api.js";
import { Question } from "/static/ask.js";
import { $, fill, mark, rows, write } from "/static/dom.js";
import { Resolving } from "/static/resolving.js";
import { gettext, ngettext } from "/static/texts.js";
import { WaitingJobs } from "/static/waiting-jobs.js";
import { at, count } from "/static/words.js";

const PAGE = 50;
// A page may be empty where a filter fits little, and not be the last one.
const PAGES_AT_ONCE = 5;
const TIMES = ["since", "until"];

const seconds = (time) => Date.parse(time) / 1000;
const now = () => Date.now() / 1000;

// As the API wants them; the address has times as the fields do, of this browser's zone.
function filters() {
  const given = [...new URLSearchParams(location.search)].filter(([name, value]) => value.trim() && $("filters").elements[name]);
  return Object.fromEntries(given.map(([name, value]) => [name, TIMES.includes(name) ? new Date(value).toISOString() : value.trim()]));
}

class FailedJobs {
  constructor() {
    this.items = [];
    this.selected = new Set();
    this.total = 0;
    this.turn = 0;
    this.resolving = new Resolving(new Question($("confirm")), () => this.load());
    for (const [name, value] of new URLSearchParams(location.search)) {
      const field = $("filters").elements[name];
      if (field) field.value = value;
    }
    $("filters").addEventListener("submit", (event) => {
      event.preventDefault();
      const given = [...new FormData($("filters"))].filter(([, value]) => value.trim());
      location.search = new URLSearchParams(given);
    });
    $("more").addEventListener("click", () => this.#more());
    $("select-all").addEventListener("change", ({ target }) => {
      this.selected = new Set(target.checked ? this.items.map((job) => job.reference) : []);
      this.#draw();
    });
    $("jobs").addEventListener("change", ({ target }) => {
      if (target.checked) this.selected.add(target.value);
      else this.selected.delete(target.value);
      this.#draw();
    });
    $("jobs").addEventListener("toggle", ({ target }) => { if (target.open) this.#details(target.closest("li")); }, true);
    $("bulk").addEventListener("click", ({ target }) => {
      const { verb } = target.dataset;
      if (!verb) return;
      if (this.selected.size) this.resolving.ask(target, verb, { references: [...this.selected] }, this.selected.size);
      else this.resolving.ask(target, verb, { matching: this.#matching() }, this.total);
    });
    $("causes").addEventListener("click", ({ target }) => {
      const cause = this.causes?.find((each) => key(each) === target.closest("li")?.dataset.key);
      if (!cause || !target.dataset.verb) return;
      this.resolving.ask(target, target.dataset.verb, { matching: { ...this.#matching(), kind: cause.kind, cause: cause.cause } }, cause.count);
    });
  }

  async load() {
    const turn = (this.turn += 1);
    write($("freshness"), gettext("Loading…"));
    try {
      this.filters = filters();
      const [causes, actions] = await Promise.all([get(`/jobs/causes?${new URLSearchParams(this.filters)}`), signedIn()]);
      if (turn !== this.turn) return;
      const mayAct = actions.allowed && actions.permitted.includes("resolve_jobs");
      mark(document.body, "data-may-act", mayAct ? "yes" : "no");
      write($("why-not"), actions.allowed ? (mayAct ? "" : gettext("Your role may see failed jobs, but not retry or discard them.")) : actions.why_not ?? "");
      this.causes = causes.items;
      this.total = causes.total;
      this.isAll = causes.is_all;
      this.items = [];
      this.selected.clear();
      this.cursor = null;
      await this.#more();
      write($("freshness"), this.isAll
        ? ngettext("{count} failed job", "{count} failed jobs", this.total)
        : ngettext("{count} failed job among the newest {most}", "{count} failed jobs among the newest {most}", this.total, { most: 5_000 }));
    } catch (error) {
      if (turn === this.turn) write($("freshness"), whyNotRead(error));
    }
    mark(document.body, "data-ready", "yes");
  }

  #matching() {
    const { telegram_id: id, ...others } = this.filters;
    return id === undefined ? others : { ...others, telegram_id: Number(id) };
  }

  async #more() {
    for (let pages = 0, isEmpty = true; isEmpty && pages < PAGES_AT_ONCE; pages += 1) {
      const query = new URLSearchParams({ ...this.filters, limit: PAGE, ...(this.cursor === null ? {} : { cursor: this.cursor }) });
      const page = await get(`/jobs?${query}`);
      this.items = [...this.items, ...page.items];
      this.cursor = page.next_cursor;
      isEmpty = page.items.length === 0 && this.cursor !== null;
    }
    $("more").hidden = this.cursor === null;
    this.#draw();
  }

  #draw() {
    rows($("causes"), this.causes, {
      template: "cause-row",
      key,
      show: (element, each) => {
        fill(element, {
          count: count(each.count),
          kind: each.kind,
          cause: each.cause || gettext("No error text"),
          at: gettext("last {time}", { time: at(seconds(each.last_at), now()) }),
          retry: ngettext("Retry {count}", "Retry {count}", each.count),
          discard: ngettext("Discard {count}", "Discard {count}", each.count),
        });
        const { kind, cause } = each;
        element.fields.show.href = `?${new URLSearchParams({ ...Object.fromEntries(new URLSearchParams(location.search)), kind, cause })}`;
      },
    });
    write($("causes-none"), this.causes.length ? "" : gettext("No failed jobs."));
    rows($("jobs"), this.items, {
      template: "job-row",
      key: (job) => job.reference,
      show: (element, job) => {
        fill(element, {
          reference: job.reference,
          kind: job.kind,
          whose: job.telegram_id === null ? "" : gettext("user {id}", { id: String(job.telegram_id) }),
          at: at(seconds(job.failed_at), now()),
          error: job.error,
        });
        element.fields.whose.href = `/#user=${job.telegram_id}`;
        const box = element.querySelector("input");
        box.value = job.reference;
        box.checked = this.selected.has(job.reference);
      },
    });
    const selected = this.selected.size;
    write($("retry"), selected ? ngettext("Retry {count} selected", "Retry {count} selected", selected) : ngettext("Retry all {count}", "Retry all {count}", this.total));
    write($("discard"), selected ? ngettext("Discard {count} selected", "Discard {count} selected", selected) : ngettext("Discard all {count}", "Discard all {count}", this.total));
    $("bulk").hidden = this.items.length === 0;
    $("select-all").checked = this.items.length > 0 && this.selected.size === this.items.length;
  }

  async #details(element) {
    try {
      const { job_id: id, payload } = await get(`/jobs/${element.dataset.key}`);
      write(element.fields.details, JSON.stringify({ job_id: id, ...payload }, null, 2));
    } catch (error) {
      write(element.fields.details, whyNotRead(error));
    }
  }
}

const key = ({ kind, cause }) => `${kind} ${cause}`;

new FailedJobs().load();
new WaitingJobs().load();
