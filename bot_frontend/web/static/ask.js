// A dialog that says what will happen and does it once it is agreed to. Each page has one; some ask for a reason, too, or show
// how far it is.

import { Refused, whatWentWrong } from "/static/api.js";
import { $, headingOf, mark, write } from "/static/dom.js";
import { gettext } from "/static/texts.js";

export class Question {
  constructor(dialog) {
    this.dialog = dialog;
    this.isBusy = false;
    $("confirm-go").addEventListener("click", () => this.#go());
    $("confirm-leave").addEventListener("click", ({ detail: clicks }) => { if (!this.isBusy && clicks < 2) dialog.close(); });
    dialog.addEventListener("cancel", (event) => { if (this.isBusy) event.preventDefault(); });
    dialog.addEventListener("close", () => this.#giveFocusBack());
    addEventListener("beforeunload", (event) => { if (this.isBusy) event.preventDefault(); });
  }

  // act -- what is done: it returns the words that tell, and gets what was written as a reason. What it throws is told, too; unless
  // it is refused for good it can be tried again. after -- called with the words once it is done; it says whether the dialog closes.
  ask(opener, { title, words, go, isDangerous = false, act, after = () => false }) {
    if (this.dialog.open) return;
    Object.assign(this, { opener, act, after, heading: headingOf(opener) });
    write($("confirm-title"), title);
    write($("confirm-words"), words);
    write($("confirm-go"), go);
    mark($("confirm-go"), "class", isDangerous ? "danger" : "primary");
    if ($("confirm-reason")) $("confirm-reason").value = "";
    this.#show({ words: "", isOver: false });
    this.dialog.showModal();
    $("confirm-leave").focus();
  }

  async #go() {
    if (this.isBusy) return;
    this.#turn(true);
    write($("confirm-outcome"), gettext("Asking…"));
    const outcome = await this.#outcome();
    this.#turn(false);
    this.#show(outcome);
    if (outcome.isDone && this.after(outcome.words)) this.dialog.close();
    else $(outcome.isOver ? "confirm-leave" : "confirm-go").focus();
  }

  async #outcome() {
    try {
      return { words: await this.act($("confirm-reason")?.value.trim() ?? ""), isOver: true, isDone: true };
    } catch (error) {
      return { words: whatWentWrong(error), isOver: error instanceof Refused && error.isFinal };
    }
  }

  #turn(isBusy) {
    this.isBusy = isBusy;
    mark(this.dialog, "aria-busy", String(isBusy));
  }

  #show({ words, isOver, isDone = false }) {
    write($("confirm-outcome"), words);
    write($("confirm-leave"), isDone ? gettext("Close") : gettext("Go back"));
    $("confirm-go").hidden = isOver;
    if ($("confirm-reason-field")) $("confirm-reason-field").hidden = isOver;
  }

  // The browser gives the focus back to the button; where that is gone by now, its section's heading takes it.
  #giveFocusBack() {
    if (!this.opener.isConnected || this.opener.hidden) this.heading?.focus();
  }
}
