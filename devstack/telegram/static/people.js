// Whom one can be: the list at the side, and the dialog for somebody new.

import { ask, Refused } from "/static/api.js";
import { make } from "/static/bubbles.js";

export class People {
  constructor({ list, dialog, onChoose }) {
    Object.assign(this, { list, dialog, onChoose });
    this.all = [];
    this.current = null;
    this.form = dialog.querySelector("form");
    document.getElementById("new-person").addEventListener("click", () => this.#openDialog());
    document.getElementById("person-cancel").addEventListener("click", () => dialog.close());
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#create(); });
  }

  async load() {
    this.all = (await ask("GET", "/users")).users;
    this.show(this.current);
  }

  get(id) {
    return this.all.find((person) => person.id === id);
  }

  show(currentId) {
    this.current = currentId;
    const focused = document.activeElement?.dataset?.personId;
    this.list.replaceChildren(...this.all.map((person) => this.#item(person)));
    if (focused) this.list.querySelector(`[data-person-id="${focused}"]`)?.focus();
  }

  #item(person) {
    const item = make("button", "person");
    item.type = "button";
    item.dataset.testid = `person-${person.id}`;
    item.dataset.personId = person.id;
    if (person.id === this.current) item.setAttribute("aria-current", "true");
    const avatar = make("div", "avatar", initials(person));
    avatar.style.setProperty("--hue", String((person.id * 137) % 360));
    avatar.setAttribute("aria-hidden", "true");
    const words = make("div", "person-words");
    const name = make("div", "person-name");
    name.append(make("span", "", fullName(person)));
    if (person.is_admin) name.append(make("span", "badge", "admin"));
    words.append(name, make("span", "person-detail", detail(person)));
    item.append(avatar, words);
    item.addEventListener("click", () => this.onChoose(person.id));
    return item;
  }

  #openDialog() {
    this.form.reset();
    document.getElementById("person-error").textContent = "";
    this.dialog.showModal();
  }

  async #create() {
    const fields = new FormData(this.form);
    const person = { first_name: fields.get("first_name"), is_admin: fields.has("is_admin") };
    if (fields.get("username")) person.username = fields.get("username");
    if (fields.get("id")) person.id = Number(fields.get("id"));
    try {
      const { user } = await ask("POST", "/users", person);
      this.dialog.close();
      await this.load();
      this.onChoose(user.id);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      document.getElementById("person-error").textContent = error.message;
    }
  }
}

export function fullName(person) {
  return [person.first_name, person.last_name].filter(Boolean).join(" ");
}

function initials(person) {
  return [person.first_name, person.last_name].filter(Boolean).map((name) => [...name][0].toUpperCase()).join("");
}

function detail(person) {
  const name = person.username ? `@${person.username} · ` : "";
  return `${name}${person.id}`;
}
