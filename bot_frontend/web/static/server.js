// The database as a server: the fleet's connections beside what they may be, its size, and what is left of its plan.

import { $, mark, reach, write } from "/static/dom.js";
import { ago, at, bytes, count, counted, fine, older, UNKNOWN } from "/static/words.js";

const QUOTA = { enough: "enough until the plan renews", short: "will not last", used_up: "used up" };

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
  write($("server-connections"), taken === null ? UNKNOWN : room === null ? count(taken) : `${count(taken)} of ${count(room)}`);
  write($("server-bytes"), bytes(database.bytes));
  write($("server-backup"), proven(backup, elapsed));
  mark($("server-backup"), "data-state", backup.overdue || backup.failed ? "degraded" : "ok");
  const moving = moved(move);
  $("server-move-label").hidden = $("server-move").hidden = moving === null;
  write($("server-move"), moving ?? "");
  write($("quota-state"), QUOTA[quota.state] ?? (quota.compute_hours === null ? "no plan is set" : "not known yet"));
  $("quota").hidden = quota.compute_hours === null;
  write($("quota-used"), used(quota));
  write($("quota-end"), quota.used_up_at === null ? "not foreseen" : at(quota.used_up_at, status.now));
  write($("quota-renews"), at(quota.renews_at, status.now));
  write($("server-age"), ago(older(database.probe_age_seconds, elapsed)));
  return [{ card: "server", ...trouble(status) }];
}

function trouble({ backup, connections: { open, possible, budget }, quota }) {
  if (quota.state === "used_up") return { state: "down", words: "Compute hours are used up" };
  if (quota.state === "short") return { state: "degraded", words: "Compute hours will not last" };
  if (backup.overdue || backup.failed) return { state: "degraded", words: backup.failed ? "The last backup failed" : "The backup is overdue" };
  if (budget !== null && possible > budget) return { state: "degraded", words: "More connections are possible than the budget has" };
  return { state: open === null ? "unknown" : "ok", words: open === null ? "" : `${counted(open, "connection", "connections")} open` };
}

function proven({ proven_age_seconds: age, overdue, failed }, elapsed) {
  const last = age === null ? "none known" : ago(older(age, elapsed));
  return failed ? `${last}; the last run failed` : overdue ? `${last}: overdue` : last;
}

function moved(move) {
  if (move === null) return null;
  if (move.state === "copying") return "being copied to another server";
  if (move.state === "holding") return "writes wait for the switch";
  const old = move.processes_with_old_url;
  return old === 0 ? null : `done; ${counted(old, "process has", "processes have")} the old DATABASE_URL`;
}

function inWords({ open, possible, budget }) {
  if (open === null) return "No worker has reported its connections.";
  const bound = budget === null ? "no budget is set" : `the budget is ${count(budget)}`;
  return `${counted(open, "connection", "connections")} open, ${count(possible)} possible; ${bound}.`;
}

function used({ used_hours: hours, compute_hours: plan }) {
  return `${hours === null ? UNKNOWN : `${fine(hours)} h`} of ${fine(plan)} h`;
}
