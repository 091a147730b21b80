// How pages speak to /api/v1, as programs do. What is sent has a key of its own, so that it takes effect once, however often it
// is sent.

import { gettext } from "/static/texts.js";

const READ_MS = 15_000;
const TIMEOUT_MS = 60_000;
const UPLOAD_MS = 180_000;

// isFinal -- the same is refused again; otherwise it may be sent again.
export class Refused extends Error {
  constructor(words, isFinal) {
    super(words);
    this.isFinal = isFinal;
  }
}

let session = null;

// Of a page that hears it anyway.
export function knowSession(actions) {
  session = actions;
}

// Who is signed in, and whether they may act.
export async function signedIn() {
  if (session === null) {
    const answer = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(READ_MS) });
    if (!answer.ok) throw new Refused(gettext("You are signed out. Open the page anew to sign in."), true);
    session = (await answer.json()).actions;
  }
  return session;
}

export async function get(path) {
  return said(await fetch(`/api/v1${path}`, { cache: "no-store", signal: AbortSignal.timeout(READ_MS) }));
}

// Raises Refused with the words of an answer; anything else is no answer, and the same may be sent again.
export async function post(path, body, key = null, timeoutMs = TIMEOUT_MS) {
  return send(`/api/v1${path}`, body, key ? { "Idempotency-Key": key } : {}, timeoutMs);
}

// What an operator orders on the status page; {id, action, target}.
export async function order(body, timeoutMs = TIMEOUT_MS) {
  return send("/actions", body, {}, timeoutMs);
}

async function send(url, body, more, timeoutMs) {
  const { csrf } = await signedIn();
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf ?? "", ...more };
  const signal = AbortSignal.timeout(timeoutMs);
  return said(await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

async function said(answer) {
  const body = await answer.json();
  if (answer.ok) return body;
  throw new Refused(body.detail ?? body.title ?? body.error, answer.status < 500);
}

// Of what was sent.
export function whatWentWrong(error) {
  if (error instanceof Refused) return gettext("Refused: {why}", { why: error.message });
  return gettext("No answer, so it is unknown whether it was done. Sending the same again is safe: it takes effect once.");
}

// Of what was only asked for.
export function whyNotRead(error) {
  return error instanceof Refused ? error.message : gettext("No answer. Try again.");
}

// Has the bot send a file to one admin, which makes Telegram know it.
export async function upload(file, type, telegramId, key) {
  const { csrf } = await signedIn();
  const headers = { "Content-Type": "application/octet-stream", "X-CSRF-Token": csrf ?? "", "Idempotency-Key": key };
  const asked = new URLSearchParams({ type, telegram_id: telegramId, name: file.name });
  const signal = AbortSignal.timeout(UPLOAD_MS);
  return said(await fetch(`/api/v1/broadcasts/media?${asked}`, { method: "POST", headers, body: file, signal }));
}
