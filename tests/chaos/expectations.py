"""What must have come of each command: the money it moves and the answers it gets, from the command alone.

An answer is named by its chat and a few words of it, so that the same answer twice has the same name twice.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.chaos.truth import Asked, Record, Said

Answer = tuple[int, str, str]
"""Chat, what kind of answer, and what tells it from others of its kind."""

NOTICE = "notice"
"""Not an answer: it says that one will come, and where."""

ALARM = "alarm"
"""Not an answer either: admins are told of what goes on."""

TOKEN_LENGTH = 16
"""Of a card, in the data of its buttons. Who may press them stands behind it."""

SHOWN_ALONE = frozenset({"confirmed before", "credited before"})
"""Shown to whoever pressed again, and never sent as a message; unless they were told to wait."""

_AMOUNT = r"(?P<amount>[\d.,]+) CREDIT"
_SHAPES = (
    ("balance", re.compile(rf"Your balance is {_AMOUNT}\.")),
    ("balance", re.compile(rf"(At|On) .* UTC your balance was {_AMOUNT}\. .*")),
    (
        NOTICE,
        re.compile(
            r"(We have a technical problem|This is taking longer than usual)\. "
            r"Your .* is saved, and I'll .* \(Ref\. [A-Z2-7]{8}\)"
        ),
    ),
    (ALARM, re.compile(r"Alarm( over)?: .*", re.DOTALL)),
    ("welcome", re.compile(r"Welcome.*", re.DOTALL)),
    (
        "credit question",
        re.compile(rf"Credit {_AMOUNT} to .*\?\n.*\nBalance now: .*\nBalance after: .*\n“(?P<memo>.*)”\n.*"),
    ),
    ("credited", re.compile(rf"Credited {_AMOUNT} to .*\n“(?P<memo>.*)”\n.*")),
    ("was credited", re.compile(rf"You were credited {_AMOUNT}\.\n“(?P<memo>.*)”\n.*")),
    ("question", re.compile(rf"Send {_AMOUNT} to .*\?\n.*\n“(?P<memo>.*)”\n.*")),
    ("sent", re.compile(rf"Sent {_AMOUNT} to .*\.\n“(?P<memo>.*)”\n.*")),
    ("received", re.compile(rf".* sent you {_AMOUNT}\.\n“(?P<memo>.*)”\n.*")),
    ("has less", re.compile(rf"You do not have {_AMOUNT}\. Your balance is .*")),
    ("unknown", re.compile(r"I do not know (?P<memo>\S+)\. .*")),
    ("cancelled", re.compile(r"Cancelled\. No money was sent\.")),
    ("confirmed before", re.compile(r"This transfer was already confirmed\. .*")),
    ("credited before", re.compile(r"This was already confirmed, and was done once\.")),
    ("cancelled before", re.compile(r"This transfer was already cancelled\. .*")),
)
_COMMON = frozenset({"balance", "welcome", "confirmed before", "credited before", "cancelled before"})
"""Two of one chat cannot be told apart: the balance they name depends on the moment."""


def name_of(said: Said) -> Answer:
    for kind, shape in _SHAPES:
        found = shape.fullmatch(said.text)
        if found is None:
            continue
        parts = found.groupdict()
        if kind in _COMMON:
            return said.chat, kind, ""
        if kind == "cancelled":
            return said.chat, kind, str(said.edited)
        return said.chat, kind, " ".join(parts[key] for key in ("amount", "memo") if parts.get(key))
    return said.chat, "strange", said.text


@dataclass(frozen=True)
class Move:
    """Money that must have moved, once. `sender` is None for the cluster."""

    memo: str
    sender: int | None
    recipient: int
    amount: int


@dataclass(frozen=True)
class Refusal:
    """A /send that must have been refused, for this reason."""

    memo: str
    sender: int
    reason: str


@dataclass
class Expected:
    """asked_at -- when an answer that cannot be mistaken for another was asked for."""

    answers: Counter[Answer] = field(default_factory=Counter)
    asked_at: dict[Answer, float] = field(default_factory=dict)
    credits: list[Move] = field(default_factory=list)
    confirmed: list[Move] = field(default_factory=list)
    undecided: list[Move] = field(default_factory=list)
    cancelled: list[Move] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """Commands that no plan has: the auditor does not know what they should come to."""

    def answer(self, asked: Asked, chat: int, kind: str, what: str = "") -> None:
        name = (chat, kind, what)
        self.answers[name] += 1
        if kind not in _COMMON:
            self.asked_at.setdefault(name, asked.at)


def expect(record: Record) -> Expected:
    expected = Expected()
    sends: dict[str, tuple[Asked, Move]] = {}
    presses: defaultdict[str, list[Asked]] = defaultdict(list)
    tokens = {pending.token: pending.memo for pending in record.pendings}
    for asked in sorted(record.asked, key=lambda asked: asked.place):
        if asked.data is not None:
            presses[tokens.get(asked.data.split(":")[1][:TOKEN_LENGTH], "")].append(asked)
            continue
        words = (asked.text or "").split()
        match words:
            case ["/start"]:
                expected.answer(asked, asked.sender, "welcome")
            case ["/balance"]:
                expected.answer(asked, asked.sender, "balance")
            case ["/credit", whom, amount, reason] if asked.sender in record.admins:
                sends[reason] = (asked, _credit(expected, record, asked, whom, amount, reason))
            case ["/send", whom, amount, memo]:
                move = _send(expected, record, asked, whom, amount, memo)
                if move is not None:
                    sends[memo] = (asked, move)
            case _:
                expected.odd.append(f"update {asked.update_id}: {asked.text!r}")
    for memo, (_, move) in sends.items():
        _decide(expected, move, presses.pop(memo, []))
    for strays in presses.values():
        expected.odd += [f"update {stray.update_id}: pressed {stray.data!r}" for stray in strays]
    return expected


def _texts(record: Record) -> list[str]:
    return [asked.text for asked in record.asked if asked.text is not None]


def minor(amount: str) -> int:
    return int(Decimal(amount) * 100)


def _credit(expected: Expected, record: Record, asked: Asked, whom: str, amount: str, reason: str) -> Move:
    """The move that waits for the admin's press."""
    expected.answer(asked, asked.sender, "credit question", f"{_shown(amount)} {reason}")
    return Move(reason, None, record.people[whom.lower()], minor(amount))


