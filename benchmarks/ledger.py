"""The ledger's statement through the guarded engine against the same statement on bare psycopg2.

Both run in this process, in turns of a fraction of a second, so that what else the machine does hits both alike; the
ratio is the median of those of neighbouring turns.
"""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg2
from pydantic import SecretStr

from dbcore.database_url import read_database_url
from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.qualified_names import qualified
from dbcore.settings import Settings

ACCOUNTS = 1_000
OPENING_BALANCE = 10**12
_FIRST_TELEGRAM_ID = 7_000_000_000
_TURN_SECONDS = 0.5

Transfer = Callable[[int, str, int, int], None]


def run(database_url: str, seconds: float) -> dict[str, Any]:
    """Transfers a second for 1 and 8 threads, each with a connection of its own.

    database_url -- a migrated database; accounts are added to it.
    seconds -- for each combination.
    """
    engine = GuardedEngine(
        Settings(
            _env_file=None,
            database_url=SecretStr(database_url),
            db_pool_size=8,
            db_max_overflow=0,
            db_deadline_seconds=30,
        )
    )
    people = _open_accounts(engine)
    plain_url = read_database_url(database_url).replace("+psycopg2", "")
    results: dict[str, Any] = {"accounts": len(people)}
    for threads in (1, 8):
        bare = _bare_transfers(plain_url, threads)
        guarded = _guarded_transfers(engine)
        rates: dict[str, list[float]] = {"bare": [], "guarded": []}
        _turn(guarded, people, threads, _TURN_SECONDS)  # warm both: plans, pools, caches
        _turn(bare, people, threads, _TURN_SECONDS)
        for _ in range(max(1, round(seconds / _TURN_SECONDS))):
            for name, transfer in (("bare", bare), ("guarded", guarded)):
                count, elapsed = _turn(transfer, people, threads, _TURN_SECONDS)
                rates[name].append(count / elapsed)
        ratios = [guarded / bare for guarded, bare in zip(rates["guarded"], rates["bare"], strict=True)]
        results[f"connections_{threads}"] = {
            "bare_per_second": round(statistics.median(rates["bare"])),
            "guarded_per_second": round(statistics.median(rates["guarded"])),
            "ratio": round(statistics.median(ratios), 3),
        }
    engine.dispose()
    return results


def _open_accounts(engine: GuardedEngine) -> list[int]:
    people = list(range(_FIRST_TELEGRAM_ID, _FIRST_TELEGRAM_ID + ACCOUNTS))
    for telegram_id in people:
        users.get_or_create(engine, profile=users.Profile(telegram_id, None, "Bench"))
        ledger.adjust(
            engine,
            key=f"bench-opening-{telegram_id}",
            target=users.UserRef(telegram_id=telegram_id),
            amount=OPENING_BALANCE,
            memo="",
            actor="benchmark",
        )
    return people


def _guarded_transfers(engine: GuardedEngine) -> Transfer:
    def transfer(_thread: int, key: str, sender: int, recipient: int) -> None:
        mark = fingerprint("transfer", sender, recipient, 1, "CREDIT", "", "transfer")
        parameters = (key, mark, sender, recipient, 1, "CREDIT", "transfer", "", "CREDIT", "CREDIT")
        engine.fetch_row(ledger.TRANSFER_SQL, parameters, name="ledger.transfer")

    return transfer


def _bare_transfers(url: str, threads: int) -> Transfer:
    connections = [psycopg2.connect(url) for _ in range(threads)]
    for connection in connections:
        connection.autocommit = True
    statement = qualified(ledger.TRANSFER_SQL, None)

    def transfer(thread: int, key: str, sender: int, recipient: int) -> None:
        # The fingerprint is part of the request, so it is computed on both sides.
        mark = fingerprint("transfer", sender, recipient, 1, "CREDIT", "", "transfer")
        with connections[thread].cursor() as cursor:
            parameters = (key, mark, sender, recipient, 1, "CREDIT", "transfer", "", "CREDIT", "CREDIT")
            cursor.execute(statement, parameters)
            cursor.fetchone()

    return transfer


def _turn(transfer: Transfer, people: list[int], threads: int, seconds: float) -> tuple[int, float]:
    counts = [0] * threads
    started = time.perf_counter()
    until = started + seconds

    def work(thread: int) -> None:
        prefix = f"bench-{uuid.uuid4().hex}"
        chance = random.Random(thread)
        for number in itertools.count():
            if time.perf_counter() >= until:
                return
            sender, recipient = chance.sample(people, 2)
            transfer(thread, f"{prefix}-{number}", sender, recipient)
            counts[thread] += 1

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts), time.perf_counter() - started
