// What Ballast speaks to beside the database: Redis, which holds all jobs, and Telegram.

import { $, write } from "/static/dom.js";
import { gettext } from "/static/texts.js";
import { ago, count, older, redisTroubles } from "/static/words.js";

export function showLinks({ redis, telegram, age_seconds: age }, elapsed) {
  write($("links-redis"), redis.ok ? gettext("answers") : redis.error ?? gettext("no answer"));
  write($("links-troubles"), redisTroubles(redis.troubles) || gettext("none"));
  write($("links-mode"), telegram.mode ?? gettext("not connected yet"));
  write($("links-telegram"), telegram.ok === null ? gettext("nothing heard yet") : telegram.ok ? gettext("connected") : telegram.error);
  write($("links-heard"), ago(older(telegram.age_seconds, elapsed)));
  write($("links-pending"), telegram.pending === null ? gettext("not known") : count(telegram.pending));
  write($("links-age"), ago(older(age, elapsed)));
}
