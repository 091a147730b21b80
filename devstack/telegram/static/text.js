// A message's text with its entities, as DOM nodes. Nothing from a message is ever parsed as HTML:
// every character becomes a text node, and the only elements are those made here.

const PLAIN_TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "pre" };

export function renderText(text, entities, onCommand) {
  const fragment = document.createDocumentFragment();
  // Outer before inner, so that nesting comes out right. Offsets are UTF-16 units, and so are JS strings.
  const sorted = [...entities].sort((a, b) => a.offset - b.offset || b.length - a.length);
  append(fragment, text, sorted, 0, text.length, onCommand);
  return fragment;
}

function append(parent, text, entities, start, end, onCommand) {
  let at = start;
  let index = 0;
  while (index < entities.length) {
    const entity = entities[index];
    const from = Math.max(entity.offset, at);
    const to = Math.min(entity.offset + entity.length, end);
    const inner = [];
    index += 1;
    while (index < entities.length && entities[index].offset < to) inner.push(entities[index++]);
    if (to <= from) continue;
    parent.append(text.slice(at, from));
    const element = elementFor(entity, text.slice(from, to), onCommand);
    append(element ?? parent, text, inner, from, to, onCommand);
    if (element) parent.append(element);
    at = to;
  }
  parent.append(text.slice(at, end));
}

function elementFor(entity, covered, onCommand) {
  if (entity.type === "bot_command") {
    const command = document.createElement("button");
    command.type = "button";
    command.className = "command";
    command.addEventListener("click", () => onCommand(covered));
    return command;
  }
  if (entity.type === "text_link" || entity.type === "url") {
    const address = safeAddress(entity.url ?? covered);
    if (!address) return null;
    const link = document.createElement("a");
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  }
  const tag = PLAIN_TAGS[entity.type];
  return tag ? document.createElement(tag) : null;
}

export function safeAddress(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "tg:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
