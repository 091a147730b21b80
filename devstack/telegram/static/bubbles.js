// One message as an element.

import { renderText, safeAddress } from "/static/text.js";

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

export function dayOf(seen) {
  return DAY.format(new Date(seen.date * 1000));
}

export function messageElement(seen, { userId, inGroup, onCommand, onPress, onOwnLink }) {
  const message = seen.message;
  const element = document.createElement("article");
  element.dataset.testid = "message";
  element.dataset.messageId = seen.message_id;
  element.dataset.sender = seen.from_bot ? "bot" : message.from.id;
  const service = serviceText(message);
  if (service) {
    element.className = "service";
    element.textContent = service;
    return element;
  }
  const mine = !seen.from_bot && message.from.id === userId;
  element.className = `message ${mine ? "mine" : "theirs"}`;
  const bubble = document.createElement("div");
  bubble.className = "bubble";
  if (inGroup && !mine) bubble.append(make("span", "sender", message.from.first_name));
  if (message.reply_to_message && !message.reply_to_message.forum_topic_created) bubble.append(make("span", "quote", excerpt(message.reply_to_message)));
  if (message.photo) bubble.append(picture(message.photo.at(-1)));
  if (message.video) bubble.append(documentLink(message.video));
  if (message.document) bubble.append(documentLink(message.document));
  const isNamed = message.invoice || message.location || message.contact;
  const text = message.text ?? message.caption ?? (isNamed ? excerpt(message) : undefined);
  const when = `${seen.edits && message.edit_date && message.text ? "edited " : ""}${TIME.format(new Date(seen.date * 1000))}`;
  if (text) {
    const words = make("div", "text");
    words.dataset.testid = "message-text";
    // Room for the time at the end of the last line, so that it never covers a word.
    words.style.setProperty("--meta-width", `${when.length * 6.6 + 14}px`);
    words.append(renderText(text, message.entities ?? message.caption_entities ?? [], onCommand));
    bubble.append(words);
  }
  bubble.append(make("span", "meta", when));
  element.append(bubble);
  if (message.reply_markup?.inline_keyboard) {
    element.classList.add("has-keyboard");
    element.append(inlineKeyboard(seen, message.reply_markup.inline_keyboard, onPress, onOwnLink));
  }
  return element;
}

function inlineKeyboard(seen, rows, onPress, onOwnLink) {
  const keyboard = make("div", "inline-keyboard");
  for (const row of rows) {
    const line = make("div", "inline-row");
    for (const button of row) line.append(inlineButton(seen, button, onPress, onOwnLink));
    keyboard.append(line);
  }
  return keyboard;
}

function inlineButton(seen, button, onPress, onOwnLink) {
  const address = button.url ? safeAddress(button.url) : null;
  const element = make(address ? "a" : "button", "inline-button", button.text);
  element.dataset.testid = "inline-button";
  element.title = button.text;
  if (address) {
    element.href = address;
    element.target = "_blank";
    element.rel = "noopener noreferrer";
    element.addEventListener("click", (event) => { if (onOwnLink(address)) event.preventDefault(); });
  } else {
    element.type = "button";
    element.disabled = button.callback_data === undefined;
    element.addEventListener("click", () => onPress(seen, button, element));
  }
  return element;
}

function picture(size) {
  const image = make("img", "picture");
  image.src = `/control/files/${encodeURIComponent(size.file_id)}`;
  image.width = size.width;
  image.height = size.height;
  image.alt = "Photo";
  return image;
}

function documentLink(file) {
  const link = make("a", "document", `📎 ${file.file_name}`);
  link.href = `/control/files/${encodeURIComponent(file.file_id)}`;
  link.download = file.file_name;
  return link;
}

function serviceText(message) {
  if (message.migrate_to_chat_id) return "This group was upgraded to a supergroup";
  if (message.forum_topic_created) return `Topic “${message.forum_topic_created.name}” was created`;
  if (message.migrate_from_chat_id) return "This supergroup was a group before";
  return null;
}

function excerpt(message) {
  const kinds = { photo: "Photo", video: "Video", location: "Location", contact: "Contact" };
  const kind = Object.keys(kinds).find((name) => message[name]);
  return message.text ?? message.caption ?? message.invoice?.title ?? kinds[kind] ?? "Document";
}

export function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
