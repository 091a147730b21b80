// What an operator does from here. Each asks first and says what will happen, and is sent with an ID of its own: however often a
// click or a request comes, it takes effect once.

import { order } from "/static/api.js";
import { outcomeInWords } from "/static/books.js";
import { $, mark, write } from "/static/dom.js";
import { whoWithRole } from "/static/roles.js";
import { gettext, noop } from "/static/texts.js";
import { toast } from "/static/toasts.js";

const TIMEOUT_MS = 15_000;
const RESULT_MS_MAX = 10 * 60_000;

// title, words, go -- of the question, and of its button. done -- what a toast calls it.
const QUESTIONS = {
  "breaker.open": {
    title: noop("Pause database access?"),
    words: noop("No call reaches the database until an operator resumes access, even after restarts. Commands wait in Redis in order, and people are told that they are saved. Nothing is lost."),
    go: noop("Pause database access"),
    isDangerous: true,
  },
  "breaker.close": {
    title: noop("Ignore the breaker?"),
    words: noop("Every call goes to the database, however badly it responds, until an operator changes this. Use it only if the breaker itself is the problem."),
    go: noop("Ignore the breaker"),
    isDangerous: true,
  },
  "breaker.auto": {
    title: noop("Return to automatic?"),
    words: noop("The breaker opens and closes by itself again, which is the normal state. If it is open now, the database is probed at once."),
    go: noop("Back to automatic"),
  },
  "queue.pause": {
    title: noop("Pause the queue {target}?"),
    words: noop("No worker takes its jobs until an operator resumes it, even after restarts. They wait in Redis in order, and people are told that they are saved. Nothing is lost."),
    go: noop("Pause the queue"),
    isDangerous: true,
  },
  "queue.resume": {
    title: noop("Resume the queue {target}?"),
    words: noop("Workers take its jobs again, those that have waited longest first."),
    go: noop("Resume the queue"),
  },
  "worker.drain": {
    title: noop("Drain {target}?"),
    words: noop("It takes no more jobs, and finishes what it has. Other workers take new jobs. It stays drained until it is resumed or restarted."),
    go: noop("Drain it"),
  },
  "worker.drain_last": {
    title: noop("Drain {target}, the last one?"),
    words: noop("No other worker takes the jobs of {about}: they wait until one does, or this one is resumed. Nothing is lost."),
    go: noop("Drain the last one"),
    isDangerous: true,
  },
  "worker.resume": {
    title: noop("Resume {target}?"),
    words: noop("It takes jobs again within four seconds."),
    go: noop("Resume it"),
  },
  "dead_letter.retry": {
    title: noop("Retry {target}?"),
    words: noop("The job ({about}) is queued again under its own ID: what already took effect does not happen twice. If it fails again, it comes back here."),
    go: noop("Retry"),
    done: noop("Retry {target}"),
  },
  "dead_letter.discard": {
    title: noop("Discard {target}?"),
    words: noop("The job ({about}) is closed without being done, and cannot be retried from here. Its user gets no further message."),
    go: noop("Discard"),
    done: noop("Discard {target}"),
    isDangerous: true,
  },
  "broadcast.pause": {
    title: noop("Pause broadcast {target}?"),
    words: noop("Sending stops within a few seconds. {about} have received it; the others wait until it is resumed."),
    go: noop("Pause"),
    done: noop("Pause broadcast {target}"),
  },
  "broadcast.resume": {
    title: noop("Resume broadcast {target}?"),
    words: noop("Sending continues with the remaining recipients. {about} have received it and do not get it again."),
    go: noop("Resume"),
    done: noop("Resume broadcast {target}"),
  },
  "broadcast.cancel": {
    title: noop("Cancel broadcast {target}?"),
    words: noop("This cannot be undone. {about} have received it and keep it; the others never get it."),
    go: noop("Cancel broadcast"),
    done: noop("Cancel broadcast {target}"),
    isDangerous: true,
  },
};

// What a dialog asks before an action.
export function questionOf(action, target, about) {
  const { title, words, go, isDangerous } = QUESTIONS[action];
  return { title: gettext(title, { target }), words: gettext(words, { about }), go: gettext(go), isDangerous };
}

// crypto.randomUUID is there by https and on localhost alone, and operators have networks of their own.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// What a button acts on, and what tells it from its likes when it is read aloud.
export function nameButton(button, target, about) {
  mark(button, "data-target", target);
  mark(button, "data-about", about);
  mark(button, "aria-label", gettext("{button}: {target}", { button: button.textContent, target }));
}

function result({ action, target, outcome }) {
  const act = gettext(QUESTIONS[action].done, { target });
  return outcome === "done" ? gettext("{act}: done.", { act }) : gettext("{act}: {outcome}", { act, outcome: outcomeInWords(outcome) });
}

export class Actions {
  constructor(question) {
    this.question = question;
    this.queued = new Map();
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-action]");
      if (button) this.#open(button);
    });
  }

  show({ actions: { allowed, why_not: whyNot, signed_in_as: name, role, permitted }, recent_actions: recent }) {
    this.#tellResults(recent);
    mark(document.body, "data-acting", allowed ? "yes" : "no");
    mark(document.body, "data-permitted", permitted.join(" "));
    for (const sentence of document.querySelectorAll(".why-not")) write(sentence, allowed ? "" : whyNot ?? "");
    $("account").hidden = name === null;
    write($("signed-in-as"), name === null ? "" : whoWithRole(name, role));
  }

  #open(button) {
    const { action, target = "", about = "" } = button.dataset;
    const asked = { action, target, id: uuid() };
    let state = null;
    this.question.ask(button, {
      ...questionOf(action, target, about),
      act: async () => {
        const answer = await order(asked, TIMEOUT_MS);
        ({ state } = answer);
        return `${state === "done" ? gettext("Done.") : gettext("Queued.")} ${answer.words}`;
      },
      after: (told) => {
        if (state === "queued") this.queued.set(`${action} ${target}`, performance.now());
        toast(told, state === "done" ? "ok" : "working_through");
        return true;
      },
    });
  }

  // What was queued here, once it is done or refused.
  #tellResults(recent) {
    for (const [ordered, orderedAt] of this.queued) {
      const found = recent.find(({ action, target }) => `${action} ${target}` === ordered);
      if (found && found.outcome !== "queued") {
        toast(result(found), found.outcome === "done" ? "ok" : "degraded");
        this.queued.delete(ordered);
      } else if (performance.now() - orderedAt > RESULT_MS_MAX) this.queued.delete(ordered);
    }
  }
}
