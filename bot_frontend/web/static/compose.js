// Draws a broadcast up: what is written is shown as Telegram would, counted, tried out on an admin, and started.

import { uuid } from "/static/actions.js";
import { get, post, signedIn, upload, whatWentWrong } from "/static/api.js";
import { Question } from "/static/ask.js";
import { nowInWords } from "/static/broadcast-words.js";
import { composition, inFormsWords, Unreadable } from "/static/composition.js";
import { $, mark, write } from "/static/dom.js";
import { gettext, ngettext } from "/static/texts.js";
import { at, duration, zone } from "/static/words.js";

const TYPING_MS = 400;
const TEST_MS = 500;
const TEST_LOOKS = 120;

const form = $("compose");
const question = new Question($("confirm"));
let typing = null;
let shown = 0;
let draft = null; // what was saved last, and under which id

function pieces(bubble, found) {
  const spans = found.map(({ text, looks, url }) => {
    const span = document.createElement("span");
    span.textContent = text;
    span.className = looks.map((look) => `look-${look}`).join(" ");
    if (url) span.title = url;
    return span;
  });
  bubble.replaceChildren(...spans);
}

function keyboard(rows) {
  $("preview-buttons").hidden = rows.length === 0;
  $("preview-buttons").replaceChildren(...rows.flat().map(({ text }) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

function read() {
  const { elements } = form;
  $("failures-field").hidden = elements.canary_then.value !== "few";
  $("stars-field").hidden = !elements.paid.checked;
  return composition(form);
}

async function preview({ count = false } = {}) {
  clearTimeout(typing); // what was written last is in this one
  const turn = ++shown;
  try {
    const made = read();
    write($("preview-media"), made.media ? gettext("Above the text: {kind}", { kind: form.elements.media_type.selectedOptions[0].text }) : "");
    keyboard(made.buttons ?? []);
    if (!made.text && !made.media) {
      for (const bubble of [$("preview-text"), $("preview-other")]) bubble.replaceChildren();
      write($("wrong"), "");
      return null;
    }
    if (made.paid && made.stars_max === undefined) made.stars_max = 0; // asked for at the start
    const found = await post(`/broadcasts/preview?count=${count}`, made);
    if (turn !== shown) return null;
    pieces($("preview-text"), found.text);
    pieces($("preview-other"), found.other ?? []);
    write($("wrong"), "");
    if (count) write($("audience"), audience(found));
    return found;
  } catch (error) {
    if (turn === shown) write($("wrong"), inWords(error));
    return null;
  }
}

function inWords(error) {
  return error instanceof Unreadable ? error.message : inFormsWords(whatWentWrong(error));
}

function audience({ audience: people, seconds, stars }) {
  const cost = stars === null ? gettext("free") : ngettext("at most {count} Star", "at most {count} Stars", stars);
  return ngettext("{count} person now, about {duration}, {cost}.", "{count} people now, about {duration}, {cost}.", people, { duration: duration(seconds), cost });
}

// The id of a draft that says what the form says. One that said something else is cancelled, so that no drafts pile up.
async function saved() {
  const made = read();
  const content = JSON.stringify(made);
  if (draft?.content === content && draft.id) return draft.id;
  const before = draft;
  if (draft?.content !== content) draft = { content, key: uuid(), id: null };
  const { id } = await post("/broadcasts", made, draft.key);
  draft.id = id;
  if (before?.id) await post(`/broadcasts/${before.id}/cancel`, { reason: "Drawn up anew" }, `${before.key}-anew`);
  return id;
}

async function acted(act) {
  write($("said"), gettext("Sending…"));
  try {
    write($("said"), await act());
  } catch (error) {
    write($("said"), inWords(error));
  }
}

function tryOut() {
  const admin = Number($("admin").value);
  const key = uuid();
  return acted(async () => {
    const id = await saved();
    await post(`/broadcasts/${id}/test`, { telegram_id: admin }, key);
    write($("said"), gettext("Queued: the bot sends draft {id} to {admin} in a moment.", { id: String(id), admin: String(admin) }));
    return ended(id, admin);
  });
}

// What became of a test, in words.
async function ended(id, admin) {
  for (let looks = 0; looks < TEST_LOOKS; looks += 1) {
    const { items } = await get(`/broadcasts/${id}/tests`);
    const { sent, error } = items.find((each) => each.telegram_id === admin) ?? { sent: null };
    if (sent) return gettext("Draft {id} was sent to {admin}.", { id: String(id), admin: String(admin) });
    if (sent === false) return gettext("Draft {id} could not be sent to {admin}: {error}", { id: String(id), admin: String(admin), error });
    await new Promise((resolve) => { setTimeout(resolve, TEST_MS); });
  }
  return gettext("Draft {id} waits to be sent to {admin}: no worker has sent it yet.", { id: String(id), admin: String(admin) });
}

async function start() {
  const found = await preview({ count: true });
  if (found === null) return;
  const time = form.elements.scheduled_for.value;
  const begin = time
    ? gettext("It begins at {time}.", { time: at(Date.parse(time) / 1000, Date.now() / 1000) })
    : gettext("It begins immediately.");
  const key = uuid();
  question.ask($("start"), {
    title: ngettext("Send it to {count} person?", "Send it to {count} people?", found.audience),
    words: [audience(found), begin, gettext("Sending cannot be undone.")].join(" "),
    go: time ? gettext("Schedule") : gettext("Start"),
    act: async () => {
      const id = await saved();
      const { status } = await post(`/broadcasts/${id}/start`, {}, key);
      setTimeout(() => location.assign("/broadcasts"), 1_500);
      return nowInWords(id, status);
    },
  });
}

async function uploaded() {
  const [file] = form.elements.upload.files;
  if (!file) return;
  if (!form.elements.media_type.value) form.elements.media_type.value = kindOf(file.type);
  await acted(async () => {
    await ready; // an admin is to get it
    const { file_id: known } = await upload(file, form.elements.media_type.value, Number($("admin").value), uuid());
    form.elements.file_id.value = known;
    form.elements.upload.value = "";
    preview();
    return gettext("Telegram has the file.");
  });
}

function kindOf(type) {
  const [kind] = type.split("/");
  return { image: "photo", video: "video", audio: "audio" }[kind] ?? "document";
}

async function begin() {
  try {
    const { permitted, why_not: whyNot } = await signedIn();
    const allowed = permitted.includes("broadcast");
    mark(document.body, "data-acting", allowed ? "yes" : "no");
    write($("why-not"), allowed ? "" : whyNot ?? gettext("Your role may not send broadcasts."));
    if (!allowed) return;
    const { apps, admins } = await get("/broadcasts/options");
    form.elements.app.append(...apps.map((name) => new Option(name)));
    $("admin").append(...admins.map((id) => new Option(String(id))));
    $("try").disabled = form.elements.upload.disabled = admins.length === 0;
    if (!admins.length) write($("why-not"), gettext("Set ADMIN_IDS to send tests."));
  } catch (error) {
    write($("said"), whatWentWrong(error));
  }
}

form.addEventListener("input", () => {
  write($("audience"), ""); // it was of what the form said before
  clearTimeout(typing);
  typing = setTimeout(() => preview(), TYPING_MS);
});
form.elements.upload.addEventListener("change", uploaded);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
$("count").addEventListener("click", () => preview({ count: true }));
$("try").addEventListener("click", tryOut);
$("save").addEventListener("click", () => acted(async () => gettext("Draft {id} is saved.", { id: String(await saved()) })));
write($("zone"), zone());
preview(); // what a browser kept of the form, or somebody wrote before this ran
const ready = begin();
