// The page: who one is, in which chat, and what happens there.

import { ask, listen, Refused } from "/static/api.js";
import { make } from "/static/bubbles.js";
import { Composer } from "/static/composer.js";
import { Conversation, GENERAL } from "/static/conversation.js";
import { fullName, People } from "/static/people.js";

const TYPING_MS = 5000; // as long as Telegram shows an action
const BUSY_MS = 15000; // as long as a press may wait for its answer
const TOAST_MS = 4000;
const HISTORY = 300;

const $ = (id) => document.getElementById(id);
const state = { bot: null, userId: null, chatId: null, threadId: null, unasked: null, startWord: null, chats: [], connected: false, typing: null };
const presses = new Map();
let stopListening = () => {};
let typingTimer;
let toastTimer;

const conversation = new Conversation({
  scroller: $("scroller"),
  list: $("messages"),
  newer: $("newer"),
  onCommand: (text) => write(text),
  onPress: (seen, button, element) => press(seen, button, element),
  onOwnLink: (address) => followOwnLink(address),
});
const composer = new Composer({
  form: $("composer"),
  field: $("text"),
  send: $("send"),
  menu: $("menu"),
  suggestions: $("suggestions"),
  onSend: (text) => write(text),
});
const people = new People({ list: $("people"), dialog: $("person-dialog"), onChoose: (id) => { closeSidebar(); choose(id); } });

async function guarded(action) {
  try {
    return await action();
  } catch (error) {
    toast(error instanceof Refused ? error.message : "The local Telegram does not answer", true);
    return null;
  }
}

async function choose(userId, chatId = userId, threadId = null) {
  Object.assign(state, { userId, chatId, threadId, startWord: null, connected: false, typing: null });
  const topic = threadId === null ? "" : `&topic=${threadId}`;
  history.replaceState(null, "", `#user=${userId}${chatId === userId ? "" : `&chat=${chatId}`}${topic}`);
  composer.open();
  people.show(userId);
  conversation.open(userId, chatId, threadId);
  stopListening();
  stopListening = listen(userId, chatId, {
    onEvent,
    onOpen: () => { state.connected = true; guarded(reload); },
    onLost: () => { state.connected = false; showHead(); },
  });
  showHead();
  if (matchMedia("(hover: hover)").matches) $("text").focus({ preventScroll: true });
}

async function reload() {
  const { userId, chatId } = state;
  const [{ chats }, { messages, as_of_revision: asOf }] = await Promise.all([
    ask("GET", `/chats?user_id=${userId}`),
    ask("GET", `/messages?chat_id=${chatId}&latest=true&limit=${HISTORY}`),
    loadCommands(),
  ]);
  if (userId !== state.userId || chatId !== state.chatId) return; // someone else was chosen meanwhile
  state.chats = chats;
  conversation.load(messages, asOf);
  showAll();
}

async function loadCommands() {
  const { userId, chatId } = state;
  const { commands } = await ask("GET", `/commands?user_id=${userId}&chat_id=${chatId}`);
  if (userId === state.userId && chatId === state.chatId) composer.offer(commands);
}

function onEvent(event) {
  if (event.kind === "message") {
    if (event.message.from_bot) state.typing = null;
    conversation.put(event.message);
    showAll();
  } else if (event.kind === "chat_action") {
    state.typing = event.action;
    clearTimeout(typingTimer);
    typingTimer = setTimeout(() => { state.typing = null; showHead(); }, TYPING_MS);
    showHead();
  } else if (event.kind === "callback_answer") {
    showAnswer(event.query);
  } else if (event.kind === "commands") {
    guarded(loadCommands);
  } else if (event.kind === "users") {
    guarded(() => people.load());
  } else if (event.kind === "chats") {
    guarded(reload);
  } else if (event.kind === "reset") {
    location.reload();
  }
}

async function write(text) {
  const body = { user_id: state.userId, chat_id: state.chatId, text };
  if (state.threadId !== null && state.threadId !== GENERAL) body.thread_id = state.threadId;
  const question = openQuestion();
  if (question) body.reply_to_message_id = question.message_id;
  const sent = await guarded(() => ask("POST", "/messages", body));
  if (sent) conversation.put(sent.message);
  else if (!$("text").value) $("text").value = text;
  showAll();
}

// The bot's question that what is written next is a reply to.
function openQuestion() {
  const question = conversation.question;
  return question?.message_id === state.unasked ? null : question;
}

// A link to the bot's own chat stays on this page. Its word is what Start would send.
function followOwnLink(address) {
  const url = new URL(address);
  if (url.host !== "t.me" || url.pathname !== `/${state.bot.username}`) return false;
  const word = url.searchParams.get("start");
  const started = state.chats.find((chat) => chat.id === state.userId)?.bot_status === "member";
  choose(state.userId).then(() => {
    state.startWord = word;
    if (word && started) write(`/start ${word}`);
  });
  return true;
}

