// How pages speak to /api/v1, as programs do. What is sent has a key of its own, so that it takes effect once, however often it
// is sent.

const TIMEOUT_MS = 60_000;
const UPLOAD_MS = 180_000;

export class Refused extends Error {}

let session = null;

// Who is signed in, and whether they may act.
export async function signedIn() {
  if (session === null) {
    const answer = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Refused("You are signed out. Open the page anew to sign in.");
    session = (await answer.json()).actions;
  }
  return session;
}

export async function get(path) {
  return said(await fetch(`/api/v1${path}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) }));
}

// Raises Refused with words for what was refused; anything else is no answer, and the same may be sent again.
export async function post(path, body, key = null) {
  const { csrf } = await signedIn();
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf ?? "", ...(key && { "Idempotency-Key": key }) };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return said(await fetch(`/api/v1${path}`, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

async function said(answer) {
  const body = await answer.json();
  if (answer.ok) return body;
  const words = body.detail ?? body.title ?? body.error;
  throw answer.status < 500 ? new Refused(words) : new Error(words);
}

export function whatWentWrong(error) {
  if (error instanceof Refused) return `Refused: ${error.message}`;
  return "No answer, so it is unknown whether it was done. Sending the same again is safe: it takes effect once.";
}

// Has the bot send a file to one admin, which makes Telegram know it.
export async function upload(file, type, telegramId, key) {
  const { csrf } = await signedIn();
  const headers = { "Content-Type": "application/octet-stream", "X-CSRF-Token": csrf ?? "", "Idempotency-Key": key };
  const asked = new URLSearchParams({ type, telegram_id: telegramId, name: file.name });
  const signal = AbortSignal.timeout(UPLOAD_MS);
  return said(await fetch(`/api/v1/broadcasts/media?${asked}`, { method: "POST", headers, body: file, signal }));
}
