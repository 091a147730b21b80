// The status page: asks, and shows what came in every section. All ages grow by the second, whatever comes.

import { Actions } from "/static/actions.js";
import { Acts } from "/static/acts.js";
import { showBooks } from "/static/books.js";
import { showBreaker } from "/static/breaker.js";
import { showBroadcasts } from "/static/broadcasts.js";
import { showDeadLetters } from "/static/dead-letters.js";
import { $, write } from "/static/dom.js";
import { showLedger } from "/static/ledger.js";
import { lookUpByReference } from "/static/lookup.js";
import { Operators } from "/static/operators.js";
import { showOutages } from "/static/outages.js";
import { People } from "/static/people.js";
import { Poller } from "/static/poller.js";
import { ProbeChart } from "/static/probes.js";
import { showQueues } from "/static/queues.js";
import { showServer } from "/static/server.js";
import { showStars } from "/static/stars.js";
import { showSignals } from "/static/signals.js";
import { showFreshness, showVerdict } from "/static/verdict.js";
import { zone } from "/static/words.js";
import { showWorkers } from "/static/workers.js";

const STATUS_MS = 2_000;
const PROBES_MS = 30_000;
const TICK_MS = 1_000;

const SECTIONS = [
  showSignals, showBreaker, showQueues, showWorkers, showServer, showDeadLetters, showOutages, showBroadcasts, showBooks, showLedger, showStars,
];

const figures = new Poller("/status.json", STATUS_MS, show);
const probes = new Poller("/status/probes.json", PROBES_MS, () => { if (probes.answer) chart.draw(probes.answer.probes); });
const chart = new ProbeChart($("chart"));
const actions = new Actions($("confirm"), () => figures.ask());
const people = new People();
const acts = new Acts($("act"), people);
const operators = new Operators();

function show() {
  const status = figures.answer;
  const { elapsed } = figures;
  showVerdict(figures);
  showFreshness(figures);
  if (!status) return;
  for (const section of SECTIONS) section(status, elapsed);
  actions.show(status.actions);
  acts.csrf = status.actions.csrf;
  operators.show(status.actions);
  chart.show(status, elapsed);
  write($("version"), `Ballast ${status.version}. `);
  document.body.dataset.redis = status.redis.ok ? "ok" : "away";
  document.body.dataset.ready = "yes";
}

lookUpByReference();
write($("zone"), zone());
setInterval(show, TICK_MS);
figures.ask();
probes.ask();
