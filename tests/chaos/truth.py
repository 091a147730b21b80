"""The record of a run: what Telegram knows of it and what the database holds. Read past everything of Ballast.

Imports nothing of bot_frontend, workers or dbcore: what is to be judged must not explain itself.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from devstack.telegram.control import TelegramControl

PAGE = 1000
SENDING = ("sendMessage", "editMessageText")
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True)
class Asked:
    """An update: what somebody wrote or pressed. Handed out again, it is still one.

    place -- its place in Telegram's queue.
    acknowledged -- the bot said that it has it. handed_out -- how often the bot was given it.
    """

    update_id: int
    place: int
    at: float
    sender: int
    acknowledged: bool
    handed_out: int = 1
    text: str | None = None
    data: str | None = None
    message_id: int | None = None


@dataclass(frozen=True)
class Said:
    """A message that reached its chat, an edit of one (`edited` is its id), or what a presser was shown. Plain text."""

    at: float
    chat: int
    text: str
    edited: int | None = None


@dataclass(frozen=True)
class Transfer:
    """`sender` and `recipient` are Telegram ids; None is the cluster, or nobody."""

    id: int
    key: str
    sender: int | None
    recipient: int | None
    amount: int
    kind: str
    status: str
    reason: str | None
    memo: str
    at: float


@dataclass(frozen=True)
class Entry:
    transfer_id: int
    owner: int | None
    amount: int
    balance_after: int | None
    version: int | None


@dataclass(frozen=True)
class Pending:
    """A transfer that was put before its sender, or a credit before an admin: the cluster is its sender."""

    token: str
    sender: int | None
    recipient: int | None
    amount: int
    memo: str
    status: str
    reason: str | None
    transfer_id: int | None


AFTERMATH_SECONDS = 60.0
"""So long after a fault an answer that comes twice may still be its doing."""


@dataclass
class Record:
    """Everything the auditor judges by.

    written -- what the people wrote, from their own notes.
    standing -- every message of the bot as it stands at the end; its time is when it was first sent.
    storms -- unix times between which something was being broken.
    """

    asked: list[Asked] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    pendings: list[Pending] = field(default_factory=list)
    balances: dict[int, int] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)
    written: list[tuple[int, str]] = field(default_factory=list)
    standing: list[Said] = field(default_factory=list)
    storms: list[tuple[float, float]] = field(default_factory=list)
    admins: frozenset[int] = frozenset()
    people: dict[str, int] = field(default_factory=dict)
    """Who exists at Telegram: `@name` and the id as text, to the id."""

    def in_the_wake_of_a_fault(self, at: float) -> bool:
        """Whether what happened then may be the doing of something being broken."""
        return any(began - 1 <= at <= ended + AFTERMATH_SECONDS for began, ended in self.storms)


async def read_telegram(telegram: TelegramControl, record: Record) -> None:
    """Updates, messages and people, from the local Telegram's own account."""
    after, asked = 0, dict[int, Asked]()
    while page := await telegram.updates(after=after, limit=PAGE):
        for update in page:
            content = update.update.get(update.kind) or {}
            before = asked.get(update.update_id)
            acknowledged = update.acknowledged_by in {"offset", "webhook"}
            asked[update.update_id] = Asked(
                update_id=update.update_id,
                place=before.place if before else update.seq,
                at=before.at if before else update.created_at,
                sender=content["from"]["id"],
                acknowledged=acknowledged or bool(before and before.acknowledged),
                handed_out=update.handed_out_count + (before.handed_out if before else 0),
                text=content.get("text"),
                data=content.get("data"),
                message_id=(content.get("message") or {}).get("message_id"),
            )
        after = page[-1].seq
    record.asked = list(asked.values())
    for method in SENDING:
        last = 0
        while sends := await telegram.requests(method=method, took_effect=True, after=last, limit=PAGE):
            record.said += [_said(send.params, send.finished_at) for send in sends]
            last = sends[-1].id
    for chat in {asked.sender for asked in record.asked if asked.data is not None}:
        record.said += [
            Said(query.answered_at, chat, query.answer["text"])
            for query in await telegram.callback_queries(chat)
            if query.answered_at is not None and query.answer is not None and query.answer["text"]
        ]
    record.said.sort(key=lambda said: said.at)
    revision = 0
    while messages := await telegram.messages(after=revision, from_bot=True, limit=PAGE):
        record.standing += [Said(message.date, message.chat_id, message.text) for message in messages]
        revision = messages[-1].revision
    users = await telegram.users()
    record.people = {str(user.id): user.id for user in users} | {
        f"@{user.username.lower()}": user.id for user in users if user.username
    }


def _said(params: dict[str, Any], at: float) -> Said:
    edited = params.get("message_id")
    text = html.unescape(_TAG.sub("", str(params["text"])))
    return Said(at, int(params["chat_id"]), text, None if edited is None else int(edited))


def read_database(url: str, record: Record) -> None:
    """The books, by SQL of our own."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:

            def rows(statement: str) -> list[tuple[Any, ...]]:
                cursor.execute(statement)
                return cursor.fetchall()

            owners = "LEFT JOIN accounts {0} ON {0}.id = {1} LEFT JOIN users {0}u ON {0}u.id = {0}.user_id "
            record.transfers = [
                Transfer(*row)
                for row in rows(
                    "SELECT t.id, t.idempotency_key, fu.telegram_id, gu.telegram_id, t.amount, t.kind, t.status,"
                    " t.reason, t.memo, extract(epoch FROM t.created_at)::float FROM transfers t "
                    + owners.format("f", "t.from_account_id")
                    + owners.format("g", "t.to_account_id")
                    + "ORDER BY t.id"
                )
            ]
            record.entries = [
                Entry(*row)
                for row in rows(
                    "SELECT e.transfer_id, au.telegram_id, e.amount, e.balance_after, e.account_version"
                    " FROM entries e " + owners.format("a", "e.account_id") + "ORDER BY e.id"
                )
            ]
            record.pendings = [
                Pending(*row)
                for row in rows(
                    "SELECT p.token, s.telegram_id, r.telegram_id, p.amount, p.memo, p.status, p.reason,"
                    " p.transfer_id FROM pending_transfers p JOIN users s ON s.id = p.sender_user_id"
                    " LEFT JOIN users r ON r.id = p.recipient_user_id ORDER BY p.id"
                )
                + rows(
                    "SELECT p.token, NULL, r.telegram_id, p.amount, p.memo, p.status, p.reason, p.transfer_id"
                    " FROM pending_adjustments p LEFT JOIN users r ON r.id = p.target_user_id ORDER BY p.id"
                )
            ]
            record.balances = dict(
                rows("SELECT u.telegram_id, a.balance FROM users u JOIN accounts a ON a.user_id = u.id")
            )
            record.dead_letters = [
                f"{kind} {reference}: {error}"
                for kind, reference, error in rows("SELECT kind, reference, error FROM failed_operations")
            ]
    finally:
        connection.close()
