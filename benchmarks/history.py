"""What a large database costs: the same calls on one with few people and on one with many, who have as many entries
each, by turns. What else the machine does hits both alike.

`of anybody`: people are drawn from all of the database. `of those who come`: in the large one from as many as the small
one has, so that a cache has to hold equally much.
"""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from pydantic import SecretStr

from benchmarks.filled_tables import FIRST_TELEGRAM_ID, Size, fill
from dbcore.broadcasts import deliveries
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import history, ledger, seals, users
from dbcore.ledger.audit import audit
from dbcore.migrate import upgrade
from dbcore.people import lists, movements, refusals, search
from dbcore.settings import Settings
from devstack.postgres import ROLE, EmbeddedPostgres

PAGE = 8
ENTRIES_EACH = 101
BROADCASTS = 50
FEW = 1_000
_WARM_UP = 1_000
NEW_TRANSFERS = 1_000

Call = Callable[[int], object]


def run(server: EmbeddedPostgres, people: int, rounds: int = 3_000) -> dict[str, Any]:
    """Milliseconds of each call, its median and its 95th percentile, and the large database's by the small one's. And
    those of CPU, of the server and of who calls together, which other programs on the machine lengthen less.

    people -- of the large database, each with ENTRIES_EACH entries. rounds -- of each call, in each database.
    """
    sizes = {"small": Size(FEW, ENTRIES_EACH, BROADCASTS), "large": Size(people, ENTRIES_EACH, BROADCASTS)}
    results: dict[str, Any] = {
        "entries": {name: size.entries for name, size in sizes.items()},
        "deliveries": {name: size.people * size.broadcasts for name, size in sizes.items()},
    }
    for name, size in sizes.items():
        filled(server, name, size)
    with _engines(server, sizes) as engines:
        calls = {name: _calls(engines[name], size) for name, size in sizes.items()}
        backends = {
            name: engine.fetch_row("SELECT pg_backend_pid()", (), name="benchmark")[0]
            for name, engine in engines.items()
        }
        drawn = {"of anybody": people, "of those who come": FEW}
        results["calls"] = {
            f"{call}, {whose}": _compared(calls, backends, _active(sizes, most), call, rounds)
            for call in calls["small"]
            for whose, most in drawn.items()
        }
    results["audit_seconds_per_million_entries"] = {
        name: round(_audit_seconds(server.url_of(name)) / size.entries * 1e6, 2)
        for name, size in sizes.items()
    }
    with _engines(server, sizes) as engines:
        results["audit_seconds"] = {
            name: _incremental(engine, server.url_of(name), people=sizes[name].people)
            for name, engine in engines.items()
        }
    return results


