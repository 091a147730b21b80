// The last hours' probes as a chart, and the same in a sentence. uPlot draws the line; failures are crosses on the floor.

/* global uPlot */

import { $, write } from "/static/dom.js";
import { gettext, ngettext } from "/static/texts.js";
import { ago, at, DATES, duration, milliseconds, older, reason } from "/static/words.js";

const LATENCY_MS_MIN = 5;
const CROSS = 3.5;
const CROSSES_APART = 9;
// So much longer than usual between two probes, and the line is broken: nobody looked meanwhile.
const PAUSE_FACTOR = 4;
// As many as Redis keeps.
const PROBES_MAX = 720;
// Its time comes by two ways, which do not agree to the last digit.
const SAME_PROBE_SECONDS = 0.25;

const SECOND = 1;
const MINUTE = 60;
const HOUR = 3600;
const STEPS = [SECOND, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];

const DATE = new Intl.DateTimeFormat(DATES, { day: "numeric", month: "short" });
const CLOCK = new Intl.DateTimeFormat(DATES, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS_CLOCK = new Intl.DateTimeFormat(DATES, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// Of times that are so many seconds apart.
function times(ticks, step) {
  const format = step >= 24 * HOUR ? DATE : step >= MINUTE ? CLOCK : SECONDS_CLOCK;
  return ticks.map((tick) => format.format(new Date(1000 * tick)));
}

export class ProbeChart {
  constructor(place) {
    this.place = place;
    this.known = [];
    this.probes = [];
    this.outages = [];
    this.now = 0;
    this.slow = null;
    this.plot = null;
    // Of no size while its card is folded.
    new ResizeObserver(() => this.#resized()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot?.redraw());
    place.addEventListener("keydown", (event) => this.#key(event));
  }

  // uPlot is fetched once its card is open.
  async #resized() {
    if (!this.place.clientWidth) return;
    if (this.plot) this.plot.setSize({ width: this.place.clientWidth, height: this.place.clientHeight });
    else {
      await (this.fetched ??= fetched("/static/uplot/uPlot.iife.min.js"));
      this.#plot();
    }
  }

  // The list comes seldom; a probe that came since is in the figures themselves.
  draw(probes) {
    const listed = probes.map(([time, ok, by, latency, kind]) => ({ at: time, ok, latency: ok ? latency : null, kind }));
    const newest = listed.at(-1)?.at ?? -Infinity;
    this.known = [...listed, ...this.known.filter((probe) => probe.at > newest + SAME_PROBE_SECONDS)];
    this.#plot();
  }

  #add({ database, now }) {
    if (database.probe_age_seconds === null) return;
    const { latency_ms: latency, probe_age_seconds: age, probe_kind: kind, probe_ok: ok } = database;
    const time = now - age;
    if (time <= (this.known.at(-1)?.at ?? -Infinity) + SAME_PROBE_SECONDS) return;
    this.known = [...this.known.slice(1 - PROBES_MAX), { at: time, ok, latency: ok ? latency : null, kind }];
    this.#plot();
  }

  #plot() {
    this.probes = withPauses(this.known);
    const data = [this.probes.map((probe) => probe.at), this.probes.map((probe) => probe.latency)];
    if (this.plot) this.plot.setData(data);
    else if (this.probes.length && this.place.clientWidth && window.uPlot) this.plot = new uPlot(this.#options(), data, this.place);
  }

  show(status, elapsed) {
    const isNews = JSON.stringify(this.outages) !== JSON.stringify(status.outages);
    this.outages = status.outages;
    this.now = status.now + elapsed;
    this.slow = status.database.slow_ms;
    write($("chart-slow"), gettext("slow from {latency}", { latency: milliseconds(this.slow) }));
    this.#add(status);
    // One that is on grows with time.
    if (this.plot && (isNews || this.outages.some((outage) => outage.ended_at === null))) this.#plot();
    const { probe_age_seconds: age } = status.database;
    write($("probe-age"), age === null ? gettext("no probe yet") : gettext("probed {when}", { when: ago(older(age, elapsed)) }));
    write($("probes-summary"), summary(this.known, this.outages, this.now));
  }

  #options() {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.place.clientWidth,
      height: this.place.clientHeight,
      padding: [10, 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { range: (_, first, last) => [first, this.#lastTime(last)] }, y: { range: (_, __, most) => [0, Math.max(LATENCY_MS_MIN, (most ?? 0) * 1.15)] } },
      axes: [
        { ...axis, values: (_, ticks, __, ___, step) => times(ticks, step), incrs: STEPS, size: 30, space: 70 },
        { ...axis, values: (_, ticks) => ticks.map(milliseconds), size: 62, space: 36 },
      ],
      series: [
        {},
        { stroke: () => colour("--chart"), fill: () => colour("--chart-area"), width: 1.75, points: { size: 5, fill: () => colour("--chart") } },
      ],
      hooks: { drawClear: [(plot) => this.#shadeOutages(plot)], draw: [(plot) => this.#drawSlow(plot), (plot) => this.#drawFailures(plot)], setCursor: [(plot) => this.#readOut(plot.cursor.idx)] },
    };
  }

  // While an outage is on the chart reaches to now, for the next scheduled probe may be a minute away.
  #lastTime(last) {
    return this.outages.some((outage) => outage.ended_at === null) ? Math.max(last, this.now) : last;
  }

  #shadeOutages(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = colour("--outage");
    for (const { began_at: began, ended_at: ended } of this.outages) {
      const left = Math.max(bbox.left, plot.valToPos(began, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(ended ?? this.now, "x", true));
      if (right >= bbox.left && left <= bbox.left + bbox.width) {
        ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * devicePixelRatio), bbox.height);
      }
    }
    ctx.restore();
  }

  // Where an answer counts as slow; most charts end far below.
  #drawSlow(plot) {
    const { ctx, bbox } = plot;
    const y = plot.valToPos(this.slow, "y", true);
    if (y < bbox.top) return;
    ctx.save();
    ctx.strokeStyle = colour("--failed");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  #drawFailures(plot) {
    const { ctx, bbox } = plot;
    const pixel = devicePixelRatio;
    const floor = bbox.top + bbox.height - 8 * pixel;
    let last = -Infinity;
    ctx.save();
    ctx.strokeStyle = colour("--failed");
    ctx.lineWidth = 2 * pixel;
    for (const probe of this.probes) {
      if (probe.ok || probe.isPause) continue;
      const x = plot.valToPos(probe.at, "x", true);
      if (x - last < CROSSES_APART * pixel) continue;
      last = x;
      const arm = CROSS * pixel;
      ctx.beginPath();
      ctx.moveTo(x - arm, floor - arm);
      ctx.lineTo(x + arm, floor + arm);
      ctx.moveTo(x + arm, floor - arm);
      ctx.lineTo(x - arm, floor + arm);
      ctx.stroke();
    }
    ctx.restore();
  }

  #readOut(index) {
    const probe = this.probes[index];
    write($("probe-readout"), probe && !probe.isPause ? gettext("{time}: {result}", { time: at(probe.at, Date.now() / 1000), result: inWords(probe) }) : "");
  }

  #key(event) {
    const last = this.probes.length - 1;
    const now = this.plot?.cursor.idx ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (!this.plot || next === undefined) return;
    event.preventDefault();
    const probe = this.probes[Math.max(0, Math.min(last, next))];
    this.plot.setCursor({ left: this.plot.valToPos(probe.at, "x"), top: 0 });
  }
}

