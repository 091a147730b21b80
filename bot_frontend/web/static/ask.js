// A dialog that says what will happen and does it once it is agreed to.

import { whatWentWrong } from "/static/api.js";
import { $, headingOf, mark, write } from "/static/dom.js";

export class Question {
  constructor(dialog) {
    this.dialog = dialog;
    this.isBusy = false;
    $("confirm-go").addEventListener("click", () => this.#go());
    $("confirm-leave").addEventListener("click", ({ detail: clicks }) => { if (!this.isBusy && clicks < 2) dialog.close(); });
    dialog.addEventListener("cancel", (event) => { if (this.isBusy) event.preventDefault(); });
    dialog.addEventListener("close", () => { if (!this.opener.isConnected || this.opener.hidden) this.heading?.focus(); });
  }

  // act -- what is done; it returns the words that tell, or nothing where the page goes elsewhere.
  ask(opener, { title, words, go, isDangerous = false, act }) {
    if (this.dialog.open) return;
    Object.assign(this, { opener, act, heading: headingOf(opener) });
    write($("confirm-title"), title);
    write($("confirm-words"), words);
    write($("confirm-go"), go);
    mark($("confirm-go"), "class", isDangerous ? "danger" : "primary");
    this.#say("", "Go back", true);
    this.dialog.showModal();
    $("confirm-leave").focus();
  }

  async #go() {
    if (this.isBusy) return;
    this.isBusy = true;
    mark(this.dialog, "aria-busy", "true");
    this.#say("Asking…", "Go back", true);
    let outcome;
    try {
      outcome = { words: await this.act(), isFinal: true };
    } catch (error) {
      outcome = { words: whatWentWrong(error), isFinal: false };
    }
    this.isBusy = false;
    mark(this.dialog, "aria-busy", "false");
    this.#say(outcome.words, outcome.isFinal ? "Close" : "Go back", !outcome.isFinal);
    $(outcome.isFinal ? "confirm-leave" : "confirm-go").focus();
  }

  #say(outcome, leave, canGo) {
    write($("confirm-outcome"), outcome);
    write($("confirm-leave"), leave);
    $("confirm-go").hidden = !canGo;
  }
}
