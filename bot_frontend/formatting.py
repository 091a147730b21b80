"""How a text was formatted in the app, and which part of that belongs to what follows a command. Pure."""

from __future__ import annotations

from ballast.builtin.composition import Formatting
from bot_frontend.updates import Entity

KEPT = {
    *("bold", "italic", "underline", "strikethrough", "spoiler", "code", "pre"),
    *("blockquote", "expandable_blockquote", "text_link", "text_mention", "custom_emoji"),
}
"""What people do to a text. The others (addresses, hashtags, commands) Telegram finds by itself in what is sent."""


def units(text: str) -> int:
    """The length as Telegram counts it, in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def of_part(text: str, start: int, part: str, entities: tuple[Entity, ...]) -> tuple[Formatting, ...]:
    """The formatting of `part`, which begins at `start` in `text`; what reaches beyond it is cut."""
    first = units(text[:start])
    last = first + units(part)
    kept = []
    for entity in entities:
        begin, end = max(entity.offset, first), min(entity.offset + entity.length, last)
        if entity.type in KEPT and begin < end:
            kept.append(
                Formatting(
                    type=entity.type,
                    offset=begin - first,
                    length=end - begin,
                    url=entity.url,
                    language=entity.language,
                    custom_emoji_id=entity.custom_emoji_id,
                    user_id=None if entity.user is None else entity.user.telegram_id,
                )
            )
    return tuple(kept)
