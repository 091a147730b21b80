// The status page: listens, and shows what came in every section. All ages grow by the second, whatever comes.

import { Approvals } from "/static/approvals.js";
import { Actions } from "/static/actions.js";
import { Acts } from "/static/acts.js";
import { knowSession } from "/static/api.js";
import { Question } from "/static/ask.js";
import { showBooks } from "/static/books.js";
import { showBreaker } from "/static/breaker.js";
import { showBroadcasts } from "/static/broadcasts.js";
import { Cards } from "/static/cards.js";
import { showDeadLetters } from "/static/dead-letters.js";
import { $, write } from "/static/dom.js";
import { showLedger } from "/static/ledger.js";
import { showLinks } from "/static/links.js";
import { Lists } from "/static/lists.js";
import { lookUpByReference } from "/static/lookup.js";
import { Operators } from "/static/operators.js";
import { showOutages } from "/static/outages.js";
import { People } from "/static/people.js";
import { ProbeChart } from "/static/probes.js";
import { showPayouts } from "/static/payouts.js";
import { showProviders } from "/static/providers.js";
import { showQueues } from "/static/queues.js";
import { showServer } from "/static/server.js";
import { showStars } from "/static/stars.js";
import { showSignals } from "/static/signals.js";
import { Stream } from "/static/stream.js";
import { showFreshness, showVerdict } from "/static/verdict.js";
import { zone } from "/static/words.js";
import { showWorkers } from "/static/workers.js";

const PROBES_MS_MAX = 10_000;
const TICK_MS = 1_000;

const SECTIONS = [
  showSignals, showBreaker, showQueues, showWorkers, showLinks, showServer, showDeadLetters, showOutages, showBroadcasts, showBooks, showLedger,
  showPayouts, showProviders, showStars,
];

const figures = new Stream("/status/stream", show, drawProbes);
const chart = new ProbeChart($("chart"));
const cards = new Cards(document.querySelector(".grid"));
const actions = new Actions(new Question($("confirm")));
const people = new People();
const approvals = new Approvals();
new Acts($("act"), people, approvals);
const operators = new Operators();

function show() {
  const status = figures.answer;
  const { elapsed } = figures;
  showVerdict(figures);
  showFreshness(figures);
  if (!status) return;
  cards.show([...SECTIONS.flatMap((section) => section(status, elapsed) ?? []), ...approvals.show(status)]);
  knowSession(status.actions);
  actions.show(status);
  operators.show(status.actions);
  chart.show(status, elapsed);
  write($("version"), `Ballast ${status.version}. `);
  document.body.dataset.redis = status.redis.ok ? "ok" : "away";
  document.body.dataset.ready = "yes";
}

// The last hours', once: what comes later is in the figures.
async function drawProbes() {
  try {
    const answer = await fetch("/status/probes.json", { cache: "no-store", signal: AbortSignal.timeout(PROBES_MS_MAX) });
    if (answer.ok) chart.draw((await answer.json()).probes);
  } catch { /* The stream fails likewise, and says so. */ }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) drawProbes(); });
new Lists();
lookUpByReference();
write($("zone"), zone());
setInterval(show, TICK_MS);
figures.connect();