def filled(server: EmbeddedPostgres, name: str, size: Size) -> None:
    """A new database of that size."""
    connection = psycopg2.connect(server.admin_url_of("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} OWNER {ROLE}")
    connection.close()
    upgrade(server.url_of(name))
    fill(server.admin_url_of(name), size)


@contextmanager
def _engines(server: EmbeddedPostgres, sizes: dict[str, Size]) -> Iterator[dict[str, GuardedEngine]]:
    engines = {
        name: GuardedEngine(
            Settings(
                _env_file=None,
                database_url=SecretStr(server.url_of(name)),
                db_pool_size=1,
                db_deadline_seconds=60,
            )
        )
        for name in sizes
    }
    try:
        yield engines
    finally:
        for engine in engines.values():
            engine.dispose()


def _calls(engine: GuardedEngine, size: Size) -> dict[str, Call]:
    def profile(person: int) -> users.Profile:
        return users.Profile(FIRST_TELEGRAM_ID + person, f"filled{person}", f"Filled {person}")

    def page(upto_version: int | None) -> Call:
        return lambda person: history.page(
            engine, profile=profile(person), upto_version=upto_version, limit=PAGE
        )

    def operators(**wanted: Any) -> Call:
        return lambda person: movements.movements(
            engine, FIRST_TELEGRAM_ID + person, limit=50, filters=movements.Filters(**wanted)
        )

    return {
        "an operator's page of movements": operators(),
        "the same, of a memo that none has": operators(memo="no such memo"),
        "an operator's search by @username": lambda person: search.search(engine, f"@filled{person}"),
        "an operator's search by a transfer's number": lambda person: search.search(engine, f"#{person}"),
        "an operator's page of transfers": lambda person: lists.transfers(
            engine, before=50 * person, limit=50
        ),
        "what failed for somebody": lambda person: refusals.refusals(
            engine, person, FIRST_TELEGRAM_ID + person
        ),
        "/balance": lambda person: users.get_or_create(engine, profile=profile(person)),
        "/history, first page": page(None),
        "/history, deep page": page(size.entries_each // 3),
        "transfer": lambda person: ledger.transfer(
            engine,
            key=f"bench-{uuid.uuid4().hex}",
            sender_telegram_id=FIRST_TELEGRAM_ID + person,
            recipient_telegram_id=FIRST_TELEGRAM_ID + 1 + person % size.people,
            amount=1,
            memo="",
        ),
        "credit": lambda person: ledger.adjust(
            engine,
            key=f"bench-{uuid.uuid4().hex}",
            target=users.UserRef(telegram_id=FIRST_TELEGRAM_ID + person),
            amount=1,
            memo="",
            actor="benchmark",
        ),
        "report of a broadcast, a page": lambda person: deliveries.page(
            engine, 1 + person % size.broadcasts, after_user_id=person % (size.people - 100), limit=100
        ),
    }


def _active(sizes: dict[str, Size], most: int) -> dict[str, list[int]]:
    """Whom the calls are for, in each database: so many people, drawn from all of it."""
    chance = random.Random(most)
    return {
        name: chance.sample(range(1, size.people + 1), min(most, size.people)) for name, size in sizes.items()
    }


def _compared(
    calls: dict[str, dict[str, Call]],
    backends: dict[str, int],
    people: dict[str, list[int]],
    call: str,
    rounds: int,
) -> dict[str, Any]:
    chance = random.Random(call)
    warm_up = min(_WARM_UP, rounds)
    times: dict[str, list[float]] = {name: [] for name in people}
    spent = dict.fromkeys(people, 0.0)
    for turn in range(warm_up + rounds):
        if turn == warm_up:
            spent = {name: -_cpu_seconds(backend) for name, backend in backends.items()}
        for name, active in people.items():
            person, began = chance.choice(active), time.thread_time()
            started = time.perf_counter()
            calls[name][call](person)
            if turn >= warm_up:
                times[name].append(1000 * (time.perf_counter() - started))
                spent[name] += time.thread_time() - began
    found: dict[str, Any] = {}
    for share, quantile in (("p50", 50), ("p95", 95)):
        at = {name: statistics.quantiles(of_it, n=100)[quantile - 1] for name, of_it in times.items()}
        found[share] = {name: round(ms, 3) for name, ms in at.items()}
        found[share]["ratio"] = round(at["large"] / at["small"], 2)
    cpu = {name: 1000 * (spent[name] + _cpu_seconds(backends[name])) / rounds for name in people}
    found["cpu"] = {name: round(ms, 3) for name, ms in cpu.items()}
    found["cpu"]["ratio"] = round(cpu["large"] / cpu["small"], 2)
    return found


def _cpu_seconds(process: int) -> float:
    """That it has used so far."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def _incremental(engine: GuardedEngine, url: str, *, people: int) -> dict[str, float]:
    """Seconds to seal all of it, of a full audit with all seals read, and of one that reads only what came after."""
    started = time.perf_counter()
    while seals.run(engine, seconds_max=60).has_more:
        pass
    sealing = time.perf_counter() - started
    full = _audit_seconds(url)
    for number in range(NEW_TRANSFERS):
        ledger.transfer(
            engine,
            key=f"new-{number}",
            sender_telegram_id=FIRST_TELEGRAM_ID + 1 + number % people,
            recipient_telegram_id=FIRST_TELEGRAM_ID + 1 + (number + 1) % people,
            amount=1,
            memo="",
        )
    incremental = _audit_seconds(url, full=False)
    return {
        "sealing": round(sealing, 2),
        "full": round(full, 2),
        f"incremental, {NEW_TRANSFERS} new transfers": round(incremental, 2),
    }


def _audit_seconds(url: str, *, full: bool = True) -> float:
    started = time.perf_counter()
    wrong = [finding.name for finding in audit(url, full=full) if not finding.ok]
    if wrong:
        raise AssertionError(f"the audit failed: {', '.join(wrong)}")
    return time.perf_counter() - started
