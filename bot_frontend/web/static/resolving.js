// Retries or discards failed jobs, a hundred a request, after a question that says how many. Each request has an ID of its own and is
// sent again where no answer came: it takes effect once. What is not done when the tab is closed stays a failed job.

import { uuid } from "/static/actions.js";
import { post, Refused } from "/static/api.js";
import { $, write } from "/static/dom.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { count } from "/static/words.js";

const TIMEOUT_MS = 45_000;
const AT_ONCE = 100;
const TRIES = 3;

const VERBS = {
  retry: {
    name: (jobs) => ngettext("Retry {count} failed job", "Retry {count} failed jobs", jobs),
    title: (jobs) => ngettext("Retry {count} failed job?", "Retry {count} failed jobs?", jobs),
    words: noop("They are queued again under their own IDs: what already took effect does not happen twice. What fails again comes back here."),
    progress: noop("{done} of {all} queued again…"),
    done: (jobs) => ngettext("{count} queued again.", "{count} queued again.", jobs),
    rest: noop("The others are still here; retry them again."),
  },
  discard: {
    name: (jobs) => ngettext("Discard {count} failed job", "Discard {count} failed jobs", jobs),
    title: (jobs) => ngettext("Discard {count} failed job?", "Discard {count} failed jobs?", jobs),
    words: noop("They are closed without being done, and cannot be retried from here. Their users get no further message."),
    progress: noop("{done} of {all} discarded…"),
    done: (jobs) => ngettext("{count} discarded.", "{count} discarded.", jobs),
    rest: noop("The others are still here; discard them again."),
    isDangerous: true,
  },
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
    const { title, name, words, isDangerous } = VERBS[verb];
    $("progress").hidden = true;
    this.question.ask(opener, {
      title: title(total),
      words: gettext(words),
      go: name(total),
      isDangerous,
      act: (reason) => this.#resolve(verb, which, total, reason),
    });
  }

  async #resolve(verb, which, total, reason) {
    this.isBegun = true;
    $("confirm-go").hidden = $("confirm-reason-field").hidden = true;
    Object.assign($("progress"), { hidden: false, max: Math.max(1, total), value: 0 });
    const { progress, done: inWords, rest } = VERBS[verb];
    let done = 0;
    const refused = [];
    let failure = null;
    try {
      for (const body of this.#bodies(which, reason)) {
        const answer = await this.#send(verb, body);
        done += answer.done;
        refused.push(...answer.refused);
        this.next = answer.next_cursor;
        $("progress").value = done + refused.length;
        write($("confirm-outcome"), gettext(progress, { done: count(done), all: count(total) }));
      }
    } catch (error) {
      failure = gettext("Stopped: {why}", { why: error.message });
    }
    const sentences = [inWords(done)];
    if (refused.length) {
      const why = { why: refused[0].why };
      sentences.push(ngettext("{count} job was refused, the first because {why}.", "{count} jobs were refused, the first because {why}.", refused.length, why));
    }
    if (failure) sentences.push(failure, gettext(rest));
    return sentences.join(" ");
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
        if (tries === TRIES) throw new Error(gettext("no answer came."), { cause: error });
      }
    }
  }
}
