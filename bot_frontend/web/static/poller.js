// Asks for one address again and again, and remembers what it last heard and since when it hears nothing.

const TIMEOUT_MS = 5_000;
const HIDDEN_MS = 20_000;
const BACK_OFF_MS_MAX = 10_000;

export class SignedOut extends Error {}

export class Poller {
  constructor(path, everyMs, onChange) {
    Object.assign(this, { path, everyMs, onChange });
    this.answer = null;
    this.heardAt = null;
    this.failures = 0;
    this.isSignedOut = false;
    this.asking = false;
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.ask(); });
  }

  // Seconds since the last answer came; it is of the moment before.
  get elapsed() {
    return this.heardAt === null ? 0 : (performance.now() - this.heardAt) / 1000;
  }

  get waitMs() {
    if (document.hidden) return Math.max(HIDDEN_MS, this.everyMs);
    return this.failures ? Math.min(BACK_OFF_MS_MAX, 1000 * 2 ** Math.min(this.failures, 4)) : this.everyMs;
  }

  async ask() {
    if (this.asking) return;
    this.asking = true;
    clearTimeout(this.timer);
    try {
      this.answer = await fetchJson(this.path);
      this.heardAt = performance.now();
      this.failures = 0;
      this.isSignedOut = false;
    } catch (error) {
      this.failures += 1;
      this.isSignedOut = error instanceof SignedOut;
    }
    this.asking = false;
    this.timer = setTimeout(() => this.ask(), this.waitMs);
    this.onChange();
  }
}

async function fetchJson(path) {
  const response = await fetch(path, {
    cache: "no-store",
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 401) throw new SignedOut();
  if (!response.ok) throw new Error(`The frontend said ${response.status}`);
  return response.json();
}
