// Retries or discards failed jobs, a hundred a request, after a question that says how many. Each request has an ID of its own and is
// sent again where no answer came: it takes effect once. What is not done when the tab is closed stays a failed job.

import { uuid } from "/static/actions.js";
import { post, Refused } from "/static/api.js";
import { $, write } from "/static/dom.js";
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
  constructor(question, after) {
    Object.assign(this, { question, after });
    question.dialog.addEventListener("close", () => {
      if (this.isBegun) after();
      this.isBegun = false;
    });
  }

  // which -- {references} or {matching}, as the API has it; total -- how many jobs that are.
  ask(opener, verb, which, total) {
    const { title, words, isDangerous } = VERBS[verb];
    const name = `${title} ${counted(total, "failed job", "failed jobs")}`;
    $("progress").hidden = true;
    this.question.ask(opener, {
      title: `${name}?`, words, go: name, isDangerous, act: (reason) => this.#resolve(verb, which, total, reason),
    });
  }

  async #resolve(verb, which, total, reason) {
    this.isBegun = true;
    $("confirm-go").hidden = $("confirm-reason-field").hidden = true;
    Object.assign($("progress"), { hidden: false, max: Math.max(1, total), value: 0 });
    const { title, done: doneWord } = VERBS[verb];
    let done = 0;
    const refused = [];
    let failure = "";
    try {
      for (const body of this.#bodies(which, reason)) {
        const answer = await this.#send(verb, body);
        done += answer.done;
        refused.push(...answer.refused);
        this.next = answer.next_cursor;
        $("progress").value = done + refused.length;
        write($("confirm-outcome"), `${count(done)} of ${count(total)} ${doneWord}…`);
      }
    } catch (error) {
      failure = ` Stopped: ${error.message} The others are still here; ${title.toLowerCase()} them again.`;
    }
    const first = refused.length ? ` ${counted(refused.length, "job was", "jobs were")} refused, the first because ${refused[0].why}.` : "";
    return `${count(done)} ${doneWord}.${first}${failure}`;
  }

  // One after the other: where the next one begins is in the answer to the one before.
  *#bodies({ references, matching }, reason) {
    if (references) {
      for (let from = 0; from < references.length; from += AT_ONCE) yield { references: references.slice(from, from + AT_ONCE), reason };
      return;
    }
    this.next = null;
    do yield { matching, cursor: this.next, reason };
    while (this.next !== null);
  }

  async #send(verb, body) {
    const key = uuid();
    for (let tries = 1; ; tries += 1) {
      try {
        return await post(`/jobs/${verb}`, body, key, TIMEOUT_MS);
      } catch (error) {
        if (error instanceof Refused && (error.isFinal || tries === TRIES)) throw error;
        if (tries === TRIES) throw new Error("no answer came.", { cause: error });
      }
    }
  }
}
