"""Updates as Telegram might send them, and as nobody should: grown by the Bot API's shape, then bent.

Everything comes from one `random.Random`, so a seed and a number are an update.
"""

from __future__ import annotations

import random
from typing import Any

ADMIN_ID = 1001
PEOPLE = (8, 9, ADMIN_ID, 2**52 - 1)
DATE = 1_700_000_000

_COMMANDS = (
    "start", "help", "balance", "history", "send", "cancel", "credit", "debit", "broadcast", "dbstatus", "user",
    "stop", "resume", "broadcasts", "nothing",
)  # fmt: skip
_WORDS = (
    "@bob", "@carol", "12345", "0", "-1", "5", "5,50", "5.555", "1e9", "NaN", "99999999999999999999", "٣", "for lunch",
    "<b>", "</b>", "&amp;", "<a href='tg://user?id=1'>x</a>", "'; DROP TABLE users; --", "{}", "%s", "\x00", "\u202e",
    "\ud800", "😀", "\n", "\t", "@", "@other_bot", "carol", "t.me/carol", "tg://user?id=9", "10\u00a0000", "$5", "EUR",
    "/send", "a" * 300,
)  # fmt: skip
_BUTTONS = (
    "c:abc", "x:abc-_9", "h:8:1", "h:9:99999", "h:8:0", "h:٣:1", "c:", "c:" + "a" * 61, "", "b:1:go", "z", "\x00",
    "c:\ud800", "ac:abc", "ax:abc", "a:", "h:" + "9" * 16 + ":" + "9" * 16, "a" * 5000,
)  # fmt: skip
_INTEGERS = (0, 1, -1, 8, 2**31, 2**52, 2**53, -(2**63), 2**63, 10**30, 10**4000)
_LEAVES: tuple[Any, ...] = (
    None, True, False, 0.5, float("nan"), float("inf"), "", "8", "\ud800", "x" * 70, [], {}, [[]], {"id": {}}, [None],
)  # fmt: skip

BENT_OF_TEN = 4
"""So many of ten are bent somewhere; the others are what Telegram documents."""


def update(numbers: random.Random) -> Any:
    """One update; where it is bent even the whole may be no object."""
    made: Any = {"update_id": numbers.choice((numbers.randrange(2**31), 5)), **_kind(numbers)}
    if numbers.randrange(10) < BENT_OF_TEN:
        for _ in range(numbers.randint(1, 3)):
            made = _bent(made, numbers)
    return made


def _kind(numbers: random.Random) -> dict[str, Any]:
    match numbers.randrange(20):
        case 0:
            return {"channel_post": _message(numbers)}
        case 1 | 2:
            return {"my_chat_member": _membership(numbers)}
        case 3 | 4 | 5 | 6:
            return {"callback_query": _press(numbers)}
        case 7:
            return {"message": _payment(numbers)}
        case _:
            return {"message": _message(numbers)}


def _message(numbers: random.Random) -> dict[str, Any]:
    sender = _user(numbers)
    message: dict[str, Any] = {
        "message_id": numbers.randrange(1, 2**31),
        "date": DATE + numbers.randrange(10**6),
        "chat": _chat(numbers, sender["id"]),
        "from": sender,
        "text": _text(numbers),
    }
    message |= _whose_words(numbers) | _names(numbers, message["text"])
    if numbers.randrange(10) == 0:
        del message["text"]
        message["photo"] = [{"file_id": "x", "width": 1, "height": 1}]
    return message


def _whose_words(numbers: random.Random) -> dict[str, Any]:
    match numbers.randrange(20):
        case 0:
            return {"forward_origin": _origin(numbers), "forward_date": DATE}
        case 1:
            return {"via_bot": _user(numbers)}
        case 2:
            return {"sender_chat": _chat(numbers, 8), "is_automatic_forward": numbers.randrange(2) == 0}
        case _:
            return {}


def _origin(numbers: random.Random) -> dict[str, Any]:
    if numbers.randrange(2):
        return {"type": "user", "date": DATE, "sender_user": _user(numbers)}
    return {"type": "hidden_user", "date": DATE, "sender_user_name": "Carol"}


