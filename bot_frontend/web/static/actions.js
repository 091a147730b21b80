// What an operator does from here. Each asks first and says what will happen, and is sent with an ID of its own: however often a
// click or a request comes, it takes effect once.

import { order } from "/static/api.js";
import { $, mark, write } from "/static/dom.js";
import { toast } from "/static/toasts.js";
import { plain, sentence } from "/static/words.js";

const TIMEOUT_MS = 15_000;
const RESULT_MS_MAX = 10 * 60_000;

const QUESTIONS = {
  "breaker.open": () => ({
    title: "Pause database access?",
    words: "No call reaches the database until an operator resumes access, even after restarts. Commands wait in Redis in order, and people are told that they are saved. Nothing is lost.",
    go: "Pause database access",
    isDangerous: true,
  }),
  "breaker.close": () => ({
    title: "Ignore the breaker?",
    words: "Every call goes to the database, however badly it responds, until an operator changes this. Use it only if the breaker itself is the problem.",
    go: "Ignore the breaker",
    isDangerous: true,
  }),
  "breaker.auto": () => ({
    title: "Return to automatic?",
    words: "The breaker opens and closes by itself again, which is the normal state. If it is open now, the database is probed at once.",
    go: "Back to automatic",
  }),
  "queue.pause": (target) => ({
    title: `Pause the queue ${target}?`,
    words: "No worker takes its jobs until an operator resumes it, even after restarts. They wait in Redis in order, and people are told that they are saved. Nothing is lost.",
    go: "Pause the queue",
    isDangerous: true,
  }),
  "queue.resume": (target) => ({
    title: `Resume the queue ${target}?`,
    words: "Its jobs are done again, whoever has waited longest first.",
    go: "Resume the queue",
  }),
  "worker.drain": (target) => ({
    title: `Drain ${target}?`,
    words: "It takes no more jobs, and finishes what it has. Others do the jobs that come. It stays so until it is resumed, or started anew.",
    go: "Drain it",
  }),
  "worker.drain_last": (target, queues) => ({
    title: `Drain ${target}, the last one?`,
    words: `No other worker takes the jobs of ${queues}: they wait until one does, or this one is resumed. Nothing is lost.`,
    go: "Drain the last one",
    isDangerous: true,
  }),
  "worker.resume": (target) => ({
    title: `Have ${target} take jobs again?`,
    words: "It goes on within four seconds.",
    go: "Resume it",
  }),
  "dead_letter.retry": (target, about) => ({
    title: `Retry ${target}?`,
    words: `The job (${about}) is queued again under its own ID: what already took effect does not happen twice. If it fails again, it comes back here.`,
    go: "Retry",
  }),
  "dead_letter.discard": (target, about) => ({
    title: `Discard ${target}?`,
    words: `The job (${about}) is closed without being done, and cannot be retried from here. Its user gets no further message.`,
    go: "Discard",
    isDangerous: true,
  }),
  "broadcast.pause": (target, about) => ({
    title: `Pause broadcast ${target}?`,
    words: `Sending stops within a few seconds. ${about} have received it; the others wait until it is resumed.`,
    go: "Pause",
  }),
  "broadcast.resume": (target, about) => ({
    title: `Resume broadcast ${target}?`,
    words: `Sending continues with the remaining recipients. ${about} have received it and do not get it again.`,
    go: "Resume",
  }),
  "broadcast.cancel": (target, about) => ({
    title: `Cancel broadcast ${target}?`,
    words: `This cannot be undone. ${about} have received it and keep it; the others never get it.`,
    go: "Cancel broadcast",
    isDangerous: true,
  }),
};

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
  mark(button, "aria-label", `${button.textContent}: ${target}`);
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
    write($("signed-in-as"), name === null ? "" : `${name}, ${role}`);
  }

  #open(button) {
    const { action, target = "", about = "" } = button.dataset;
    const asked = { action, target, id: uuid() };
    let state = null;
    this.question.ask(button, {
      ...QUESTIONS[action](target, about),
      act: async () => {
        const answer = await order(asked, TIMEOUT_MS);
        ({ state } = answer);
        return `${state === "done" ? "Done" : "Queued"}. ${answer.words}`;
      },
      after: (words) => {
        if (state === "queued") this.queued.set(`${action} ${target}`, performance.now());
        toast(words, state === "done" ? "ok" : "working_through");
        return true;
      },
    });
  }

  // What was queued here, once it is done or refused.
  #tellResults(recent) {
    for (const [ordered, orderedAt] of this.queued) {
      const found = recent.find(({ action, target }) => `${action} ${target}` === ordered);
      if (found && found.outcome !== "queued") {
        toast(`${sentence(plain(ordered))}: ${found.outcome}.`, found.outcome === "done" ? "ok" : "degraded");
        this.queued.delete(ordered);
      } else if (performance.now() - orderedAt > RESULT_MS_MAX) this.queued.delete(ordered);
    }
  }
}
