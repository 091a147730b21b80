// What state the bot is in, in words; and how old all that is said here is.

import { $, icon, mark, write } from "/static/dom.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { ago, at, duration, older, redisTroubles } from "/static/words.js";

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
    return {
      state: "unreachable", title: gettext("You are signed out"), words: gettext("The figures below are the last ones. Reload this page to sign in again."),
    };
  }
  const words = figures.answer
    ? gettext(
      "Nothing was heard for {duration}. Is this device online, and does the frontend run? Meanwhile Telegram keeps what people write, and jobs wait in Redis.",
      { duration: duration(figures.elapsed) },
    )
    : gettext("Nothing was heard so far. Is this device online, and does the frontend run? Meanwhile Telegram keeps what people write, and jobs wait in Redis.");
  return { state: "unreachable", title: gettext("The frontend does not answer this page"), words };
}

function alarms(status, elapsed, isLost) {
  if (status.age_seconds === null) return "";
  if (!status.alarms.length) return isLost || !status.redis.ok ? gettext("No active alarms when last seen.") : gettext("No active alarms.");
  const now = status.now + elapsed;
  const standing = status.alarms.map((alarm) => gettext("since {time}: {what}", { time: at(alarm.since, now), what: inWords(alarm.name) }));
  return ngettext("Alarm {alarms}", "Alarms {alarms}", standing.length, { alarms: standing.join("; ") });
}

const ALARMS = {
  backup: noop("there is no new proven backup"),
  breaker: noop("the breaker is not closed"),
  broadcast: noop("broadcast {id} does not get on"),
  corruption: noop("PostgreSQL reports damaged data"),
  "dead-letters": noop("a job failed"),
  outbox: noop("jobs of committed transactions do not reach the workers"),
  overdue: noop("commands are not being answered"),
  provider: noop("payments of {id} differ from the ledger"),
  queue: noop("the queue {id} is paused"),
  quota: noop("the quota is used up"),
  redis: noop("Redis is not safe: {id}"),
  seals: noop("a seal of the ledger is broken"),
  stars: noop("Telegram's Stars differ from the ledger"),
  withdrawal: noop("withdrawal {id} is stuck"),
};

// name -- what it is of, and which one: `broadcast-7`.
function inWords(name) {
  if (name in ALARMS) return gettext(ALARMS[name]);
  const [, what, id] = name.match(/^(\w+)-(.+)$/) ?? [];
  return what in ALARMS ? gettext(ALARMS[what], { id: what === "redis" ? redisTroubles([id]) : id }) : name;
}

export function showFreshness(figures) {
  const { answer: status, elapsed } = figures;
  const seen = status ? older(status.age_seconds, elapsed) : null;
  write($("freshness"), seen === null ? gettext("Nothing seen yet") : gettext("As of {when}", { when: ago(seen) }));
  write($("contact"), figures.contact);
  mark($("contact"), "data-state", figures.isLost ? "down" : figures.isLive ? "ok" : "degraded");
}
