// Eight things in one glance, each with a state, a word and how old it is.

import { $, fill, icon, mark, rows } from "/static/dom.js";
import { ago, count, counted, duration, fine, moments, older, plain } from "/static/words.js";

const HOLDS_BACK = ["open", "half_open"];

const DATABASE = {
  ok: ["ok", "Answers"],
  reachable: ["ok", "Reachable"],
  unavailable: ["down", "No answer"],
  unknown: ["unknown", "Not probed yet"],
};

// What the frontend knows by itself; all else is from Redis.
const BESIDE_REDIS = ["Redis", "Telegram"];

// Says of each tile's card the same.
export function showSignals(status, elapsed) {
  const signals = [
    database(status, elapsed), redis(status, elapsed), telegram(status, elapsed), workers(status, elapsed),
    waiting(status, elapsed), answers(status), deadLetters(status), broadcasts(status),
  ];
  rows($("signals"), signals, {
    template: "signal-row",
    key: (signal) => signal.name,
    show: (element, { name, state, value, detail }) => {
      const link = element.firstElementChild;
      mark(link, "href", `#card-${CARD[name]}`);
      mark(link, "data-state", state);
      link.classList.toggle("past", !status.redis.ok && !BESIDE_REDIS.includes(name));
      mark(link, "data-testid", `signal-${name.toLowerCase().replace(" ", "-")}`);
      icon(element.querySelector("use"), state);
      fill(element, { name, value, detail });
    },
  });
  // Answers that are slow are no trouble yet, as in the verdict.
  const isTrouble = ({ name, state }) => name !== "Answers" || state === "down";
  return signals.map((signal) => ({ card: CARD[signal.name], state: isTrouble(signal) ? signal.state : "ok", words: inCard(signal) }));
}

const CARD = {
  Database: "database", Redis: "links", Telegram: "links", Workers: "workers", Jobs: "jobs", Answers: "jobs", "Failed jobs": "failed", Broadcasts: "broadcasts",
};

function inCard({ name, value }) {
  const words = value.charAt(0).toLowerCase() + value.slice(1);
  return ["Redis", "Telegram", "Answers"].includes(name) ? `${name} ${words}` : value;
}

// Slower than this, and the tile says so.
const SLOW_SECONDS = 2;
const TOO_SLOW_SECONDS = 10;

function database({ database, breaker, now }, elapsed) {
  const [state, value] = DATABASE[database.state];
  const since = breaker.since === null ? "" : `for ${duration(now + elapsed - breaker.since)}`;
  if (breaker.state === "forced_open") return { name: "Database", state: "away", value: "Paused", detail: `by ${breaker.paused_by ?? "an operator"} ${since}` };
  // What the last probe before it took says nothing of an outage.
  if (HOLDS_BACK.includes(breaker.state)) {
    return { name: "Database", state: "down", value: breaker.reason === "storage" ? "Read-only" : "No answer", detail: `${plain(breaker.reason ?? "")} ${since}`.trim() };
  }
  const when = ago(older(database.probe_age_seconds, elapsed));
  // Somebody else was answered since: both are so, and the one would look like the other's mistake.
  if (state === "ok" && database.probe_ok === false) return { name: "Database", state, value, detail: `but its last probe failed ${when}` };
  const probed = database.probe_age_seconds === null ? "no probe yet" : `probed ${when}`;
  const latency = database.probe_ok && database.latency_ms !== null ? `${fine(database.latency_ms)} ms, ` : "";
  const failure = database.probe_ok === false && database.probe_kind ? `${database.probe_kind}, ` : "";
  return { name: "Database", state, value, detail: latency + failure + probed };
}

function redis({ redis, age_seconds }, elapsed) {
  const troubles = redis.troubles.join(", ").replaceAll("_", " ");
  if (redis.ok && troubles) return { name: "Redis", state: "degraded", value: "Not safe", detail: troubles };
  if (redis.ok) return { name: "Redis", state: "ok", value: "Answers", detail: `asked ${ago(older(age_seconds, elapsed))}` };
  if (troubles) return { name: "Redis", state: "down", value: "Refuses writes", detail: troubles };
  return { name: "Redis", state: "down", value: "No answer", detail: `${redis.error}, ${age_seconds === null ? "never seen" : `seen ${ago(older(age_seconds, elapsed))}`}` };
}

