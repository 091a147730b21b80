"""What a backup does not have: what the bot did after it, as far as Redis still knows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast

import redis
from sqlalchemy import text

from ballast.operators.csv_text import csv_text
from dbcore.currencies import Currencies
from dbcore.guard import pool
from dbcore.moving.hold import NAME
from dbcore.qualified_names import qualified

_AT_ONCE = 1_000
_DONE = "ballast:inbox:done:"
_ACCOUNTS = """
SELECT u.telegram_id, a.balance, a.version FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id
 WHERE a.currency = :currency AND u.telegram_id = ANY(:people)
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """An account that had more entries than the restored one has. Amounts in minor units; None: it is not there.

    entries_missing -- how many. known_at -- when it was last known, in seconds since 1970.
    """

    telegram_id: int
    currency: str
    restored: int | None
    last_known: int
    entries_missing: int
    known_at: int


@dataclass(frozen=True, slots=True)
class Gap:
    """jobs_done -- since the backup, those that only read among them; None: the backup has no inbox to compare with."""

    accounts: list[Difference]
    jobs_done: int | None


def find(client: redis.Redis, url: str, schema: str | None, currencies: Currencies, inbox: Path) -> Gap:
    """url -- of the restored database. currencies -- the bot's. inbox -- the backup's copy of the inbox, which may be
    missing.

    Raises redis.RedisError, SQLAlchemy's errors.
    """
    found = (_differences(client, url, schema, each.code) for each in currencies)
    return Gap([each for of_one in found for each in of_one], _jobs_done(client, inbox))


def write(gap: Gap, file: Path) -> None:
    """A line for each account."""
    columns = [field.name for field in fields(Difference)]
    file.write_text(csv_text(columns, map(asdict, gap.accounts)), encoding="utf-8")


def _differences(client: redis.Redis, url: str, schema: str | None, currency: str) -> Iterator[Difference]:
    engine = pool.single(url, application_name=NAME, schema=schema)
    known: dict[int, tuple[int, int, int]] = {}
    with engine.connect() as connection:

        def compared() -> Iterator[Difference]:
            rows = connection.execute(
                text(qualified(_ACCOUNTS, schema)), {"currency": currency, "people": list(known)}
            )
            restored = {row[0]: (row[1], row[2]) for row in rows}
            for person, (balance, version, known_at) in known.items():
                there, entries = restored.get(person, (None, 0))
                if version > entries:
                    yield Difference(person, currency, there, balance, version - entries, known_at)
            known.clear()

        for person, kept in client.hscan_iter(f"ballast:balances:{currency}", count=_AT_ONCE):
            balance, version, known_at = (int(part) for part in cast(bytes, kept).split())
            known[int(person)] = (balance, version, known_at)
            if len(known) >= _AT_ONCE:
                yield from compared()
        yield from compared()


def _jobs_done(client: redis.Redis, inbox: Path) -> int | None:
    if not inbox.exists():
        return None
    before: set[str] = set()
    with gzip.open(inbox, "rt") as lines:
        for line in lines:
            if (parts := json.loads(line))[0] == "done":
                before.update(parts[2])
    return sum(
        job_id.decode(errors="surrogateescape") not in before
        for key in client.scan_iter(f"{_DONE}*", count=_AT_ONCE)
        for job_id in cast("Iterator[bytes]", client.sscan_iter(key, count=_AT_ONCE))
    )
