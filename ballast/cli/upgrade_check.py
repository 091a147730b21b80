"""What this release needs before and while it takes the place of the one that runs: `ballast upgrade --check`.

Everything is only read.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import redis

import ballast
from ballast.backups import record
from ballast.inbox import Inbox
from dbcore import pending_migrations
from dbcore.migrate import AppMigrations
from dbcore.migration_locks import TableLock
from dbcore.pending_migrations import Pending
from dbcore.redis_client import connect_redis, redis_time
from dbcore.settings import Settings, unknown_in_env_file

POSTGRES_MIN = 14
REDIS_MIN = (6, 2)


class Level(StrEnum):
    """OK: nothing to do. NOTE: to be known, or a step of the upgrade. FIRST: to be put right before it."""

    OK = "ok"
    NOTE = "note"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    level: Level
    words: str


def check(settings: Settings, apps: Sequence[AppMigrations]) -> list[Finding]:
    """Raises SQLAlchemy's errors and redis.RedisError if a server does not answer."""
    server = pending_migrations.look(
        settings.require("database_url"), schema=settings.ballast_schema, apps=apps
    )
    client = connect_redis(settings)
    return [
        _postgres(server.version),
        _redis(client),
        *_settings(),
        *_migrations(server),
        *_disk(server.pending, settings),
        _backup(client, settings, has_pending=bool(server.pending) and server.revision is not None),
        *_workers(client),
    ]


def is_ready(findings: Sequence[Finding]) -> bool:
    return all(finding.level is not Level.FIRST for finding in findings)


def _postgres(number: int) -> Finding:
    major = number // 10_000
    if major < POSTGRES_MIN:
        return Finding("PostgreSQL", Level.FIRST, f"is {major}; this release needs {POSTGRES_MIN} or newer")
    return Finding("PostgreSQL", Level.OK, f"is {major}")


def _redis(client: redis.Redis) -> Finding:
    version = str(client.info("server").get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < REDIS_MIN:
        least = ".".join(map(str, REDIS_MIN))
        return Finding("Redis", Level.FIRST, f"is {version}; this release needs {least} or newer")
    return Finding("Redis", Level.OK, f"is {version}" if version else "does not say its version")


def _settings() -> Iterator[Finding]:
    unknown = unknown_in_env_file()
    for name, meant in unknown:
        hint = f"; did you mean {meant}?" if meant else ""
        yield Finding("Settings", Level.NOTE, f"{name} in .env is not an option and is ignored{hint}")
    if not unknown:
        yield Finding("Settings", Level.OK, "are understood")


def _migrations(server: pending_migrations.Server) -> Iterator[Finding]:
    if not server.known:
        yield Finding(
            "Migrations",
            Level.FIRST,
            f"the database is at revision {server.revision}, which this release does not know: a newer one migrated it",
        )
    for pending in server.pending if server.revision is not None else ():
        yield _migration(pending)
    if server.revision is None:
        yield Finding(
            "Migrations", Level.NOTE, "the database has no tables of Ballast yet: run `ballast migrate`"
        )
    elif server.known and not server.pending:
        yield Finding("Migrations", Level.OK, "none is pending")


def _migration(pending: Pending) -> Finding:
    name = f"{pending.app or 'Ballast'} {pending.revision}"
    title = f" ({pending.title.rstrip('.')})" if pending.title else ""
    if pending.locks is None:
        locks = "what it locks cannot be told without running it: rehearse it on a restored backup"
    elif not pending.locks:
        locks = "locks no table that is in use; the bot can go on"
    else:
        told = "; ".join(map(_told, pending.locks))
        locks = f"{told}. {'Stop the bot first' if pending.stops_bot else 'The bot can go on'}"
    return Finding("Migrations", Level.FIRST if pending.stops_bot else Level.NOTE, f"{name}{title}: {locks}")


def _told(lock: TableLock) -> str:
    if not lock.long:
        return f"{lock.table} {lock.mode} for a moment"
    return (
        f"{lock.table} {lock.mode} while it {lock.long}{'' if lock.stops_writers else ', which stops nobody'}"
    )


def _disk(pending: Sequence[Pending], settings: Settings) -> Iterator[Finding]:
    needed = sum(each.index_bytes for each in pending)
    if not needed:
        return
    free = _free_bytes(settings)
    words = f"building indexes takes up to {needed / 2**20:,.0f} MB on the database's disk"
    if free is None:
        yield Finding("Disk", Level.NOTE, f"{words}; the server does not tell how much is free")
    elif free < needed:
        yield Finding("Disk", Level.FIRST, f"{words}, and {free / 2**20:,.0f} MB are free")
    else:
        yield Finding("Disk", Level.OK, f"{words}, of {free / 2**20:,.0f} MB that are free")


def _free_bytes(settings: Settings) -> int | None:
    """Of the embedded PostgreSQL, which is on this machine. No server tells it to an ordinary role."""
    data = Path(".ballast/postgres")
    url = settings.require("database_url")
    is_embedded = "@127.0.0.1:" in url and data.is_dir()
    return shutil.disk_usage(data).free if is_embedded else None


def _backup(client: redis.Redis, settings: Settings, *, has_pending: bool) -> Finding:
    known = record.read(client)
    made_first = "; `ballast migrate` makes one first" if has_pending and settings.backup_to else ""
    if known.proven is None:
        advice = "" if settings.backup_to else ": set BACKUP_TO, or make one by `ballast backup --to`"
        level = Level.FIRST if has_pending and not made_first else Level.NOTE
        return Finding("Backup", level, f"no proven one is known{advice}{made_first}")
    hours = (redis_time(client) - known.proven.taken_at) / 3600
    words = f"the last proven one is {hours:,.1f} hours old"
    limit = settings.backup_alarm_seconds
    if limit is not None and hours * 3600 > limit:
        return Finding("Backup", Level.NOTE if made_first else Level.FIRST, f"{words}: too old{made_first}")
    return Finding("Backup", Level.OK, f"{words}{made_first}")


def _workers(client: redis.Redis) -> Iterator[Finding]:
    reports = Inbox(client).processes().values()
    releases = Counter(str(report.get("version", "0.2.0 or older")) for report in reports)
    others = {release: count for release, count in releases.items() if release != ballast.__version__}
    for release, count in sorted(others.items()):
        processes = "1 process" if count == 1 else f"{count} processes"
        words = f"{processes} of release {release} still run: restart them after the migrations"
        yield Finding("Workers", Level.NOTE, words)
    if not others:
        words = (
            f"all {sum(releases.values())} processes are of {ballast.__version__}"
            if releases
            else "none runs"
        )
        yield Finding("Workers", Level.OK, words)