def _send(expected: Expected, record: Record, asked: Asked, whom: str, amount: str, memo: str) -> Move | None:
    """The move that waits for a press, or None for a refusal."""
    recipient = record.people.get(whom.lower())
    if recipient is None:
        expected.refusals.append(Refusal(memo, asked.sender, "unknown_user"))
        expected.answer(asked, asked.sender, "unknown", whom)
        return None
    everything = sum(minor(text.split()[2]) for text in _texts(record) if text.startswith("/credit "))
    if minor(amount) > everything:
        expected.refusals.append(Refusal(memo, asked.sender, "insufficient_funds"))
        expected.answer(asked, asked.sender, "has less", _shown(amount))
        return None
    expected.answer(asked, asked.sender, "question", f"{_shown(amount)} {memo}")
    return Move(memo, asked.sender, recipient, minor(amount))


def _decide(expected: Expected, move: Move, presses: Sequence[Asked]) -> None:
    """The first press decides, in the order in which Telegram queued them; each later one is told so."""
    if not presses:
        expected.undecided.append(move)
        return
    first, *later = presses
    assert first.data is not None
    what = f"{_shown(str(Decimal(move.amount) / 100))} {move.memo}"
    if move.sender is None:
        expected.credits.append(move)
        expected.answer(first, first.sender, "credited", what)
        if move.recipient != first.sender:
            expected.answer(first, move.recipient, "was credited", what)
        for press in later:
            expected.answer(press, press.sender, "credited before")
        return
    confirmed = first.data.startswith("c:")
    (expected.confirmed if confirmed else expected.cancelled).append(move)
    if confirmed:
        expected.answer(first, move.sender, "sent", what)
        expected.answer(first, move.recipient, "received", what)
    else:
        expected.answer(first, move.sender, "cancelled", str(first.message_id))
    for press in later:
        expected.answer(press, move.sender, "confirmed before" if confirmed else "cancelled before")


def _shown(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"
