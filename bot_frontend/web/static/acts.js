// What an operator does about somebody's account, or about a credit that waits for approval. A dialog says exactly what will
// happen; what is sent has a key of its own, so that it takes effect once, however often it is sent.

import { uuid } from "/static/actions.js";
import { get, post, Refused, whatWentWrong, whyNotRead } from "/static/api.js";
import { $, headingOf, mark, write } from "/static/dom.js";
import { amount, balance, byName, minorUnits, typedAmount } from "/static/money.js";
import { gettext, ngettext, noop } from "/static/texts.js";
import { toast } from "/static/toasts.js";
import { side } from "/static/transfers.js";
import { shown } from "/static/words.js";

const TIMEOUT_MS = 20_000;
const REASON_LENGTH_MAX = 200;
const MESSAGE_LENGTH_MAX = 2_000;

const KEPT = noop("The reason is kept in the audit log.");
const TOLD_AND_KEPT = noop("They are told. The reason is kept in the audit log.");
const READ = noop("They read the reason.");
const ANSWERED = noop("The reason is kept in the audit log, and told to whoever asked.");

const ACTS = {
  credit: {
    title: noop("Credit"),
    has: "amount",
    words: ({ user, minor }) => gettext("{user} gets {amount}. Balance then: {balance}.", {
      user: byName(user), amount: amount(minor), balance: balance(user.balance + minor),
    }),
    note: READ,
  },
  debit: {
    title: noop("Debit"),
    has: "amount",
    isDangerous: true,
    words: ({ user, minor }) => gettext("{amount} is taken from {user}. Balance then: {balance}.", {
      user: byName(user), amount: amount(minor), balance: balance(user.balance - minor),
    }),
    note: READ,
  },
  reverse: {
    title: noop("Reverse"),
    has: "amount",
    isDangerous: true,
    words: ({ minor, transfer }) => gettext("{amount} of transfer {number} goes back from {recipient} to {sender}. A reversal is final.", {
      amount: amount(minor, transfer.currency), number: `#${transfer.id}`, recipient: side(transfer.recipient), sender: side(transfer.sender),
    }),
    note: noop("Both read what was reversed."),
  },
  freeze: {
    title: noop("Freeze"),
    isDangerous: true,
    words: ({ user }) => (document.body.dataset.freeze === "everything"
      ? gettext("The account of {user} will neither send nor receive money. They are told.", { user: byName(user) })
      : gettext("The account of {user} will receive money, and not send any. They are told.", { user: byName(user) })),
    note: KEPT,
  },
  message: {
    title: noop("Message"),
    asks: noop("Text"),
    words: ({ user }) => gettext("{user} gets this text from the bot, as a message from the operators.", { user: byName(user) }),
    note: noop("The text is kept in the audit log."),
  },
  erase: {
    title: noop("Erase data"),
    isDangerous: true,
    words: ({ user }) => gettext("The username, name, language and time zone of {user} are erased, also from failed jobs, and broadcasts to them stop. The balance and the movements with their memos are kept under the ID {id}. This cannot be undone.", {
      user: byName(user), id: String(user.telegram_id),
    }),
    note: noop("Backups keep the names until they are pruned. If they write to the bot again, it learns their name again. The reason is kept in the audit log: do not name them in it."),
  },
  cancel_renewal: {
    title: noop("Cancel the renewal"),
    isDangerous: true,
    words: ({ user, subscription: { plan, stars } }) => ngettext(
      "Telegram is asked not to renew {plan} of {user}, for {count} Star. What is paid stays.",
      "Telegram is asked not to renew {plan} of {user}, for {count} Stars. What is paid stays.",
      stars,
      { plan, user: byName(user) },
    ),
    note: TOLD_AND_KEPT,
  },
  allow_renewal: {
    title: noop("Allow the renewal again"),
    words: ({ user, subscription: { plan } }) => gettext("{user} can turn the renewal of {plan} on again in Telegram. Nothing is charged by this.", { user: byName(user), plan }),
    note: TOLD_AND_KEPT,
  },
  unfreeze: {
    title: noop("Unfreeze"),
    words: ({ user }) => gettext("The account of {user} will send and receive money again. They are told.", { user: byName(user) }),
    note: KEPT,
  },
  approve: { title: noop("Approve"), words: ({ approval }) => ordered(approval), note: ANSWERED },
  decline: {
    title: noop("Decline"),
    isDangerous: true,
    words: ({ approval: { actor, reason } }) => gettext("Nothing is moved. It was asked for by {actor}: “{reason}”.", { actor, reason: shown(reason) }),
    note: ANSWERED,
  },
};

