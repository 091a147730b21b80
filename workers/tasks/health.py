"""The probe: once each period, however many beats ask for it."""

from __future__ import annotations

import socket
import time
from dataclasses import asdict
from typing import Any

import redis
import structlog
from psycopg2.errors import UndefinedColumn, UndefinedTable

from ballast.queueing import outbox_relay
from ballast.status import books_record, probe_results
from dbcore import events, failed_operations, jobs_waiting, outbox, probes, retention
from dbcore.breaker import outage_history
from dbcore.database_url import addresses
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from dbcore.ledger import books, holds, seals
from dbcore.moving import whereabouts
from dbcore.redis_client import redis_time
from workers.celery import Task, upkeep
from workers.context import WorkerContext

log = structlog.get_logger(__name__)

TCP_SECONDS_MAX = 2.0

SEAL_TASK = "workers.health.seal"
SEAL_SECONDS_MAX = 2.0

UNSEALED_MAX = 100_000
"""Entries that are summed up for the balance sheet each time. While there are more, it stays as it was."""

TENDED_EVERY_SECONDS = 3600
"""At most, where the database is asked as little as can be."""


@upkeep("workers.health.probe")
def probe(task: Task, trigger: str = "beat") -> None:
    """Ask the database how it is; leave the answer in `health_probes` and in Redis.

    trigger -- `beat`, or `operator` to probe now, whatever was probed this period.
    """
    _probe(task.context, trigger)


