"""A message's text: parse_mode HTML, the entities Telegram finds by itself, and the limits.

Offsets and lengths of entities count UTF-16 code units, as the Bot API does.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from devstack.telegram.errors import ApiError, bad_request

TEXT_LENGTH_MAX = 4096
CAPTION_LENGTH_MAX = 1024

Entity = dict[str, Any]

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "a": "text_link",
}
_MARKUP = re.compile(
    r"<(?P<close>/?)(?P<name>[a-zA-Z0-9!-]*)(?P<attributes>[^<>]*)(?P<end>>|$|(?=<))|&[#\w]{1,12};"
)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_KNOWN_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-fA-F]{1,6});")

_FOUND = (
    ("bot_command", re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/])")),
    ("mention", re.compile(r"(?<![\w@])@[A-Za-z0-9_]{3,32}\b")),
    ("url", re.compile(r"\bhttps?://[^\s<>\"]+[^\s<>\".,;:!?)\]]")),
    ("email", re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*\w")),
    ("hashtag", re.compile(r"(?<![\w#])#\w*[^\W\d]\w*")),
)


def units(text: str) -> int:
    """The length in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def parse_text(text: str, parse_mode: str, entities: list[Entity] | None) -> tuple[str, list[Entity]]:
    """The text people see, trimmed, and its entities; raises ApiError like Telegram."""
    mode = parse_mode.lower()
    if mode == "html":
        plain, given = parse_html(text)
    elif mode:
        raise bad_request("unsupported parse_mode")
    else:
        plain, given = text, _checked(entities)
    plain, given = _trim(plain.replace("\r", ""), given)
    covered = [(entity["offset"], entity["offset"] + entity["length"]) for entity in given]
    for entity in find_entities(plain):
        start, end = entity["offset"], entity["offset"] + entity["length"]
        if not any(start < other_end and other_start < end for other_start, other_end in covered):
            given.append(entity)
    return plain, sorted(given, key=lambda entity: (entity["offset"], -entity["length"]))


def find_entities(text: str) -> list[Entity]:
    """Commands, mentions, addresses and hashtags in plain text; they never overlap."""
    found: list[tuple[int, int, str]] = []
    for kind, pattern in _FOUND:
        for match in pattern.finditer(text):
            start, end = match.span()
            if not any(start < other_end and other_start < end for other_start, other_end, _ in found):
                found.append((start, end, kind))
    return [
        {"type": kind, "offset": units(text[:start]), "length": units(text[start:end])}
        for start, end, kind in sorted(found)
    ]


def parse_html(source: str) -> tuple[str, list[Entity]]:
    """Telegram's HTML subset to plain text and entities."""
    plain: list[str] = []
    length = 0
    entities: list[Entity] = []
    open_tags: list[tuple[str, int, dict[str, str], int]] = []
    position = 0
    for match in _MARKUP.finditer(source):
        before = source[position : match.start()]
        plain.append(before)
        length += units(before)
        position = match.end()
        token = match.group()
        if token.startswith("&"):
            character = unescape(token) if _KNOWN_REFERENCE.fullmatch(token) else token
            plain.append(character)
            length += units(character)
            continue
        at = len(source[: match.start()].encode())
        name = match.group("name").lower()
        if match.group("end") != ">":
            raise _cannot_parse(
                f"Unclosed {'end' if match.group('close') else 'start'} tag at byte offset {at}"
            )
        if match.group("close"):
            entities.extend(_close(open_tags, name, length, at))
            continue
        if name not in _TAGS:
            raise _cannot_parse(f'Unsupported start tag "{name}" at byte offset {at}')
        attributes = {key.lower(): unescape(value.strip("\"'")) for key, value in _attributes(match)}
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise _cannot_parse(f'Tag "span" must have class "tg-spoiler" at byte offset {at}')
        open_tags.append((name, length, attributes, at))
    plain.append(source[position:])
    if open_tags:
        name, _, _, at = open_tags[-1]
        raise _cannot_parse(f'Can\'t find end tag corresponding to start tag "{name}"')
    return "".join(plain), _merge_pre_code(entities)


def check_length(text: str, length_max: int, error: str) -> None:
    if len(text) > length_max:
        raise bad_request(error)


def _checked(entities: Any) -> list[Entity]:
    """Entities that came as a parameter."""
    if entities is None:
        return []
    if not isinstance(entities, list):
        raise bad_request("can't parse entities: expected an Array of MessageEntity")
    for entity in entities:
        if not isinstance(entity, dict) or not isinstance(entity.get("type"), str):
            raise bad_request("can't parse MessageEntity: expected an Object with a type")
        if not isinstance(entity.get("offset"), int) or not isinstance(entity.get("length"), int):
            raise bad_request("can't parse MessageEntity: offset and length must be of type Number")
    return list(entities)


def _attributes(match: re.Match[str]) -> list[tuple[str, str]]:
    return _ATTRIBUTE.findall(match.group("attributes"))


def _close(
    open_tags: list[tuple[str, int, dict[str, str], int]], name: str, length: int, at: int
) -> list[Entity]:
    if not open_tags:
        raise _cannot_parse(f"Unexpected end tag at byte offset {at}")
    opened, start, attributes, _ = open_tags.pop()
    if name not in ("", opened):
        raise _cannot_parse(
            f'Unmatched end tag at byte offset {at}, expected "</{opened}>", found "</{name}>"'
        )
    if length == start:
        return []
    entity: Entity = {"type": _TAGS[opened], "offset": start, "length": length - start}
    if opened == "a":
        href = attributes.get("href", "")
        if not href:
            return []
        entity["url"] = href if "://" in href or href.startswith("tg:") else f"http://{href}/"
    if opened == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    if opened == "code" and attributes.get("class", "").startswith("language-"):
        entity["language"] = attributes["class"].removeprefix("language-")
    return [entity]


def _merge_pre_code(entities: list[Entity]) -> list[Entity]:
    """<pre><code class="language-x"> is one entity of type pre that knows its language."""
    merged: list[Entity] = []
    pres = {(e["offset"], e["length"]): e for e in entities if e["type"] == "pre"}
    for entity in entities:
        if entity["type"] == "code":
            pre = pres.get((entity["offset"], entity["length"]))
            if pre is not None:
                if "language" in entity:
                    pre["language"] = entity["language"]
                continue
            entity.pop("language", None)
        merged.append(entity)
    return merged


def _trim(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Cut white space off both ends, and the entities with it."""
    shift = units(text) - units(text.lstrip())
    trimmed = text.strip()
    end = units(trimmed)
    kept: list[Entity] = []
    for entity in entities:
        start = max(0, int(entity["offset"]) - shift)
        stop = min(end, int(entity["offset"]) + int(entity["length"]) - shift)
        if stop > start:
            kept.append({**entity, "offset": start, "length": stop - start})
    return trimmed, kept


def _cannot_parse(what: str) -> ApiError:
    return bad_request(f"can't parse entities: {what}")
