// Retries or discards failed jobs, a hundred a request, after a question that says how many. Each request has an ID of its own and is
// sent again where no answer came: it takes effect once. What is not done when the tab is closed stays a failed job.

import { uuid } from "/static/actions.js";
import { post, Refused } from "/static/api.js";
import { $, mark, write } from "/static/dom.js";
import { count, counted } from "/static/words.js";

const TIMEOUT_MS = 45_000;
const AT_ONCE = 100;
const TRIES = 3;

const VERBS = {
  retry: { title: "Retry", done: "queued again", words: "They are queued again under their own IDs: what already took effect does not happen twice. What fails again comes back here." },
  discard: { title: "Discard", done: "discarded", words: "They are closed without being done, and cannot be retried from here. Their users get no further message.", isDangerous: true },
};

export class Resolving {
  // after -- called once something may have changed.
  constructor(dialog, after) {
    Object.assign(this, { dialog, after, isBusy: false, isOver: false });
    $("confirm-go").addEventListener("click", () => this.#go());
    $("confirm-leave").addEventListener("click", () => { if (!this.isBusy) dialog.close(); });
    dialog.addEventListener("cancel", (event) => { if (this.isBusy) event.preventDefault(); });
    dialog.addEventListener("close", () => { if (this.isOver) after(); });
    addEventListener("beforeunload", (event) => { if (this.isBusy) event.preventDefault(); });
  }

  // which -- {references} or {matching}, as the API has it; total -- how many jobs that are.
  ask(verb, which, total) {
    if (this.dialog.open) return;
    Object.assign(this, { verb, which, total, isOver: false });
    const { title, words, isDangerous } = VERBS[verb];
    const name = `${title} ${counted(total, "failed job", "failed jobs")}`;
    write($("confirm-title"), `${name}?`);
    write($("confirm-words"), words);
    write($("confirm-go"), name);
    write($("confirm-leave"), "Go back");
    write($("confirm-outcome"), "");
    mark($("confirm-go"), "class", isDangerous ? "danger" : "primary");
    $("confirm-go").hidden = false;
    $("confirm-reason-field").hidden = false;
    $("confirm-reason").value = "";
    $("progress").hidden = true;
    this.dialog.showModal();
    $("confirm-leave").focus();
  }

  async #go() {
    if (this.isBusy) return;
    this.isBusy = this.isOver = true;
    mark(this.dialog, "aria-busy", "true");
    $("confirm-go").hidden = $("confirm-reason-field").hidden = true;
    Object.assign($("progress"), { hidden: false, max: Math.max(1, this.total), value: 0 });
    const { title, done: doneWord } = VERBS[this.verb];
    let done = 0;
    const refused = [];
    let failure = "";
    try {
      for (const body of this.#bodies()) {
        const answer = await this.#send(body);
        done += answer.done;
        refused.push(...answer.refused);
        this.next = answer.next_cursor;
        $("progress").value = done + refused.length;
        write($("confirm-outcome"), `${count(done)} of ${count(this.total)} ${doneWord}…`);
      }
    } catch (error) {
      failure = ` Stopped: ${error.message} The others are still here; ${title.toLowerCase()} them again.`;
    }
    const first = refused.length ? ` ${counted(refused.length, "job was", "jobs were")} refused, the first because ${refused[0].why}.` : "";
    write($("confirm-outcome"), `${count(done)} ${doneWord}.${first}${failure}`);
    this.isBusy = false;
    mark(this.dialog, "aria-busy", "false");
    write($("confirm-leave"), "Close");
    $("confirm-leave").focus();
  }

  // One after the other: where the next one begins is in the answer to the one before.
  *#bodies() {
    const reason = $("confirm-reason").value.trim();
    const { references, matching } = this.which;
    if (references) {
      for (let from = 0; from < references.length; from += AT_ONCE) yield { references: references.slice(from, from + AT_ONCE), reason };
      return;
    }
    this.next = null;
    do yield { matching, cursor: this.next, reason };
    while (this.next !== null);
  }

  async #send(body) {
    const key = uuid();
    for (let tries = 1; ; tries += 1) {
      try {
        return await post(`/jobs/${this.verb}`, body, key, TIMEOUT_MS);
      } catch (error) {
        if (error instanceof Refused && (error.isFinal || tries === TRIES)) throw error;
        if (tries === TRIES) throw new Error("no answer came.", { cause: error });
      }
    }
  }
}
