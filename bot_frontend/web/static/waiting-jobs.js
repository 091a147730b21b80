// The jobs on record, whoever has waited longest first. This needs Redis alone, so it is there in an outage too.

import { get, whyNotRead } from "/static/api.js";
import { $, fill, rows, write } from "/static/dom.js";
import { stateInWords } from "/static/lookup.js";
import { gettext } from "/static/texts.js";
import { duration } from "/static/words.js";

const PAGE = 50;

export class WaitingJobs {
  constructor() {
    this.items = [];
    this.cursor = null;
    $("waiting-more").addEventListener("click", () => this.load());
  }

  async load() {
    write($("waiting-words"), gettext("Loading…"));
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
            kind: kind ?? gettext("unknown"),
            whose: id === null ? "" : username ? `@${username}` : gettext("user {id}", { id: String(id) }),
            age: duration(age),
            waits: stateInWords(state, waits),
          });
          element.fields.whose.href = `/#user=${id}`;
        },
      });
      write($("waiting-words"), this.items.length ? "" : gettext("No job waits."));
    } catch (error) {
      write($("waiting-words"), whyNotRead(error));
    }
    $("waiting-more").hidden = this.cursor === null;
  }
}