function fetched(script) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement("script"), { src: script, onload: resolve, onerror: reject });
    document.head.append(element);
  });
}

function withPauses(probes) {
  const usual = middle(probes.slice(1).map((probe, index) => probe.at - probes[index].at)) ?? 0;
  return probes.flatMap((probe, index) => {
    const before = probes[index - 1];
    if (!before || probe.at - before.at <= PAUSE_FACTOR * Math.max(usual, 1)) return [probe];
    return [{ at: before.at + usual, ok: false, latency: null, isPause: true }, probe];
  });
}

function summary(probes, outages, now) {
  if (!probes.length) return gettext("No probe yet. One runs every HEALTH_PROBE_SECONDS.");
  const latencies = probes.flatMap((probe) => (probe.latency === null ? [] : [probe.latency]));
  const speed = latencies.length
    ? gettext("Median {median}, slowest {slowest}.", { median: milliseconds(middle(latencies)), slowest: milliseconds(Math.max(...latencies)) })
    : "";
  return [...counts(probes, now), speed, ofTheBreaker(outages, probes[0].at)].filter(Boolean).join(" ");
}

function counts(probes, now) {
  const span = { duration: duration(now - probes[0].at) };
  const failed = probes.filter((probe) => !probe.ok);
  const last = failed.at(-1);
  if (!last) return [ngettext("{count} probe in {duration}, none failed.", "{count} probes in {duration}, none failed.", probes.length, span)];
  return [
    ngettext("{count} probe in {duration}.", "{count} probes in {duration}.", probes.length, span),
    ngettext("{count} failed, the last {ago} ({reason}).", "{count} failed, the last {ago} ({reason}).", failed.length, {
      ago: ago(now - last.at), reason: why(last),
    }),
  ];
}

// In an outage the breaker probes by itself, far more often than the schedule.
function ofTheBreaker(outages, since) {
  const shown = outages.filter((outage) => (outage.ended_at ?? Infinity) >= since);
  const failed = shown.reduce((sum, outage) => sum + outage.failed_probes, 0);
  return failed ? ngettext("The breaker's own probes failed {count} time.", "The breaker's own probes failed {count} times.", failed) : "";
}

function inWords(probe) {
  if (!probe.ok) return gettext("failed, {reason}", { reason: why(probe) });
  return probe.latency === null ? gettext("reachable, not woken") : milliseconds(probe.latency);
}

function why({ kind }) {
  return kind === null ? gettext("no reason known") : reason(kind);
}

function middle(values) {
  return values.length ? [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] : null;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
