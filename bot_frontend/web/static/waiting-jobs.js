// The jobs on record, whoever has waited longest first. This needs Redis alone, so it is there in an outage too.

import { get } from "/static/api.js";
import { $, fill, rows, write } from "/static/dom.js";
import { duration, plain, sentence } from "/static/words.js";

const PAGE = 50;

export class WaitingJobs {
  constructor() {
    this.items = [];
    this.cursor = null;
    $("waiting-more").addEventListener("click", () => this.load());
  }

  async load() {
    write($("waiting-words"), "Loading…");
    try {
      const page = await get(`/jobs/waiting?${new URLSearchParams({ limit: PAGE, ...(this.cursor === null ? {} : { cursor: this.cursor }) })}`);
      this.items = [...this.items, ...page.items];
      this.cursor = page.next_cursor;
      rows($("waiting-jobs"), this.items, {
        template: "waiting-row",
        key: (job) => job.reference,
        show: (element, { reference, kind, state, telegram_id: id, username, age_seconds: age, waits_for: waits }) => {
          fill(element, {
            reference,
            kind: kind ?? "unknown",
            whose: id === null ? "" : username ? `@${username}` : `user ${id}`,
            age: duration(age),
            waits: sentence(waits ? `${plain(state)}, waits for ${waits}` : plain(state)),
          });
          element.fields.whose.href = `/#user=${id}`;
        },
      });
      write($("waiting-words"), this.items.length ? "" : "No job waits.");
    } catch (error) {
      write($("waiting-words"), `No answer: ${error.message}`);
    }
    $("waiting-more").hidden = this.cursor === null;
  }
}
