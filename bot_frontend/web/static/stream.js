// What a page shows, as the frontend sends it: events with the parts that changed. It connects again by itself, and knows since
// when it has heard nothing.

import { gettext } from "/static/texts.js";

const SILENT_MS = 10_000;
const BACK_OFF_MS_MAX = 10_000;
const STALE_SECONDS = 5;
// One answer that does not come is a hiccup, not news.
const FAILURES_TO_BE_LOST = 2;

export class SignedOut extends Error {}

export class Stream {
  // onConnect -- called each time that it begins anew, before anything is heard.
  constructor(path, onChange, onConnect = () => {}) {
    Object.assign(this, { path, onChange, onConnect });
    this.answer = null;
    this.heardAt = null;
    this.failures = 0;
    this.isSignedOut = false;
    this.isOpen = false;
    this.retryMs = null;
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.elapsed > STALE_SECONDS) this.connect(); });
    addEventListener("online", () => this.connect());
  }

  // Seconds since something was heard; it is of the moment before.
  get elapsed() {
    return this.heardAt === null ? 0 : (performance.now() - this.heardAt) / 1000;
  }

  get isLost() {
    return this.failures >= FAILURES_TO_BE_LOST || this.isSignedOut;
  }

  get isLive() {
    return this.isOpen && this.elapsed < STALE_SECONDS;
  }

  // How fresh what is shown can be, in words.
  get contact() {
    if (this.isLost) return gettext("Not connected");
    if (this.isLive) return gettext("Live");
    return this.retryMs && !this.failures ? gettext("Every {seconds} s", { seconds: this.retryMs / 1000 }) : gettext("Connecting…");
  }

  // goesOn -- the frontend ended a stream in order, to look anew at who asks.
  async connect({ goesOn = false } = {}) {
    clearTimeout(this.timer);
    this.controller?.abort();
    const controller = (this.controller = new AbortController());
    if (!goesOn) this.onConnect();
    try {
      await this.#listen(controller);
      if (controller !== this.controller) return;
      if (this.retryMs === null) this.timer = setTimeout(() => this.connect({ goesOn: true }), 0);
      else this.#again(this.retryMs);
    } catch (error) {
      if (controller !== this.controller) return;
      this.failures += 1;
      this.isSignedOut = error instanceof SignedOut;
      // Not all pages at once: they lost the frontend at the same moment.
      this.#again(Math.min(BACK_OFF_MS_MAX, 1000 * 2 ** Math.min(this.failures - 1, 4)) * (0.5 + Math.random() / 2));
    } finally {
      clearTimeout(this.watchdog);
      controller.abort();
    }
  }

  #again(afterMs) {
    this.isOpen = false;
    this.timer = setTimeout(() => this.connect(), afterMs);
    this.onChange();
  }

  async #listen(controller) {
    this.retryMs = null;
    this.#expectMore(controller);
    const response = await fetch(this.path, { cache: "no-store", headers: { Accept: "text/event-stream" }, signal: controller.signal });
    if (response.status === 401) throw new SignedOut();
    if (!response.ok) throw new Error(`The frontend said ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let isFirst = true; ;) {
      const { value, done } = await reader.read();
      if (done && isFirst) throw new Error("The frontend said nothing");
      if (done) return;
      this.#expectMore(controller);
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        this.#take(event, isFirst);
        isFirst = false;
      }
    }
  }

  #expectMore(controller) {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => controller.abort(), SILENT_MS);
  }

  #take(event, isFirst) {
    for (const line of event.split("\n")) {
      if (line.startsWith("retry: ")) this.retryMs = Number(line.slice(7));
      if (!line.startsWith("data: ")) continue;
      const parts = JSON.parse(line.slice(6));
      this.answer = isFirst ? parts : { ...this.answer, ...parts };
    }
    Object.assign(this, { heardAt: performance.now(), failures: 0, isSignedOut: false, isOpen: true });
    this.onChange();
  }
}
