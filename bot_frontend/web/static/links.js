// What Ballast speaks to beside the database: Redis, which holds all jobs, and Telegram.

import { $, write } from "/static/dom.js";
import { ago, count, older, plain } from "/static/words.js";

export function showLinks({ redis, telegram, age_seconds: age }, elapsed) {
  write($("links-redis"), redis.ok ? "answers" : redis.error ?? "no answer");
  write($("links-troubles"), redis.troubles.map(plain).join(", ") || "none");
  write($("links-mode"), telegram.mode ?? "not connected yet");
  write($("links-telegram"), telegram.ok === null ? "nothing heard yet" : telegram.ok ? "connected" : telegram.error);
  write($("links-heard"), ago(older(telegram.age_seconds, elapsed)));
  write($("links-pending"), telegram.pending === null ? "not known" : count(telegram.pending));
  write($("links-age"), ago(older(age, elapsed)));
}
