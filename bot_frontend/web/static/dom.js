// The page is patched in place: what did not change is not touched, so nothing flickers, moves, or loses the focus.

export const $ = (id) => document.getElementById(id);

export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// A copy of a template's element; `fields` are those of its parts that have a name.
export function stamp(templateId) {
  const element = $(templateId).content.firstElementChild.cloneNode(true);
  element.fields = Object.fromEntries([...element.querySelectorAll("[data-field]")].map((part) => [part.dataset.field, part]));
  return element;
}

export function fill(element, texts) {
  for (const [field, text] of Object.entries(texts)) {
    const part = element.fields[field];
    write(part, text);
    if (part.hidden !== (text === "")) part.hidden = text === "";
  }
}

// Makes `list` hold one element an item, in the items' order. Elements stay with their key.
export function rows(list, items, { template, key, show }) {
  const before = new Map([...list.children].map((element) => [element.dataset.key, element]));
  const wanted = items.map((item) => String(key(item)));
  const keep = new Set(wanted);
  for (const [name, element] of before) {
    if (keep.has(name)) continue;
    if (element.contains(document.activeElement)) headingOf(list)?.focus();
    element.remove();
    before.delete(name);
  }
  let place = list.firstElementChild;
  items.forEach((item, index) => {
    let element = before.get(wanted[index]);
    if (!element) {
      element = stamp(template);
      element.dataset.key = wanted[index];
      before.set(wanted[index], element);
    }
    show(element, item);
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  });
}

// What takes the focus where something in a card or section is gone.
export function headingOf(element) {
  return element.closest("details")?.querySelector("summary") ?? element.closest("section")?.querySelector("h2");
}

// How far a bar reaches, 0 to 1.
export function reach(fillElement, share) {
  const scale = Math.max(0, Math.min(1, share || 0)).toFixed(4);
  if (fillElement.dataset.reach === scale) return;
  fillElement.dataset.reach = scale;
  fillElement.style.setProperty("--reach", scale);
}

// An icon beside words that say the same: the state is never told by colour alone.
export function icon(use, state) {
  mark(use, "href", `#icon-${state}`);
}
