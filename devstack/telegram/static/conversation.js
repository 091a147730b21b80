// The list of messages: in order, edited in place, staying at the end while one reads the end.

import { dayOf, make, messageElement } from "/static/bubbles.js";

export const GENERAL = 1; // the topic whose messages carry no thread id
const NEAR_END_PIXELS = 80;

export class Conversation {
  constructor({ scroller, list, newer, onCommand, onPress, onOwnLink }) {
    this.scroller = scroller;
    this.list = list;
    this.newer = newer;
    this.callbacks = { onCommand, onPress, onOwnLink };
    this.seen = new Map();
    this.atEnd = true;
    scroller.addEventListener("scroll", () => this.#look());
    newer.addEventListener("click", () => this.toEnd());
    // Pictures, keyboards and a growing composer change heights: stay at the end through all of it.
    const observer = new ResizeObserver(() => this.atEnd && this.toEnd());
    observer.observe(list);
    observer.observe(scroller);
  }

  // threadId: the topic that is shown; null for all there is.
  open(userId, chatId, threadId) {
    Object.assign(this, { userId, chatId, threadId });
    this.seen.clear();
    this.list.replaceChildren();
    this.toEnd();
  }

  // After a (re)connection: what was there at a revision, all of it. Events may have been faster than this
  // answer, so what is newer than it stays.
  load(messages, asOfRevision) {
    const known = new Set(messages.map((message) => message.message_id));
    for (const [id, { revision }] of [...this.seen]) {
      if (!known.has(id) && revision <= asOfRevision) this.#remove(id);
    }
    for (const message of messages) this.put(message, false);
    if (this.atEnd) this.toEnd();
  }

  put(message, fresh = true) {
    if (message.chat_id !== this.chatId) return;
    if (this.threadId !== null && (message.message.message_thread_id ?? GENERAL) !== this.threadId) return;
    if (message.deleted) return this.#remove(message.message_id);
    const before = this.seen.get(message.message_id);
    if (before && before.revision >= message.revision) return;
    const element = messageElement(message, {
      userId: this.userId,
      inGroup: this.chatId < 0,
      ...this.callbacks,
    });
    this.seen.set(message.message_id, { revision: message.revision, message, element });
    if (before) {
      const focused = before.element.contains(document.activeElement);
      before.element.replaceWith(element);
      if (focused) (element.querySelector("button") ?? this.scroller).focus({ preventScroll: true });
    } else {
      if (fresh) element.classList.add("fresh");
      this.list.insertBefore(element, this.#after(message.message_id));
    }
    this.#group();
    if (this.atEnd || (fresh && element.classList.contains("mine") && !before)) this.toEnd();
    else if (!before) this.newer.hidden = false;
  }

  get isEmpty() {
    return this.seen.size === 0;
  }

  // The reply keyboard in force: that of the last message that had one to say.
  get replyKeyboard() {
    let keyboard = null;
    for (const { message } of [...this.seen.values()].sort((a, b) => a.message.message_id - b.message.message_id)) {
      if (message.keyboard?.keyboard) keyboard = message.keyboard.keyboard;
      else if (message.keyboard?.remove_keyboard) keyboard = null;
    }
    return keyboard;
  }

  // The question that this person is to reply to, unless they wrote since.
  get question() {
    let question = null;
    for (const { message } of [...this.seen.values()].sort((a, b) => a.message.message_id - b.message.message_id)) {
      const asked = message.message.reply_to_message?.from?.id;
      if (message.keyboard?.force_reply && (!message.keyboard.selective || asked === this.userId)) question = message;
      else if (!message.from_bot && message.message.from.id === this.userId) question = null;
    }
    return question;
  }

  toEnd() {
    this.atEnd = true;
    this.newer.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #remove(id) {
    this.seen.get(id)?.element.remove();
    this.seen.delete(id);
    this.#group();
  }

  #after(id) {
    let next = null;
    for (const [other, { element }] of this.seen) {
      if (other > id && element.isConnected && (next === null || other < next[0])) next = [other, element];
    }
    return next ? next[1] : null;
  }

  // Days between messages, and closer spacing for several of one sender.
  #group() {
    for (const day of this.list.querySelectorAll(".day")) day.remove();
    let before = null;
    const ordered = [...this.seen.values()].sort((a, b) => a.message.message_id - b.message.message_id);
    for (const { message, element } of ordered) {
      const newDay = !before || dayOf(before.message) !== dayOf(message);
      if (newDay) this.list.insertBefore(make("div", "day", dayOf(message)), element);
      element.classList.toggle("follows", !newDay && before.element.dataset.sender === element.dataset.sender);
      before = { message, element };
    }
  }

  #look() {
    const left = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
    this.atEnd = left < NEAR_END_PIXELS;
    if (this.atEnd) this.newer.hidden = true;
  }
}
