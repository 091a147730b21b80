"""One person's data as one JSON document: what the bot knows about them, and nothing of what it knows about others but
the names that they see themselves.
"""

# ruff: noqa: S608  what is put into the queries are numbers and the currency

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from dbcore.exporting.copying import ExportRefused, HashedFile, copy, snapshot, told
from dbcore.exporting.exporting import moment, require_revision
from dbcore.exporting.files import money, profile_columns, time
from dbcore.ledger.users import UserRef
from dbcore.qualified_names import qualified
from dbcore.sentences import sentence
from dbcore.settings import Settings

Waiting = Callable[[int], Mapping[str, Any]]

FORMAT = "ballast-person"
VERSION = 1


def _parts(settings: Settings, user_id: int, telegram_id: int) -> dict[str, str]:
    """The query of each part of the document."""
    currencies = settings.known_currencies

    def amount(column: str, name: str = "amount", *, currency: str | None = None) -> str:
        alias, dot, _ = column.rpartition(".")
        return money(column, name, currencies, currency=currency or f"{alias}{dot}currency")

    party = "other.telegram_id AS counterparty_telegram_id, other.username AS counterparty_username, "
    party += "other.first_name AS counterparty_first_name"
    return {
        "profile": f"SELECT {profile_columns(currencies.first)} FROM ballast.users u LEFT JOIN ballast.accounts a "
        f"ON a.user_id = u.id AND a.currency = '{settings.currency}' WHERE u.id = {user_id}",
        "accounts": f"SELECT currency, {amount('balance', 'balance')}, {amount('held', 'held')}, "
        f"{time('created_at', 'created_at')} FROM ballast.accounts WHERE user_id = {user_id} ORDER BY id",
        "movements": f"SELECT e.id, e.transfer_id, {amount('e.amount', currency='a.currency')}, a.currency, "
        f"{amount('e.balance_after', 'balance_after', currency='a.currency')}, t.kind, t.memo, {party}, "
        f"{time('t.created_at', 'made_at')} "
        "FROM ballast.accounts a JOIN ballast.entries e ON e.account_id = a.id "
        "JOIN ballast.transfers t ON t.id = e.transfer_id "
        "LEFT JOIN ballast.accounts oa ON oa.id = CASE WHEN t.from_account_id = a.id THEN t.to_account_id "
        "ELSE t.from_account_id END LEFT JOIN ballast.users other ON other.id = oa.user_id "
        f"WHERE a.user_id = {user_id} ORDER BY e.account_id, e.account_version",
        "requested_transfers": f"SELECT p.id, CASE WHEN p.sender_user_id = {user_id} THEN 'sent' ELSE 'received' END "
        f"AS direction, {amount('p.amount')}, p.currency, p.memo, p.status, p.reason, p.transfer_id, {party}, "
        f"{time('p.created_at', 'created_at')}, {time('p.decided_at', 'decided_at')} "
        "FROM ballast.pending_transfers p LEFT JOIN ballast.users other ON other.id = "
        f"CASE WHEN p.sender_user_id = {user_id} THEN p.recipient_user_id ELSE p.sender_user_id END "
        f"WHERE p.sender_user_id = {user_id} OR p.recipient_user_id = {user_id} ORDER BY p.id",
        "holds": f"SELECT h.id, {amount('h.amount')}, h.currency, h.memo, h.status, h.reason, "
        f"{amount('h.posted_amount', 'posted_amount')}, h.transfer_id, {time('h.created_at', 'created_at')}, "
        f"{time('h.expires_at', 'expires_at')}, {time('h.ended_at', 'ended_at')} "
        f"FROM ballast.accounts a JOIN ballast.holds h ON h.account_id = a.id "
        f"WHERE a.user_id = {user_id} ORDER BY h.id",
        "credits_and_debits_by_admins": f"SELECT id, {amount('amount')}, currency, memo, status, reason, transfer_id, "
        f"{time('created_at', 'created_at')}, {time('decided_at', 'decided_at')} "
        f"FROM ballast.pending_adjustments WHERE target_user_id = {user_id} ORDER BY id",
        "exchanges": "SELECT id, "
        f"{amount('given_amount', 'given_amount', currency='given_currency')}, given_currency, "
        f"{amount('got_amount', 'got_amount', currency='got_currency')}, got_currency, status, reason, "
        f"given_transfer_id, got_transfer_id, {time('created_at', 'created_at')}, {time('decided_at', 'decided_at')} "
        f"FROM ballast.exchanges WHERE user_id = {user_id} ORDER BY id",
        "payments": "SELECT kind, charge_id, amount AS minor_units, currency, payload, "
        f"{time('said_at', 'said_at')}, details FROM ballast.payment_events "
        f"WHERE telegram_id = {telegram_id} ORDER BY id",
        "broadcasts": f"SELECT d.broadcast_id, d.status, d.message_id, {time('d.updated_at', 'updated_at')}, b.payload "
        "FROM ballast.broadcast_deliveries d JOIN ballast.broadcasts b ON b.id = d.broadcast_id "
        f"WHERE d.user_id = {user_id} ORDER BY d.broadcast_id",
        "failed_jobs": f"SELECT reference, kind, error, status, {time('created_at', 'created_at')}, payload "
        f"FROM ballast.failed_operations WHERE telegram_id = {telegram_id} ORDER BY id",
        "queued_jobs": f"SELECT kind, {time('created_at', 'created_at')}, payload FROM ballast.outbox "
        f"WHERE telegram_id = {telegram_id} ORDER BY id",
    }


