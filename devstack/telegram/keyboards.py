"""reply_markup: what is allowed under and below a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from devstack.telegram.errors import ApiError, bad_request
from devstack.telegram.parameters import Parameters

CALLBACK_DATA_BYTES_MAX = 64
BUTTONS_MAX = 100

# A button says what it does with exactly one of these.
_ACTIONS = (
    "callback_data",
    "url",
    "login_url",
    "web_app",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)
_OTHER_MARKUPS = ("keyboard", "remove_keyboard", "force_reply")


@dataclass(frozen=True, slots=True)
class Markup:
    """`inline` belongs to the message; `other` (a reply keyboard, its removal) concerns the chat."""

    inline: dict[str, Any] | None = None
    other: dict[str, Any] | None = None


def read_markup(params: Parameters) -> Markup:
    value = params.json("reply_markup", "reply keyboard markup")
    if value is None:
        return Markup()
    if not isinstance(value, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in value:
        rows = _rows(value["inline_keyboard"], "inline_keyboard")
        return Markup(inline={"inline_keyboard": rows} if rows else None)
    if any(field in value for field in _OTHER_MARKUPS):
        return Markup(other=value)
    return Markup()


def find_button(markup: dict[str, Any] | None, callback_data: str) -> dict[str, Any] | None:
    """The button of a message that sends this data."""
    for row in (markup or {}).get("inline_keyboard", []):
        for button in row:
            if button.get("callback_data") == callback_data:
                found: dict[str, Any] = button
                return found
    return None


def _rows(value: Any, field: str) -> list[list[dict[str, Any]]]:
    if not isinstance(value, list):
        raise bad_request(f'field "{field}" of the InlineKeyboardMarkup should be an Array of Arrays')
    rows: list[list[dict[str, Any]]] = []
    for row in value:
        if not isinstance(row, list):
            raise bad_request(f'field "{field}" of the InlineKeyboardMarkup should be an Array of Arrays')
        buttons = [_button(button) for button in row]
        if buttons:
            rows.append(buttons)
    if sum(len(row) for row in rows) > BUTTONS_MAX:
        raise bad_request("REPLY_MARKUP_TOO_LONG")
    return rows


def _button(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _cannot_parse("InlineKeyboardButton must be an Object")
    text = value.get("text")
    if text is None:
        raise _cannot_parse('Can\'t find field "text"')
    if not isinstance(text, str):
        raise _cannot_parse('Field "text" must be of type String')
    if not text.strip():
        raise bad_request("inline keyboard button text is empty")
    if not any(value.get(action) not in (None, "", False) for action in _ACTIONS):
        raise _cannot_parse("Text buttons are unallowed in the inline keyboard")
    data = value.get("callback_data")
    if data is not None:
        if not isinstance(data, str):
            raise _cannot_parse('Field "callback_data" must be of type String')
        if len(data.encode()) > CALLBACK_DATA_BYTES_MAX:
            raise bad_request("BUTTON_DATA_INVALID")
    url = value.get("url")
    if url is not None and not _is_link(url):
        raise bad_request(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    return {key: item for key, item in value.items() if item is not None}


def _is_link(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("http://", "https://", "tg://"))


def _cannot_parse(what: str) -> ApiError:
    return bad_request(f"can't parse inline keyboard button: {what}")
