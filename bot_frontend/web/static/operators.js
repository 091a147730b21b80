// The audit log, searched; and who is signed in to this page, for owners.

import { get, post, Refused, whyNotRead } from "/static/api.js";
import { entryInWords } from "/static/books.js";
import { $, fill, rows, write } from "/static/dom.js";
import { whoWithRole } from "/static/roles.js";
import { gettext } from "/static/texts.js";
import { at } from "/static/words.js";

const TIMEOUT_MS = 15_000;
const FOUND = 30;

const now = () => Date.now() / 1000;

// A number is whom or what it was about, `telegram:1001` who did it; anything else is a part of the reason.
function wanted(text) {
  if (/^\d+$/.test(text)) return { target: text };
  if (/^(telegram|web|api|operator):\S/.test(text)) return { actor: text };
  if (/^[a-z_]+\.[a-z_]+$/.test(text)) return { action: text };
  return text ? { q: text } : {};
}

function changes({ before, after }) {
  const said = (state) => Object.entries(state ?? {}).map(([name, value]) => `${name} ${value ?? gettext("none")}`).join(", ");
  return before || after ? `${said(before)} → ${said(after)}` : "";
}

export class Operators {
  constructor() {
    this.cursor = null;
    this.items = [];
    $("audit-search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.items = [];
      this.cursor = null;
      this.#search();
    });
    $("audit-more").addEventListener("click", () => this.#search());
    $("sessions-panel").addEventListener("toggle", () => { if ($("sessions-panel").open) this.#sessions(); });
    $("sessions").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-session]");
      if (button) this.#end(button);
    });
  }

  show({ permitted }) {
    $("sessions-panel").hidden = !permitted.includes("end_sessions");
  }

  async #search() {
    write($("audit-words"), gettext("Searching…"));
    const filters = new URLSearchParams({ limit: FOUND, ...wanted($("audit-query").value.trim()) });
    if (this.cursor !== null) filters.set("cursor", this.cursor);
    try {
      const page = await get(`/audit?${filters}`);
      this.items.push(...page.items);
      this.cursor = page.next_cursor;
      rows($("audit"), this.items, {
        template: "audit-row",
        key: (entry) => entry.action_id,
        show: (element, entry) => fill(element, {
          what: entryInWords(entry),
          at: at(Date.parse(entry.created_at) / 1000, now()),
          by: gettext("by {operator}", { operator: entry.actor }),
          why: entry.reason ?? "",
          changes: changes(entry),
        }),
      });
      const none = gettext("Nothing is found. Search for a user's ID, an actor such as telegram:1001, or a part of a reason.");
      write($("audit-words"), this.items.length ? "" : none);
    } catch (error) {
      write($("audit-words"), whyNotRead(error));
    }
    $("audit-more").hidden = this.cursor === null;
  }

  async #sessions() {
    write($("sessions-words"), gettext("Loading…"));
    try {
      const { items } = await get("/sessions");
      rows($("sessions"), items, {
        template: "session-row",
        key: (session) => session.id,
        show: (element, session) => {
          fill(element, {
            who: whoWithRole(session.name, session.role),
            at: at(session.began_at, now()),
            from: gettext("{address}, {browser}", { address: session.address, browser: session.browser || gettext("unknown browser") }),
          });
          const button = element.querySelector("button");
          button.dataset.session = session.id;
          button.setAttribute("aria-label", gettext("End the session of {name}", { name: session.name }));
        },
      });
      write($("sessions-words"), items.length ? "" : gettext("Nobody is signed in."));
    } catch (error) {
      write($("sessions-words"), whyNotRead(error));
    }
  }

  async #end(button) {
    button.disabled = true;
    try {
      await post(`/sessions/${button.dataset.session}/end`, {}, `end-${button.dataset.session}`, TIMEOUT_MS);
      await this.#sessions();
    } catch (error) {
      write($("sessions-words"), error instanceof Refused ? gettext("It could not be ended. Try again.") : whyNotRead(error));
    }
    button.disabled = false;
  }
}
