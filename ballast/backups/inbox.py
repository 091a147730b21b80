"""The inbox as a part of a backup."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from ballast.inbox.copying import InboxCopier, is_running
from ballast.queueing import relay_hold
from ballast.texts import gettext, ngettext
from ballast.texts.steps import step
from dbcore.backups.errors import BackupDamaged, BackupFailed
from dbcore.redis_pace import pace_of
from dbcore.sentences import sentence
from dbcore.settings import Settings


@contextmanager
def copied(
    client: redis.Redis | None, file: Path, say: Callable[[str], None]
) -> Iterator[tuple[int | None, Callable[[], None]]]:
    """Copy the inbox into `file`; how many jobs are on record, and what to call once the dump has begun.

    A backup without it, because Redis does not answer, is better than none: then it is None, and there is no file.
    """
    with ExitStack() as stack:
        jobs, begun = None, _nothing
        if client is None:
            say(step("inbox", gettext("REDIS_URL is not set: the backup is without the inbox")))
        else:
            try:
                begun = stack.enter_context(relay_hold.held(client))
                with gzip.open(file, "wt") as out:
                    out.writelines(f"{line}\n" for line in InboxCopier(client).copy())
                jobs = client.zcard("ballast:inbox:all")
                say(step("inbox", ngettext("{count} job on record", "{count} jobs on record", jobs)))
            except redis.RedisError as error:
                file.unlink(missing_ok=True)
                begun = _nothing
                say(
                    step(
                        "inbox",
                        gettext(
                            "Redis does not answer ({error}): the backup is without the inbox", error=error
                        ),
                    )
                )
        yield jobs, begun


def _nothing() -> None:
    return None


def require_stopped(client: redis.Redis, settings: Settings) -> None:
    """Raises BackupFailed while a worker beats, or if Redis does not answer."""
    try:
        if is_running(client, pace_of(settings).owner_dead):
            raise BackupFailed(
                sentence("workers are running: stop all processes first, and wait a few seconds")
            )
    except redis.RedisError as error:
        raise BackupFailed(
            sentence(
                "Redis does not answer ({error}), and the backup has jobs for it: --no-inbox leaves them out",
                error=error,
            )
        ) from error


def put_back(client: redis.Redis, file: Path) -> int:
    """How many jobs are on record again. Raises BackupFailed, BackupDamaged."""
    try:
        with gzip.open(file, "rt") as lines, gzip.open(file, "rt") as again:
            return InboxCopier(client).put_back(lines, again)
    except redis.RedisError as error:
        raise BackupFailed(
            sentence(
                "the database is restored, but Redis does not answer ({error}): restore once more with --overwrite",
                error=error,
            )
        ) from error
    except (EOFError, ValueError) as error:
        raise BackupDamaged(
            sentence("its copy of the inbox cannot be read ({error})", error=error)
        ) from error
