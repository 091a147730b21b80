// Eight things in one glance, each with a state, a word and how old it is.

import { $, fill, icon, mark, rows } from "/static/dom.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { ago, duration, fine, listed, milliseconds, moments, older, reason, redisTroubles } from "/static/words.js";

const HOLDS_BACK = ["open", "half_open"];

const NAMES = {
  database: noop("Database"),
  redis: noop("Redis"),
  telegram: noop("Telegram"),
  workers: noop("Workers"),
  jobs: noop("Jobs"),
  answers: noop("Answers"),
  "failed-jobs": noop("Failed jobs"),
  broadcasts: noop("Broadcasts"),
};

const CARDS = {
  database: "database", redis: "links", telegram: "links", workers: "workers", jobs: "jobs", answers: "jobs", "failed-jobs": "failed", broadcasts: "broadcasts",
};

const DATABASE = {
  ok: ["ok", noop("Answers")],
  reachable: ["ok", noop("Reachable")],
  unavailable: ["down", noop("No answer")],
  unknown: ["unknown", noop("Not probed yet")],
};

// What the frontend knows by itself; all else is from Redis.
const BESIDE_REDIS = ["redis", "telegram"];

// Says of each tile's card the same: where two tiles are for one, in words that name what they are of.
export function showSignals(status, elapsed) {
  const signals = Object.entries({
    database: database(status, elapsed), redis: redis(status, elapsed), telegram: telegram(status, elapsed), workers: workers(status, elapsed),
    jobs: waiting(status, elapsed), answers: answers(status), "failed-jobs": deadLetters(status), broadcasts: broadcasts(status),
  });
  rows($("signals"), signals, {
    template: "signal-row",
    key: ([id]) => id,
    show: (element, [id, { state, value, detail }]) => {
      const link = element.firstElementChild;
      mark(link, "href", `#card-${CARDS[id]}`);
      mark(link, "data-state", state);
      link.classList.toggle("past", !status.redis.ok && !BESIDE_REDIS.includes(id));
      mark(link, "data-testid", `signal-${id}`);
      icon(element.querySelector("use"), state);
      fill(element, { name: gettext(NAMES[id]), value, detail });
    },
  });
  // Answers that are slow are no trouble yet, as in the verdict.
  const isTrouble = ([id, { state }]) => id !== "answers" || state === "down";
  return signals.map((signal) => {
    const [id, { state, value, inCard = value }] = signal;
    return { card: CARDS[id], state: isTrouble(signal) ? state : "ok", words: inCard };
  });
}

// Slower than this, and the tile says so.
const SLOW_SECONDS = 2;
const TOO_SLOW_SECONDS = 10;

function database({ database, breaker, now }, elapsed) {
  const [state, value] = DATABASE[database.state];
  const since = breaker.since === null ? null : duration(now + elapsed - breaker.since);
  if (breaker.state === "forced_open") return { state: "away", value: gettext("Paused"), detail: paused(breaker.paused_by, since) };
  // What the last probe before it took says nothing of an outage.
  if (HOLDS_BACK.includes(breaker.state)) {
    return { state: "down", value: breaker.reason === "storage" ? gettext("Read-only") : gettext("No answer"), detail: held(breaker.reason, since) };
  }
  const when = ago(older(database.probe_age_seconds, elapsed));
  // Somebody else was answered since: both are so, and the one would look like the other's mistake.
  if (state === "ok" && database.probe_ok === false) return { state, value: gettext(value), detail: gettext("but its last probe failed {when}", { when }) };
  const details = [
    database.probe_ok && database.latency_ms !== null ? milliseconds(database.latency_ms) : null,
    database.probe_ok === false && database.probe_kind ? reason(database.probe_kind) : null,
    database.probe_age_seconds === null ? gettext("no probe yet") : gettext("probed {when}", { when }),
  ];
  return { state, value: gettext(value), detail: listed(details.filter(Boolean)) };
}

function paused(operator, since) {
  if (since === null) return operator === null ? gettext("by an operator") : gettext("by {operator}", { operator });
  return operator === null ? gettext("by an operator for {duration}", { duration: since }) : gettext("by {operator} for {duration}", { operator, duration: since });
}

function held(code, since) {
  if (since === null) return code === null ? "" : reason(code);
  return code === null ? gettext("for {duration}", { duration: since }) : gettext("{reason} for {duration}", { reason: reason(code), duration: since });
}

function redis({ redis, age_seconds }, elapsed) {
  const troubles = redisTroubles(redis.troubles);
  if (redis.ok && troubles) return { state: "degraded", value: gettext("Not safe"), inCard: gettext("Redis not safe"), detail: troubles };
  if (redis.ok) {
    const detail = gettext("asked {when}", { when: ago(older(age_seconds, elapsed)) });
    return { state: "ok", value: gettext("Answers"), inCard: gettext("Redis answers"), detail };
  }
  if (troubles) return { state: "down", value: gettext("Refuses writes"), inCard: gettext("Redis refuses writes"), detail: troubles };
  const seen = age_seconds === null ? gettext("never seen") : gettext("seen {when}", { when: ago(older(age_seconds, elapsed)) });
  return { state: "down", value: gettext("No answer"), inCard: gettext("Redis does not answer"), detail: listed([redis.error, seen]) };
}