def _probe(worker: WorkerContext, trigger: str) -> None:
    period = worker.settings.health_probe_seconds
    # By Redis's clock, as all that it is compared with; and when it began, for an answer that another call got
    # meanwhile is newer than a failure that took five seconds.
    began_at = redis_time(worker.redis)
    if trigger == "beat" and not probe_results.claim_slot(worker.redis, int(began_at) // period, period):
        return
    if trigger == "beat" and worker.settings.health_probe_mode == "thrifty":
        finding = _without_waking_it(worker)
    else:
        finding = _asked(worker, trigger)
    finding["probed_at"] = began_at
    finding["every_seconds"] = period
    probe_results.keep(worker.redis, finding)
    log.info("probed", ok=finding["ok"], latency_ms=finding.get("latency_ms"))
    if not finding["ok"]:
        return
    if finding["by"] == "statement" or _is_awake_and_untended(worker, finding["by"]):
        _tend(worker)
        _relay(worker)
        _seal(worker)
        worker.ask_for_events()
    elif jobs_waiting.read(worker.redis) is not None:
        _relay(worker)


@upkeep(SEAL_TASK)
def seal(task: Task) -> None:
    """Seal what the ledger has written, a slice at a time; what is left is asked for anew."""
    _seal(task.context)


def _seal(worker: WorkerContext) -> None:
    try:
        done = seals.run(worker.engine, seconds_max=SEAL_SECONDS_MAX)
        state = seals.state(worker.engine)
        if state.unsealed <= UNSEALED_MAX:
            sheet = books.balance_sheet(worker.engine)
            books_record.keep(
                worker.redis, state, sheet, books.daily_totals(worker.engine, books_record.DAYS)
            )
    except DatabaseAway as away:
        log.info("not_sealed", kind=away.kind)
    except UndefinedTable:
        log.error("not_sealed", lacks="the table ledger_seals", repair="python -m dbcore migrate")
    else:
        if done.has_more:
            worker.publisher.ask(SEAL_TASK, queue="health", expires_seconds=60)


@upkeep(outbox_relay.TASK)
def relay(task: Task) -> None:
    """Take what transactions enqueued to the inbox."""
    _relay(task.context)


def _relay(worker: WorkerContext) -> None:
    try:
        if count := worker.relay.run():
            log.info("relayed", jobs=count)
    except DatabaseAway as away:
        log.info("relay_waits", kind=away.kind)
    except redis.RedisError as error:
        log.warning("relay_waits", error=type(error).__name__)
    except UndefinedTable:
        log.error("relay_waits", lacks="the table outbox", repair="python -m dbcore migrate")


def _is_awake_and_untended(worker: WorkerContext, by: str) -> bool:
    """Not each time that there is traffic: tending is traffic too, and would keep the database awake forever."""
    return by == "traffic" and probe_results.claim_tending(worker.redis, TENDED_EVERY_SECONDS)


def _tend(worker: WorkerContext) -> None:
    """What is to be looked after now and then, while the database is awake anyway."""
    try:
        if events.want(worker.engine, worker.settings.events_url is not None):
            log.info("events_wanted", wanted=worker.settings.events_url is not None)
        worker.broadcaster.orders.recall()
        if count := holds.sweep(worker.engine):
            log.info("holds_expired", holds=count)
        for table, rows in retention.prune(worker.engine, retention.rules(worker.settings)).items():
            worker.counters.count("pruned", table, by=rows)
            log.info("pruned", table=table, rows=rows)
        outage_history.copy_table(worker.redis, worker.engine)
    except DatabaseAway as away:
        log.info("not_tended", kind=away.kind)
    except (UndefinedColumn, UndefinedTable) as lacking:
        log.error("not_tended", lacks=str(lacking).partition("\n")[0], repair="python -m dbcore migrate")


def _asked(worker: WorkerContext, trigger: str) -> dict[str, Any]:
    try:
        found = probes.probe(worker.engine, trigger=trigger)
        # Only where all tables are there, and while it is awake anyway.
        letters = failed_operations.count_open(worker.engine) if found.ok else None
        waiting = asdict(outbox.waiting(worker.engine)) if found.ok else {}
        return {
            "by": "statement",
            **asdict(found),
            "open_dead_letters": letters,
            "outbox_rows": waiting.get("rows"),
            "outbox_oldest_seconds": waiting.get("oldest_seconds"),
            "oldest_row_seconds": retention.oldest(worker.engine) if found.ok else {},
        }
    except probes.SchemaMissing as missing:
        log.error("schema_missing", lacks=str(missing), repair="python -m dbcore migrate")
        return {"by": "statement", "ok": False, "kind": probe_results.SCHEMA, "error": str(missing)}
    except DatabaseAway as away:
        return {
            "by": "statement",
            "ok": False,
            "kind": str(away.kind),
            "retry_after_seconds": away.retry_after_seconds,
        }


def _without_waking_it(worker: WorkerContext) -> dict[str, Any]:
    """For a database that sleeps while nobody uses it, and is paid for by the hour that it is awake: traffic since the
    last look is as good as a probe, and without any it is only looked whether somebody listens there.
    """
    engines = {
        owner: report["database"]
        for owner, report in worker.inbox.processes().items()
        if "database" in report
    }
    calls = {owner: int(engine["calls_total"]) for owner, engine in engines.items()}
    before = probe_results.exchange_calls(worker.redis, calls)
    busy = [engines[owner] for owner, count in calls.items() if count > before.get(owner, 0)]
    if busy:
        return {"by": "traffic", "ok": any(engine["failed_operations"] == 0 for engine in busy)}
    return _listens(whereabouts.current(worker.settings.require("database_url")))


def _listens(url: str) -> dict[str, Any]:
    """Whether somebody does where libpq would connect to: at one of several hosts is enough, as it is to libpq."""
    last: OSError | None = None
    started = time.perf_counter()
    for address in addresses(url):
        try:
            _knock(address)
        except OSError as error:
            last = error
        else:
            return {"by": "tcp", "ok": True, "latency_ms": round(1000 * (time.perf_counter() - started), 2)}
    return {"by": "tcp", "ok": False, "kind": FailureKind.OUTAGE.value, "error": type(last).__name__}


def _knock(address: tuple[str, int] | str) -> None:
    if isinstance(address, tuple):
        socket.create_connection(address, TCP_SECONDS_MAX).close()
        return
    with socket.socket(socket.AF_UNIX) as local:
        local.settimeout(TCP_SECONDS_MAX)
        local.connect("\0" + address[1:] if address.startswith("@") else address)
