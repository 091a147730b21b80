// What state the bot is in, in words; and how old all that is said here is.

import { $, icon, mark, write } from "/static/dom.js";
import { ago, at, duration, older } from "/static/words.js";

export function showVerdict(figures) {
  const status = figures.answer;
  const { isLost } = figures;
  mark(document.body, "data-contact", isLost ? "lost" : "ok");
  if (!isLost && !status) return;
  const verdict = isLost ? lost(figures) : status.verdict;
  const title = $("verdict-title");
  const isNews = title.textContent !== verdict.title;
  mark($("verdict"), "data-state", verdict.state);
  icon($("verdict-icon"), verdict.state);
  write(title, verdict.title);
  write($("verdict-words"), verdict.words);
  write($("alarms"), status ? alarms(status, figures.elapsed, isLost) : "");
  document.title = `${verdict.title} · Ballast`;
  // Read aloud once it changes, not with every figure in it.
  if (isNews) write($("announcement"), `${verdict.title}. ${verdict.words}`);
}

function lost(figures) {
  if (figures.isSignedOut) {
    return { state: "unreachable", title: "You are signed out", words: "The figures below are the last ones. Reload this page to sign in again." };
  }
  const since = figures.answer ? `for ${duration(figures.elapsed)}` : "so far";
  return {
    state: "unreachable",
    title: "The frontend does not answer this page",
    words:
      `Nothing was heard ${since}. Is this device online, and does the frontend run? ` +
      "Meanwhile Telegram keeps what people write, and jobs wait in Redis.",
  };
}

function alarms(status, elapsed, isLost) {
  if (status.age_seconds === null) return "";
  if (!status.alarms.length) return isLost || !status.redis.ok ? "No active alarms when last seen." : "No active alarms.";
  const now = status.now + elapsed;
  const standing = status.alarms.map((alarm) => `since ${at(alarm.since, now)}: ${inWords(alarm.name)}`);
  return `${standing.length === 1 ? "Alarm" : "Alarms"} ${standing.join("; ")}`;
}

function inWords(name) {
  const [what, id] = name.split(/-(?=\d)/);
  return {
    breaker: "the breaker is not closed", quota: "the quota is used up", "dead-letters": "a job failed",
    overdue: "commands are not being answered", corruption: "PostgreSQL reports damaged data",
    backup: "there is no new proven backup",
  }[what]
    ?? (id ? `${what} ${id} does not get on` : name);
}

export function showFreshness(figures) {
  const { answer: status, elapsed } = figures;
  const seen = status ? older(status.age_seconds, elapsed) : null;
  write($("freshness"), seen === null ? "Nothing seen yet" : `As of ${ago(seen)}`);
  write($("contact"), figures.contact);
  mark($("contact"), "data-state", { Live: "ok", "Not connected": "down" }[figures.contact] ?? "degraded");
}