function ordered({ actor, telegram_id: id, amount: minor, currency, reason }) {
  const named = { actor, reason: shown(reason), id: String(id), amount: amount(Math.abs(minor), currency) };
  return minor > 0
    ? gettext("Asked for by {actor}: “{reason}”. User {id} gets {amount} as soon as you approve it.", named)
    : gettext("Asked for by {actor}: “{reason}”. {amount} is taken from user {id} as soon as you approve it.", named);
}

export class Acts {
  constructor(dialog, people, approvals) {
    Object.assign(this, { dialog, people, approvals });
    this.asked = null;
    this.isBusy = false;
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-act]");
      if (button) this.#open(button);
    });
    $("act-form").addEventListener("input", () => this.#say());
    $("act-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go();
    });
    $("act-leave").addEventListener("click", () => { if (!this.isBusy) dialog.close(); });
    dialog.addEventListener("cancel", (event) => { if (this.isBusy) event.preventDefault(); });
    dialog.addEventListener("close", () => { if (!this.opener?.isConnected || this.opener.hidden) this.heading?.focus(); });
  }

  async #open(button) {
    if (this.dialog.open) return;
    const { act, transfer, approval, subscription } = button.dataset;
    Object.assign(this, { opener: button, heading: headingOf(button) });
    this.asked = {
      act, key: uuid(), user: this.people.user, transfer: null,
      approval: this.approvals.find(Number(approval)),
      subscription: this.people.subscriptions?.find((each) => String(each.number) === subscription),
    };
    const { title, has, asks, isDangerous, note } = ACTS[act];
    write($("act-title"), gettext(title));
    write($("act-note"), gettext(note));
    write($("act-reason-label"), asks ? gettext(asks) : gettext("Reason"));
    $("act-reason").maxLength = asks ? MESSAGE_LENGTH_MAX : REASON_LENGTH_MAX;
    write($("act-go"), gettext(title));
    $("act-amount-field").hidden = !has;
    $("act-amount").required = Boolean(has);
    $("act-amount").value = "";
    $("act-reason").value = "";
    write($("act-outcome"), "");
    mark($("act-go"), "class", isDangerous ? "danger" : "primary");
    this.dialog.showModal();
    this.#say();
    (has ? $("act-amount") : $("act-reason")).focus();
    if (transfer) await this.#lookAt(Number(transfer));
  }

  async #lookAt(number) {
    const { asked } = this;
    try {
      const found = await get(`/transfers/${number}`);
      if (this.asked !== asked) return;
      asked.transfer = found;
      $("act-amount").value = typedAmount(found.left_to_reverse, found.currency);
    } catch (error) {
      write($("act-outcome"), whyNotRead(error));
    }
    this.#say();
  }

  #say() {
    const { act, transfer } = this.asked;
    const minor = ACTS[act].has ? minorUnits($("act-amount").value, transfer?.currency) : 0;
    this.asked.minor = minor;
    const isReady = minor !== null && (act !== "reverse" || transfer !== null);
    const missing = $("act-amount").value.trim() ? gettext("Write a plain amount above zero, such as 5.50.") : gettext("Write the amount.");
    write($("act-words"), isReady ? ACTS[act].words(this.asked) : missing);
    $("act-go").disabled = !isReady || this.isBusy || !$("act-reason").value.trim();
  }

  async #go() {
    if (this.isBusy || $("act-go").disabled) return;
    this.isBusy = true;
    mark(this.dialog, "aria-busy", "true");
    write($("act-outcome"), gettext("Sending…"));
    this.#say();
    const { words, isDone } = await this.#send();
    this.isBusy = false;
    mark(this.dialog, "aria-busy", "false");
    write($("act-outcome"), words);
    this.#say();
    if (!isDone) return;
    this.dialog.close();
    toast(words);
    await (this.asked.approval ? this.approvals : this.people).refresh();
  }

  async #send() {
    const { act, key, user, transfer, approval, subscription, minor } = this.asked;
    let path = `/users/${user?.telegram_id}/${act}`;
    if (act === "reverse") path = `/transfers/${transfer.id}/reverse`;
    if (approval) path = `/approvals/${approval.id}/${act}`;
    if (subscription) path = `/subscriptions/${subscription.number}/${act.replace("_", "-")}`;
    const written = $("act-reason").value.trim();
    const body = ACTS[act].asks ? { text: written } : { reason: written, ...(ACTS[act].has ? { amount: minor } : {}) };
    try {
      const done = await post(path, body, key, TIMEOUT_MS);
      if (done.status === "waiting") return { words: gettext("It is above your limit: approval {number} waits for an owner. Nothing was moved yet.", { number: String(done.id) }), isDone: true };
      return { words: gettext("{act}: done.", { act: gettext(ACTS[act].title) }), isDone: true };
    } catch (error) {
      // What was refused is refused again under its key: what is changed and sent next is another request.
      if (error instanceof Refused && error.isFinal) this.asked.key = uuid();
      return { words: whatWentWrong(error), isDone: false };
    }
  }
}
