// The database as a server: the fleet's connections beside what they may be, its size, and what is left of its plan.

import { $, mark, reach, write } from "/static/dom.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { ago, at, bytes, count, fine, older, UNKNOWN } from "/static/words.js";

const QUOTA = { enough: noop("enough until the plan renews"), short: noop("will not last"), used_up: noop("used up") };

export function showServer(status, elapsed) {
  const { backup, connections, database, move, quota } = status;
  const { open, possible, budget } = connections;
  const most = Math.max(budget ?? possible ?? 0, open ?? 0, 1);
  reach($("connections-open"), open / most);
  reach($("connections-possible"), possible / most);
  mark($("connections-open").parentElement, "data-state", budget !== null && possible > budget ? "degraded" : "ok");
  write($("connections-words"), inWords(connections));
  write($("server-version"), database.version ?? UNKNOWN);
  const { server_connections: taken, server_connections_max: room } = database;
  write($("server-connections"), taken === null ? UNKNOWN : room === null ? count(taken) : gettext("{taken} of {all}", { taken: count(taken), all: count(room) }));
  write($("server-bytes"), bytes(database.bytes));
  write($("server-backup"), proven(backup, elapsed));
  mark($("server-backup"), "data-state", backup.overdue || backup.failed ? "degraded" : "ok");
  const moving = moved(move);
  $("server-move-label").hidden = $("server-move").hidden = moving === null;
  write($("server-move"), moving ?? "");
  write($("quota-state"), quotaState(quota));
  $("quota").hidden = quota.compute_hours === null;
  write($("quota-used"), used(quota));
  write($("quota-end"), quota.used_up_at === null ? gettext("not foreseen") : at(quota.used_up_at, status.now));
  write($("quota-renews"), at(quota.renews_at, status.now));
  write($("server-age"), ago(older(database.probe_age_seconds, elapsed)));
  return [{ card: "server", ...trouble(status) }];
}

function trouble({ backup, connections: { open, possible, budget }, quota }) {
  if (quota.state === "used_up") return { state: "down", words: gettext("Compute hours are used up") };
  if (quota.state === "short") return { state: "degraded", words: gettext("Compute hours will not last") };
  if (backup.overdue || backup.failed) return { state: "degraded", words: backup.failed ? gettext("The last backup failed") : gettext("The backup is overdue") };
  if (budget !== null && possible > budget) return { state: "degraded", words: gettext("More connections are possible than the budget has") };
  return { state: open === null ? "unknown" : "ok", words: open === null ? "" : ngettext("{count} connection open", "{count} connections open", open) };
}

function quotaState({ state, compute_hours: plan }) {
  if (Object.hasOwn(QUOTA, state)) return gettext(QUOTA[state]);
  return plan === null ? gettext("no plan is set") : gettext("not known yet");
}

function proven({ proven_age_seconds: age, overdue, failed }, elapsed) {
  const last = age === null ? gettext("none known") : ago(older(age, elapsed));
  if (failed) return gettext("{last}; the last run failed", { last });
  return overdue ? gettext("{last}: overdue", { last }) : last;
}

function moved(move) {
  if (move === null) return null;
  if (move.state === "copying") return gettext("being copied to another server");
  if (move.state === "holding") return gettext("writes wait for the switch");
  const old = move.processes_with_old_url;
  return old === 0 ? null : ngettext("done; {count} process has the old DATABASE_URL", "done; {count} processes have the old DATABASE_URL", old);
}

function inWords({ open, possible, budget }) {
  if (open === null) return gettext("No worker has reported its connections.");
  const figures = { possible: count(possible), budget: count(budget) };
  return budget === null
    ? ngettext("{count} connection open, {possible} possible; no budget is set.", "{count} connections open, {possible} possible; no budget is set.", open, figures)
    : ngettext("{count} connection open, {possible} possible; the budget is {budget}.", "{count} connections open, {possible} possible; the budget is {budget}.", open, figures);
}

function used({ used_hours: hours, compute_hours: plan }) {
  const all = gettext("{hours} h", { hours: fine(plan) });
  return gettext("{taken} of {all}", { taken: hours === null ? UNKNOWN : gettext("{hours} h", { hours: fine(hours) }), all });
}
