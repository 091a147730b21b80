"""One search for everything by which an operator may know somebody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import TELEGRAM_ID_LIMIT, UserRef
from dbcore.people.person import COLUMNS, TABLES, Person, person_of
from dbcore.text import storable

FOUND_MAX = 20
TEXT_LENGTH_MAX = 200

By = Literal["username", "telegram_id", "transfer", "key", "charge", "job", "name"]

_TRANSFER_NUMBER = re.compile(r"#\s*([0-9]{1,18})|([0-9]{1,18})", re.ASCII)
_REFERENCE = re.compile(r"[A-Z2-7]{8}")
_OF_TRANSFERS = (
    "u.id IN (SELECT p.user_id FROM ballast.transfers t JOIN ballast.accounts p "
    "ON p.id IN (t.from_account_id, t.to_account_id) WHERE {})"
)
# A part of a name is in no index, so all users are read.
_IN_NAME = (
    "(lower(u.first_name) LIKE lower(%(value)s) OR lower(u.username) LIKE lower(%(value)s)) "
    "ORDER BY u.last_seen_at DESC, u.id"
)
_OF_REFERENCE = (
    "u.telegram_id IN (SELECT f.telegram_id FROM ballast.failed_operations f WHERE f.reference = %(value)s)"
)
_SELECT = f"SELECT {COLUMNS} FROM {TABLES} WHERE "  # noqa: S608  our own text


@dataclass(frozen=True, slots=True)
class Found:
    """by -- what of them matched."""

    person: Person
    by: By


def search(engine: GuardedEngine, text: str, *, limit: int = FOUND_MAX) -> list[Found]:
    """Who is meant by `@bob`, `bob`, a part of a name, `t.me/bob`, a Telegram id, a transfer's number (`123` or
    `#123`), a failed job's reference, an idempotency key, or a charge of a payment.

    What is exact comes first, and then those with the text in their name or username, whoever wrote last first. At most
    `limit` people, each once.
    """
    text = storable(text).strip()[:TEXT_LENGTH_MAX]
    if not text:
        return []
    found: dict[int, Found] = {}
    for by, condition, value in _exactly(text):
        for person in _select(engine, condition, value, limit):
            found.setdefault(person.user_id, Found(person, by))
    is_exact = UserRef.certain(text) is not None or re.fullmatch(r"#.*|[0-9]+", text, re.ASCII)
    if not found or (len(found) < limit and not is_exact):
        for person in _select(engine, _IN_NAME, _pattern(text.removeprefix("@")), limit):
            found.setdefault(person.user_id, Found(person, "name"))
    return [*found.values()][:limit]


def of_reference(engine: GuardedEngine, reference: str) -> Person | None:
    """Whose failed job it is."""
    people = _select(engine, _OF_REFERENCE, reference, 1)
    return people[0] if people else None


def _exactly(text: str) -> list[tuple[By, str, Any]]:
    """What the text may be, with the condition that finds it by an index."""
    wanted: list[tuple[By, str, Any]] = []
    ref = UserRef.certain(text) or (UserRef(username=text) if re.fullmatch(r"\w{1,32}", text, re.A) else None)
    if ref is not None and ref.username is not None:
        wanted.append(("username", "lower(u.username) = lower(%(value)s)", ref.username))
    if ref is not None and ref.telegram_id is not None:
        wanted.append(("telegram_id", "u.telegram_id = %(value)s", ref.telegram_id))
    if number := _TRANSFER_NUMBER.fullmatch(text):
        value = int(number[1] or number[2])
        if number[2] and 0 < value < TELEGRAM_ID_LIMIT:
            wanted.append(("telegram_id", "u.telegram_id = %(value)s", value))
        wanted.append(("transfer", _OF_TRANSFERS.format("t.id = %(value)s"), value))
    if _REFERENCE.fullmatch(text.upper()):
        wanted.append(("job", _OF_REFERENCE, text.upper()))
    if not text.startswith(("@", "#")):
        keys = [text, f"operator-{text}"]
        wanted += [
            ("key", _OF_TRANSFERS.format("t.idempotency_key = ANY(%(value)s)"), keys),
            (
                "key",
                "u.id IN (SELECT p.sender_user_id FROM ballast.pending_transfers p "
                "WHERE p.idempotency_key = ANY(%(value)s))",
                keys,
            ),
            (
                "charge",
                "u.telegram_id IN (SELECT e.telegram_id FROM ballast.payment_events e WHERE e.charge_id = %(value)s)",
                text,
            ),
        ]
    return wanted


def _pattern(text: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    return f"%{escaped}%"


def _select(engine: GuardedEngine, condition: str, value: Any, limit: int) -> list[Person]:
    rows = engine.fetch_rows(
        f"{_SELECT}{condition} LIMIT %(limit)s",
        {"currency": engine.currency, "value": value, "limit": limit},
        name="people.search",
        writes=False,
    )
    return [person_of(row) for row in rows]