def _names(numbers: random.Random, text: str) -> dict[str, Any]:
    """A person mentioned somewhere, which may not be in the text, and a message that is replied to."""
    fields: dict[str, Any] = {}
    if numbers.randrange(5) == 0:
        place = {"offset": numbers.randrange(-1, len(text) + 3), "length": numbers.randrange(12)}
        fields["entities"] = [{"type": "text_mention", "user": _user(numbers), **place}]
    if numbers.randrange(5) == 0:
        fields["reply_to_message"] = {"message_id": 3, "from": _user(numbers), **_whose_words(numbers)}
    if numbers.randrange(20) == 0:
        fields["external_reply"] = {"origin": _origin(numbers)}
    return fields


def _payment(numbers: random.Random) -> dict[str, Any]:
    paid = {
        "currency": numbers.choice(("XTR", "EUR", "")),
        "total_amount": numbers.choice(_INTEGERS),
        "invoice_payload": _text(numbers)[:128],
        "telegram_payment_charge_id": numbers.choice(("charge", "", "x" * 300)),
        "order_info": {"name": _text(numbers)},
    }
    return {**_message(numbers), numbers.choice(("successful_payment", "refunded_payment")): paid}


def _press(numbers: random.Random) -> dict[str, Any]:
    press = {"id": str(numbers.randrange(2**63)), "from": _user(numbers), "data": numbers.choice(_BUTTONS)}
    if numbers.randrange(5):
        press["message"] = _message(numbers)
    return press


def _membership(numbers: random.Random) -> dict[str, Any]:
    user = _user(numbers)
    return {
        "date": DATE,
        "chat": _chat(numbers, user["id"]),
        "from": user,
        "new_chat_member": {"status": numbers.choice(("member", "kicked", "left", "")), "user": user},
    }


def _user(numbers: random.Random) -> dict[str, Any]:
    user = {"id": numbers.choice(PEOPLE), "is_bot": numbers.randrange(20) == 0, "first_name": _text(numbers)}
    if numbers.randrange(2):
        user["username"] = numbers.choice(("bob", "carol", "x" * 64, "<b>", ""))
        user["language_code"] = numbers.choice(("de", "pt-br", "", "x" * 35))
    return user


def _chat(numbers: random.Random, user_id: int) -> dict[str, Any]:
    if numbers.randrange(5):
        return {"id": user_id, "type": "private"}
    return {"id": -100, "type": numbers.choice(("group", "supergroup", "channel", "new kind"))}


def _text(numbers: random.Random) -> str:
    if numbers.randrange(500) == 0:
        return numbers.choice(("é", "/", "a ", "<b>")) * 5000
    if numbers.randrange(5) == 0:
        return f"/{numbers.choice(('send', 'credit', 'debit'))} @bob 5,50 {numbers.choice(_WORDS)}"
    words = numbers.choices(_WORDS, k=numbers.randrange(5))
    if numbers.randrange(3):
        at = numbers.choice(("", "", "@ballast_bot", "@other_bot", "@"))
        words.insert(0, f"/{numbers.choice(_COMMANDS)}{at}")
    return numbers.choice((" ", "  ", "\n")).join(words)


def _bent(value: Any, numbers: random.Random) -> Any:
    """The value with one place, anywhere inside, taken away, replaced or grown."""
    if not isinstance(value, dict) or not value or numbers.randrange(8) == 0:
        return _odd(numbers)
    bent = dict(value)
    key = numbers.choice(list(bent))
    match numbers.randrange(4):
        case 0:
            del bent[key]
        case 1:
            bent[key] = _odd(numbers)
        case 2:
            bent[numbers.choice(("id", "text", "from", "message", "\ud800", "x" * 200))] = _odd(numbers)
        case _:
            bent[key] = _bent(bent[key], numbers)
    return bent


def _odd(numbers: random.Random) -> Any:
    match numbers.randrange(10):
        case 0:
            return numbers.choice(_INTEGERS)
        case 1:
            return _text(numbers)
        case 2:
            return _nested(numbers.choice((3, 200)))
        case _:
            return numbers.choice(_LEAVES)


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for number in range(depth):
        value = [value] if number % 2 else {"message": value}
    return value