async function press(seen, button, element) {
  element.setAttribute("aria-busy", "true");
  const pressed = await guarded(() =>
    ask("POST", "/presses", {
      user_id: state.userId,
      chat_id: seen.chat_id,
      message_id: seen.message_id,
      callback_data: button.callback_data,
    }),
  );
  if (!pressed) return element.removeAttribute("aria-busy");
  const id = pressed.presses[0].callback_query_id;
  const done = () => { element.removeAttribute("aria-busy"); presses.delete(id); };
  presses.set(id, done);
  setTimeout(done, BUSY_MS);
}

function showAnswer(query) {
  presses.get(query.id)?.();
  const { text, show_alert: isAlert } = query.answer;
  if (!text) return;
  if (!isAlert) return toast(text);
  $("alert-text").textContent = text;
  if (!$("alert").open) $("alert").showModal();
}

function toast(text, bad = false) {
  $("toast").textContent = text;
  $("toast").classList.toggle("bad", bad);
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), TOAST_MS);
}

function currentChat() {
  return state.chats.find((chat) => chat.id === state.chatId);
}

function showAll() {
  showHead();
  showFoot();
  showReplyKeyboard();
  const question = openQuestion();
  $("reply").hidden = !question || $("composer").hidden;
  $("reply-text").textContent = question?.text ?? "";
}

function showHead() {
  const person = people.get(state.userId);
  const chat = currentChat();
  const inGroup = state.chatId < 0;
  $("chat-name").textContent = inGroup ? chat?.title ?? "…" : state.bot.first_name;
  document.title = person ? `${$("chat-name").textContent} · as ${fullName(person)}` : "Local Telegram";
  const typing = state.typing && (state.typing === "typing" ? "typing…" : "sending a file…");
  const as = person ? `as ${fullName(person)}${person.is_admin ? " · admin" : ""}` : "";
  $("status").textContent = !state.connected ? "connecting…" : typing ?? as;
  $("status").classList.toggle("busy", Boolean(typing) || !state.connected);
  $("chats").hidden = state.chats.flatMap(chatOptions).length < 2;
  $("chats").replaceChildren(
    ...state.chats.flatMap(chatOptions),
  );
  $("block").hidden = inGroup || !chat || chat.bot_status === "stranger";
  $("block").textContent = chat?.bot_status === "kicked" ? "Unblock" : "Block";
}

// One for the chat, or one for each of its topics.
function chatOptions(chat) {
  const name = chat.id > 0 ? state.bot.first_name : chat.title;
  const here = chat.id === state.chatId;
  if (!chat.topics?.length) return [new Option(name, chat.id, false, here)];
  return chat.topics.map((topic) =>
    new Option(`${name} · ${topic.name}${topic.closed ? " (closed)" : ""}`, `${chat.id}:${topic.thread_id}`, false, here && topic.thread_id === (state.threadId ?? GENERAL)),
  );
}

function showFoot() {
  const status = state.chatId > 0 ? currentChat()?.bot_status : "member";
  const closed = status === "stranger" || status === "kicked";
  $("start").hidden = !closed;
  $("composer").hidden = closed;
  $("start").textContent = status === "kicked" ? "Restart" : "Start";
  $("empty").hidden = !(conversation.isEmpty && status === "stranger");
}

function showReplyKeyboard() {
  const rows = conversation.replyKeyboard;
  $("keyboard").hidden = !rows || $("composer").hidden;
  $("keyboard").replaceChildren(
    ...(rows ?? []).map((row) => {
      const line = make("div", "inline-row");
      for (const button of row) {
        const text = typeof button === "string" ? button : button.text;
        const element = make("button", "inline-button", text);
        element.type = "button";
        element.addEventListener("click", () => write(text));
        line.append(element);
      }
      return line;
    }),
  );
}

function closeSidebar() {
  if (!$("sidebar").classList.contains("open")) return;
  $("sidebar").classList.remove("open");
  $("sidebar-open").focus();
}

$("sidebar-open").addEventListener("click", () => {
  $("sidebar").classList.add("open");
  $("people").querySelector("[aria-current], button")?.focus();
});
$("sidebar-close").addEventListener("click", closeSidebar);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeSidebar(); });
document.querySelector("main").addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#sidebar-open")) closeSidebar();
});
$("start").addEventListener("click", () => write(state.startWord ? `/start ${state.startWord}` : "/start").then(() => $("text").focus()));
$("block").addEventListener("click", () => {
  const act = currentChat()?.bot_status === "kicked" ? "unblock" : "block";
  guarded(() => ask("POST", `/users/${state.userId}/${act}`));
});
$("chats").addEventListener("change", (event) => {
  const [chatId, threadId] = event.target.value.split(":").map(Number);
  choose(state.userId, chatId, threadId ?? null);
});
$("reply-cancel").addEventListener("click", () => { state.unasked = conversation.question?.message_id ?? null; showAll(); });
new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--foot-height", `${entry.target.offsetHeight}px`);
}).observe($("foot"));

await guarded(async () => {
  state.bot = (await ask("GET", "/health")).bot;
  await people.load();
  const wanted = new URLSearchParams(location.hash.slice(1));
  const userId = Number(wanted.get("user"));
  const person = people.get(userId) ?? people.all.find((each) => !each.is_admin) ?? people.all[0];
  if (person) choose(person.id, person.id === userId ? Number(wanted.get("chat")) || person.id : person.id, Number(wanted.get("topic")) || null);
});
