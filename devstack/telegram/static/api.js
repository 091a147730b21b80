// The control API, as this page uses it.

export class Refused extends Error {}

export async function ask(method, path, body) {
  const options = { method };
  if (method !== "GET") {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body ?? {});
  }
  const response = await fetch(`/control${path}`, options);
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.error ?? `The server said ${response.status}`);
  return answer;
}

// Calls onEvent for each event, onOpen after every (re)connection. Returns a function that stops.
export function listen(userId, chatId, { onEvent, onOpen, onLost }) {
  const source = new EventSource(`/control/events?user_id=${userId}&chat_id=${chatId}`);
  source.onopen = onOpen;
  source.onerror = onLost;
  source.onmessage = (message) => onEvent(JSON.parse(message.data));
  return () => source.close();
}
