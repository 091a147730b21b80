// What an operator does about somebody's account, or about a credit that waits for approval. A dialog says exactly what will
// happen; what is sent has a key of its own, so that it takes effect once, however often it is sent.

import { uuid } from "/static/actions.js";
import { get, post, Refused, whatWentWrong } from "/static/api.js";
import { $, headingOf, mark, write } from "/static/dom.js";
import { amount, balance, byName, minorUnits, plainAmount } from "/static/money.js";
import { toast } from "/static/toasts.js";
import { shown } from "/static/words.js";

const TIMEOUT_MS = 20_000;
const REASON_LENGTH_MAX = 200;
const MESSAGE_LENGTH_MAX = 2_000;

const FROZEN = document.body.dataset.freeze === "everything" ? "neither send nor receive money" : "receive money, and not send any";

const ACTS = {
  credit: { title: "Credit", has: "amount", words: ({ user, minor }) => `${byName(user)} gets ${amount(minor)}. Balance then: ${balance(user.balance + minor)}.`, note: "They read the reason." },
  debit: { title: "Debit", has: "amount", isDangerous: true, words: ({ user, minor }) => `${amount(minor)} is taken from ${byName(user)}. Balance then: ${balance(user.balance - minor)}.`, note: "They read the reason." },
  reverse: { title: "Reverse", has: "amount", isDangerous: true, words: ({ minor, transfer }) => `${amount(minor, transfer.currency)} of transfer #${transfer.id} goes back from ${side(transfer.recipient)} to ${side(transfer.sender)}. A reversal is final.`, note: "Both read what was reversed." },
  freeze: { title: "Freeze", isDangerous: true, words: ({ user }) => `The account of ${byName(user)} will ${FROZEN}. They are told.`, note: "The reason is kept in the audit log." },
  message: { title: "Message", asks: "Text", words: ({ user }) => `${byName(user)} gets this text from the bot, as a message from the operators.`, note: "The text is kept in the audit log." },
  erase: { title: "Erase data", isDangerous: true, words: ({ user }) => `The username, name, language and time zone of ${byName(user)} are erased, also from failed jobs, and broadcasts to them stop. The balance and the movements with their memos are kept under the ID ${user.telegram_id}. This cannot be undone.`, note: "Backups keep the names until they are pruned. If they write to the bot again, it learns their name again. The reason is kept in the audit log: do not name them in it." },
  cancel_renewal: { title: "Cancel the renewal", isDangerous: true, words: ({ user, subscription }) => `Telegram is asked not to renew ${subscription.plan} of ${byName(user)}, for ${subscription.stars} Stars. What is paid stays.`, note: "They are told. The reason is kept in the audit log." },
  allow_renewal: { title: "Allow the renewal again", words: ({ user, subscription }) => `${byName(user)} can turn the renewal of ${subscription.plan} on again in Telegram. Nothing is charged by this.`, note: "They are told. The reason is kept in the audit log." },
  unfreeze: { title: "Unfreeze", words: ({ user }) => `The account of ${byName(user)} will send and receive money again. They are told.`, note: "The reason is kept in the audit log." },
  approve: { title: "Approve", words: ({ approval }) => `${ordered(approval)} as soon as you approve it.`, note: "The reason is kept in the audit log, and told to who asked." },
  decline: { title: "Decline", isDangerous: true, words: ({ approval }) => `Nothing is moved. It was asked for by ${approval.actor}: “${shown(approval.reason)}”.`, note: "The reason is kept in the audit log, and told to who asked." },
};

function ordered({ actor, telegram_id: id, amount: minor, currency, reason }) {
  const moves = minor > 0 ? `User ${id} gets ${amount(minor, currency)}` : `${amount(-minor, currency)} is taken from user ${id}`;
  return `Asked for by ${actor}: “${shown(reason)}”. ${moves}`;
}

function side(party) {
  return party ? byName(party) : "the house";
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
    write($("act-title"), title);
    write($("act-note"), note);
    write($("act-reason-label"), asks ?? "Reason");
    $("act-reason").maxLength = asks ? MESSAGE_LENGTH_MAX : REASON_LENGTH_MAX;
    write($("act-go"), title);
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
      $("act-amount").value = plainAmount(found.left_to_reverse, found.currency);
    } catch (error) {
      write($("act-outcome"), `Refused: ${error.message}`);
    }
    this.#say();
  }

  #say() {
    const { act, transfer } = this.asked;
    const minor = ACTS[act].has ? minorUnits($("act-amount").value, transfer?.currency) : 0;
    this.asked.minor = minor;
    const isReady = minor !== null && (act !== "reverse" || transfer !== null);
    const missing = $("act-amount").value.trim() ? "Write a plain amount above zero, such as 5.50." : "Write the amount.";
    write($("act-words"), isReady ? ACTS[act].words(this.asked) : missing);
    $("act-go").disabled = !isReady || this.isBusy || !$("act-reason").value.trim();
  }

  async #go() {
    if (this.isBusy || $("act-go").disabled) return;
    this.isBusy = true;
    mark(this.dialog, "aria-busy", "true");
    write($("act-outcome"), "Sending…");
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
      if (done.status === "waiting") return { words: `It is above your limit: approval ${done.id} waits for an owner. Nothing was moved yet.`, isDone: true };
      return { words: `${ACTS[act].title}: done.`, isDone: true };
    } catch (error) {
      // What was refused is refused again under its key: what is changed and sent next is another request.
      if (error instanceof Refused && error.isFinal) this.asked.key = uuid();
      return { words: whatWentWrong(error), isDone: false };
    }
  }
}