function telegram({ telegram }, elapsed) {
  const state = telegram.ok === null ? "unknown" : telegram.ok ? "ok" : "degraded";
  const heard = `heard ${ago(older(telegram.age_seconds, elapsed))}`;
  if (telegram.ok === false) return { name: "Telegram", state, value: "Trouble", detail: `${telegram.error}, ${heard}` };
  const value = telegram.ok ? (telegram.mode === "polling" ? "Connected" : "Connected") : "Nothing heard yet";
  return { name: "Telegram", state, value, detail: telegram.ok ? heard : `by ${telegram.mode}` };
}

function workers({ workers, age_seconds }, elapsed) {
  const beat = workers.length ? Math.max(...workers.map((worker) => worker.beat_age_seconds)) : null;
  const busy = workers.reduce((sum, worker) => sum + worker.doing.length, 0);
  return {
    name: "Workers",
    state: age_seconds === null ? "unknown" : workers.length ? "ok" : "down",
    value: workers.length ? counted(workers.length, "process", "processes") : age_seconds === null ? "Unknown" : "None",
    detail: age_seconds === null ? "" : workers.length ? `${counted(busy, "job", "jobs")} running, last heartbeat ${ago(older(beat, elapsed))}` : "no jobs are being done",
  };
}

function waiting({ inbox, queues }, elapsed) {
  const unattended = queues.filter((queue) => queue.length && !queue.attended);
  const isTrouble = unattended.length || inbox.held_back || inbox.overdue_seconds;
  const state = inbox.size === null ? "unknown" : isTrouble ? "degraded" : "ok";
  const oldest = inbox.size ? `oldest ${duration(older(inbox.oldest_seconds, elapsed))}` : inbox.size === 0 ? "no one is waiting" : "";
  return {
    name: "Jobs",
    state,
    value: inbox.size ? `${count(inbox.size)} waiting` : inbox.size === 0 ? "None waiting" : "Unknown",
    detail: unattended.length ? `nobody takes ${unattended.map((queue) => queue.name).join(", ")}` : oldest,
  };
}

function speed(seconds) {
  return seconds > TOO_SLOW_SECONDS ? "down" : seconds > SLOW_SECONDS ? "degraded" : "ok";
}

function answers({ throughput }) {
  const { answer_p50_seconds: half, answer_p95_seconds: most, commands_per_minute: rate } = throughput;
  const commands = fine(rate);
  return {
    name: "Answers",
    state: rate === null ? "unknown" : speed(most ?? half ?? 0),
    value: half === null ? (rate === null ? "Not known yet" : "None recently") : `in ${moments(half)}`,
    detail: rate === null ? "after a minute" : `${most === null ? "" : `95% in ${moments(most)}, `}${commands} ${commands === "1" ? "command" : "commands"} a min`,
  };
}

function deadLetters({ dead_letters: letters }) {
  const { open } = letters;
  return {
    name: "Failed jobs",
    state: open === null ? "unknown" : open ? "degraded" : "ok",
    value: open === null ? "Unknown" : open ? `${count(open)} open` : "None",
    detail: open ? "they need you" : open === 0 ? "no failed jobs" : "not read from the database yet",
  };
}

function broadcasts({ broadcasts }) {
  const sending = broadcasts.items.filter((item) => item.status === "sending").length;
  const halted = broadcasts.items.filter((item) => item.status === "halted").length;
  const stuck = broadcasts.stuck.length;
  return {
    name: "Broadcasts",
    state: stuck || halted ? "degraded" : broadcasts.age_seconds === null ? "unknown" : "ok",
    value: broadcasts.age_seconds === null ? "Unknown" : stuck ? `${count(stuck)} stuck` : halted ? `${count(halted)} stopped` : sending ? `${count(sending)} sending` : "None sending",
    detail: broadcasts.age_seconds === null ? "not read from the database yet" : stuck || halted ? "see below" : broadcasts.items.length ? counted(broadcasts.items.length, "is listed", "are listed") : "none recently",
  };
}