class _JsonArray:
    """What COPY writes, a row at a time, as the members of a JSON array."""

    def __init__(self, file: HashedFile) -> None:
        self._file = file
        self._is_first = True
        self._begins = True

    def write(self, piece: bytes) -> int:
        """Rows end in a line feed, and have none within."""
        for line in piece.splitlines(keepends=True):
            if self._begins:
                self._file.write(b"\n  " if self._is_first else b",\n  ")
                self._is_first = False
            self._begins = line.endswith(b"\n")
            self._file.write(line.rstrip(b"\n"))
        return len(piece)


def export_person(
    settings: Settings, person: UserRef, path: Path, *, program: str, waiting: Waiting
) -> tuple[Path, dict[str, int]]:
    """Write the document; where it is, and how many rows each part has.

    path -- a new file, or a folder that gets one. waiting -- gives further parts, such as what Redis holds of them.
    Raises ExportRefused, SQLAlchemy's and the driver's errors; then there is no such file.
    """
    schema = settings.ballast_schema
    with snapshot(settings.require("database_url"), schema) as connection:
        require_revision(connection, schema)
        user_id, telegram_id = _found(connection, schema, person)
        path = path / f"person-{telegram_id}.json" if path.is_dir() else path
        if path.exists():
            raise ExportRefused(sentence("{path}: expected a new file, found one", path=path))
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            file = HashedFile(partial)
            try:
                counts = _write(
                    connection, settings, file, user_id, telegram_id, program, waiting(telegram_id)
                )
            finally:
                file.close()
            with told(path):
                os.link(partial, path)  # unlike a rename it replaces nothing
        finally:
            partial.unlink(missing_ok=True)
    return path, counts


def _found(connection: Connection, schema: str | None, person: UserRef) -> tuple[int, int]:
    by, value = ("telegram_id", person.telegram_id)
    if value is None:
        by, value = "lower(username)", person.username.lower() if person.username else None  # type: ignore[assignment]
    row = connection.execute(
        text(qualified(f"SELECT id, telegram_id FROM ballast.users WHERE {by} = :value", schema)),
        {"value": value},
    ).one_or_none()
    if row is None:
        raise ExportRefused(sentence("--person: the bot knows nobody of this name or ID"))
    return row[0], row[1]


def _write(
    connection: Connection,
    settings: Settings,
    file: HashedFile,
    user_id: int,
    telegram_id: int,
    program: str,
    waiting: Mapping[str, Any],
) -> dict[str, int]:
    head = {"format": FORMAT, "version": VERSION, "ballast": program, "exported_at": moment(connection)}
    file.write(json.dumps(head, indent=1).removesuffix("\n}").encode())
    counts = {}
    for name, query in _parts(settings, user_id, telegram_id).items():
        file.write(f',\n "{name}": ['.encode())
        counts[name] = copy(connection, settings.ballast_schema, query, "jsonl", _JsonArray(file))
        file.write(b"]")
    for name, value in waiting.items():
        file.write(f',\n "{name}": {json.dumps(value, ensure_ascii=False)}'.encode())
        counts[name] = len(value)
    file.write(b"\n}\n")
    return counts
