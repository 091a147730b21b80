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
from ballast.texts import gettext, gettext_noop, ngettext, said
from ballast.texts.formats import decimals
from dbcore import pending_migrations
from dbcore.migrate import AppMigrations
from dbcore.migration_locks import TableLock
from dbcore.misspelt import ignored
from dbcore.pending_migrations import Pending
from dbcore.redis_client import connect_redis, redis_time
from dbcore.settings import Settings, unknown_in_env_file
from dbcore.settings.options import ENV_FILE

POSTGRES_MIN = 14
REDIS_MIN = (6, 2)

_FOR_HOW_LONG = {
    "": gettext_noop("{lock} for a moment"),
    "writes the table anew": gettext_noop("{lock} while it writes the table anew"),
    "reads the whole table": gettext_noop("{lock} while it reads the whole table"),
    "builds an index": gettext_noop("{lock} while it builds an index"),
}
"""By what takes long (dbcore/migration_locks.py)."""


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
        return Finding("PostgreSQL", Level.FIRST, _too_old(str(major), str(POSTGRES_MIN)))
    return Finding("PostgreSQL", Level.OK, _version(str(major)))


def _redis(client: redis.Redis) -> Finding:
    version = str(client.info("server").get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < REDIS_MIN:
        return Finding("Redis", Level.FIRST, _too_old(version, ".".join(map(str, REDIS_MIN))))
    return Finding("Redis", Level.OK, _version(version) if version else gettext("does not say its version"))


def _version(version: str) -> str:
    return gettext("is {version}", version=version)


def _too_old(version: str, least: str) -> str:
    return gettext("is {version}; this release needs {least} or newer", version=version, least=least)


def _settings() -> Iterator[Finding]:
    unknown = unknown_in_env_file()
    for name, meant in unknown:
        yield Finding(gettext("Settings"), Level.NOTE, said(ignored(name, ENV_FILE, meant)))
    if not unknown:
        yield Finding(gettext("Settings"), Level.OK, gettext("are understood"))


def _migrations(server: pending_migrations.Server) -> Iterator[Finding]:
    subject = gettext("Migrations")
    if not server.known:
        newer = gettext(
            "the database is at revision {revision}, which this release does not know: a newer one migrated it",
            revision=server.revision,
        )
        yield Finding(subject, Level.FIRST, newer)
    for pending in server.pending if server.revision is not None else ():
        yield _migration(pending)
    if server.revision is None:
        missing = gettext(
            "the database has no tables of Ballast yet: run `{command}`", command="ballast migrate"
        )
        yield Finding(subject, Level.NOTE, missing)
    elif server.known and not server.pending:
        yield Finding(subject, Level.OK, gettext("none is pending"))


def _migration(pending: Pending) -> Finding:
    name = f"{pending.app or 'Ballast'} {pending.revision}"
    title = f" ({pending.title.rstrip('.')})" if pending.title else ""
    if pending.locks is None:
        locks = gettext("what it locks cannot be told without running it: rehearse it on a restored backup")
    elif not pending.locks:
        locks = gettext("locks no table that is in use; the bot can go on")
    else:
        told = "; ".join(map(_told, pending.locks))
        locks = (
            gettext("{locks}. Stop the bot first", locks=told)
            if pending.stops_bot
            else gettext("{locks}. The bot can go on", locks=told)
        )
    level = Level.FIRST if pending.stops_bot else Level.NOTE
    return Finding(gettext("Migrations"), level, f"{name}{title}: {locks}")


def _told(lock: TableLock) -> str:
    told = gettext(_FOR_HOW_LONG[lock.long], lock=f"{lock.table} {lock.mode}")
    return told if not lock.long or lock.stops_writers else gettext("{lock}, which stops nobody", lock=told)


def _disk(pending: Sequence[Pending], settings: Settings) -> Iterator[Finding]:
    needed = sum(each.index_bytes for each in pending)
    if not needed:
        return
    subject, free = gettext("Disk"), _free_bytes(settings)
    if free is None:
        untold = gettext(
            "building indexes takes up to {needed} MB on the database's disk; the server does not tell how much is "
            "free",
            needed=_megabytes(needed),
        )
        yield Finding(subject, Level.NOTE, untold)
    elif free < needed:
        too_little = gettext(
            "building indexes takes up to {needed} MB on the database's disk, and {free} MB are free",
            needed=_megabytes(needed),
            free=_megabytes(free),
        )
        yield Finding(subject, Level.FIRST, too_little)
    else:
        enough = gettext(
            "building indexes takes up to {needed} MB on the database's disk, of {free} MB that are free",
            needed=_megabytes(needed),
            free=_megabytes(free),
        )
        yield Finding(subject, Level.OK, enough)


def _megabytes(size: int) -> int:
    return round(size / 2**20)


def _free_bytes(settings: Settings) -> int | None:
    """Of the embedded PostgreSQL, which is on this machine. No server tells it to an ordinary role."""
    data = Path(".ballast/postgres")
    url = settings.require("database_url")
    is_embedded = "@127.0.0.1:" in url and data.is_dir()
    return shutil.disk_usage(data).free if is_embedded else None


def _backup(client: redis.Redis, settings: Settings, *, has_pending: bool) -> Finding:
    known = record.read(client)
    is_made_first = has_pending and settings.backup_to is not None
    subject, parts = gettext("Backup"), []
    if is_made_first:
        parts.append(gettext("`{command}` makes one first", command="ballast migrate"))
    if known.proven is None:
        level = Level.FIRST if has_pending and not is_made_first else Level.NOTE
        none = (
            gettext("no proven one is known")
            if settings.backup_to
            else gettext(
                "no proven one is known: set BACKUP_TO, or make one by `{command}`",
                command="ballast backup --to",
            )
        )
        return Finding(subject, level, "; ".join([none, *parts]))
    hours = (redis_time(client) - known.proven.taken_at) / 3600
    limit = settings.backup_alarm_seconds
    if limit is not None and hours * 3600 > limit:
        level = Level.NOTE if is_made_first else Level.FIRST
        too_old = gettext("the last proven one is {hours} hours old: too old", hours=decimals(hours, 1))
        return Finding(subject, level, "; ".join([too_old, *parts]))
    age = gettext("the last proven one is {hours} hours old", hours=decimals(hours, 1))
    return Finding(subject, Level.OK, "; ".join([age, *parts]))


def _workers(client: redis.Redis) -> Iterator[Finding]:
    reports = Inbox(client).processes().values()
    unnamed = gettext("0.2.0 or older")
    releases = Counter(str(report.get("version", unnamed)) for report in reports)
    others = {release: count for release, count in releases.items() if release != ballast.__version__}
    subject = gettext("Workers")
    for release, count in sorted(others.items()):
        words = ngettext(
            "{count} process of release {release} still runs: restart it after the migrations",
            "{count} processes of release {release} still run: restart them after the migrations",
            count,
            release=release,
        )
        yield Finding(subject, Level.NOTE, words)
    if not releases:
        yield Finding(subject, Level.OK, gettext("none runs"))
    elif not others:
        all_new = ngettext(
            "the only process is of {release}",
            "all {count} processes are of {release}",
            sum(releases.values()),
            release=ballast.__version__,
        )
        yield Finding(subject, Level.OK, all_new)