const BY_MODE = { polling: noop("by polling"), webhook: noop("by webhook") };

function telegram({ telegram }, elapsed) {
  const heard = gettext("heard {when}", { when: ago(older(telegram.age_seconds, elapsed)) });
  if (telegram.ok === null) {
    const detail = telegram.mode in BY_MODE ? gettext(BY_MODE[telegram.mode]) : gettext("not connected yet");
    return { state: "unknown", value: gettext("Nothing heard yet"), inCard: gettext("nothing heard from Telegram yet"), detail };
  }
  if (telegram.ok) return { state: "ok", value: gettext("Connected"), inCard: gettext("Telegram connected"), detail: heard };
  return { state: "degraded", value: gettext("Trouble"), inCard: gettext("trouble with Telegram"), detail: listed([telegram.error, heard]) };
}

function workers({ workers, age_seconds }, elapsed) {
  if (age_seconds === null) return { state: "unknown", value: gettext("Unknown"), detail: "" };
  if (!workers.length) return { state: "down", value: gettext("None"), detail: gettext("no jobs are being done") };
  const busy = workers.reduce((sum, worker) => sum + worker.doing.length, 0);
  const when = ago(older(Math.max(...workers.map((worker) => worker.beat_age_seconds)), elapsed));
  return {
    state: "ok",
    value: ngettext("{count} process", "{count} processes", workers.length),
    detail: ngettext("{count} job running, last heartbeat {when}", "{count} jobs running, last heartbeat {when}", busy, { when }),
  };
}

function waiting({ inbox, queues }, elapsed) {
  const unattended = queues.filter((queue) => queue.length && !queue.attended).map((queue) => queue.name);
  const isTrouble = unattended.length || inbox.held_back || inbox.overdue_seconds;
  const oldest = inbox.size ? gettext("oldest {duration}", { duration: duration(older(inbox.oldest_seconds, elapsed)) }) : null;
  return {
    state: inbox.size === null ? "unknown" : isTrouble ? "degraded" : "ok",
    value: inbox.size ? ngettext("{count} waiting", "{count} waiting", inbox.size) : inbox.size === 0 ? gettext("None waiting") : gettext("Unknown"),
    detail: unattended.length ? gettext("no worker takes {queues}", { queues: listed(unattended) }) : oldest ?? (inbox.size === 0 ? gettext("no one is waiting") : ""),
  };
}

function speed(seconds) {
  return seconds > TOO_SLOW_SECONDS ? "down" : seconds > SLOW_SECONDS ? "degraded" : "ok";
}

function answers({ throughput }) {
  const { answer_p50_seconds: half, answer_p95_seconds: most, commands_per_minute: rate } = throughput;
  if (rate === null) return { state: "unknown", value: gettext("Not known yet"), inCard: gettext("answers not known yet"), detail: gettext("after a minute") };
  const shown = fine(rate);
  const commands = ngettext("{count} command per min", "{count} commands per min", shown === "1" ? 1 : rate, { count: shown });
  const took = half === null ? null : { duration: moments(half) };
  return {
    state: speed(most ?? half ?? 0),
    value: took === null ? gettext("None recently") : gettext("in {duration}", took),
    inCard: took === null ? gettext("no answers recently") : gettext("answers in {duration}", took),
    detail: most === null ? commands : listed([gettext("95% in {duration}", { duration: moments(most) }), commands]),
  };
}

function deadLetters({ dead_letters: { open } }) {
  if (open === null) return { state: "unknown", value: gettext("Unknown"), detail: gettext("not read from the database yet") };
  if (open === 0) return { state: "ok", value: gettext("None"), detail: gettext("no failed jobs") };
  return { state: "degraded", value: ngettext("{count} open", "{count} open", open), detail: gettext("they need you") };
}

function broadcasts({ broadcasts: { age_seconds, items, stuck } }) {
  if (age_seconds === null) {
    return { state: stuck.length ? "degraded" : "unknown", value: gettext("Unknown"), detail: gettext("not read from the database yet") };
  }
  const halted = items.filter((item) => item.status === "halted").length;
  if (stuck.length || halted) {
    const value = stuck.length ? ngettext("{count} stuck", "{count} stuck", stuck.length) : ngettext("{count} stopped", "{count} stopped", halted);
    return { state: "degraded", value, detail: gettext("see below") };
  }
  const sending = items.filter((item) => item.status === "sending").length;
  return {
    state: "ok",
    value: sending ? ngettext("{count} sending", "{count} sending", sending) : gettext("None sending"),
    detail: items.length ? ngettext("{count} is listed", "{count} are listed", items.length) : gettext("none recently"),
  };
}
