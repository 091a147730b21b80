// Where one writes: a growing text field, and the bot's commands as suggestions.

export class Composer {
  constructor({ form, field, send, menu, suggestions, onSend }) {
    Object.assign(this, { form, field, send, menu, suggestions, onSend });
    this.commands = [];
    this.shown = [];
    this.selected = -1;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#submit(); });
    field.addEventListener("input", () => { this.#fit(); this.#suggest(); });
    field.addEventListener("keydown", (event) => this.#key(event));
    menu.addEventListener("click", () => { this.suggestions.hidden ? this.#show(this.commands) : this.#hide(); field.focus(); });
    document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#foot")) this.#hide(); });
  }

  offer(commands) {
    this.commands = commands;
    this.menu.hidden = commands.length === 0;
    this.#suggest();
  }

  // For another chat. Nothing can be written before the first: it would be lost.
  open() {
    this.clear();
    this.field.disabled = false;
  }

  clear() {
    this.field.value = "";
    this.#fit();
    this.#hide();
  }

  #submit() {
    const text = this.field.value.trim();
    if (!text) return;
    this.clear();
    this.onSend(text);
  }

  #key(event) {
    if (event.isComposing) return;
    const open = !this.suggestions.hidden;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#select((this.selected + step + this.shown.length) % this.shown.length);
    } else if (open && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      this.#fill(this.shown[Math.max(0, this.selected)]);
    } else if (open && event.key === "Escape") {
      this.#hide();
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (open && this.selected >= 0) this.#choose(this.shown[this.selected]);
      else this.#submit();
    }
  }

  #fit() {
    this.send.disabled = !this.field.value.trim();
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight + 2, 160)}px`;
  }

  #suggest() {
    const typed = this.field.value;
    if (!/^\/\w*$/.test(typed)) return this.#hide();
    this.#show(this.commands.filter(({ command }) => `/${command}`.startsWith(typed.toLowerCase())));
  }

  #show(commands) {
    if (commands.length === 0) return this.#hide();
    this.shown = commands;
    this.suggestions.replaceChildren(...commands.map((command, index) => this.#item(command, index)));
    this.suggestions.hidden = false;
    this.#say(true);
    this.#select(-1);
  }

  #hide() {
    this.suggestions.hidden = true;
    this.selected = -1;
    this.#say(false);
    this.field.removeAttribute("aria-activedescendant");
  }

  #say(open) {
    this.field.setAttribute("aria-expanded", String(open));
    this.menu.setAttribute("aria-expanded", String(open));
  }

  #item({ command, description }, index) {
    const item = document.createElement("li");
    item.id = `suggestion-${index}`;
    item.role = "option";
    item.dataset.testid = `suggestion-${command}`;
    const name = document.createElement("b");
    name.textContent = `/${command}`;
    const words = document.createElement("span");
    words.textContent = description;
    item.append(name, words);
    item.addEventListener("click", () => { this.#choose({ command }); this.field.focus(); });
    return item;
  }

  #select(index) {
    this.selected = index;
    [...this.suggestions.children].forEach((item, at) => {
      item.setAttribute("aria-selected", String(at === index));
      if (at === index) item.scrollIntoView({ block: "nearest" });
    });
    if (index >= 0) this.field.setAttribute("aria-activedescendant", `suggestion-${index}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  // Tab completes, for commands that want words after them; Enter and a click send, as in Telegram.
  #fill({ command }) {
    this.field.value = `/${command} `;
    this.#hide();
    this.#fit();
  }

  #choose({ command }) {
    this.clear();
    this.onSend(`/${command}`);
  }
}
