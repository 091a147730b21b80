"""A move from a database that no longer answers: the last proven backup is restored, and what it lacks is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ballast.backups import archive, restoring
from ballast.backups.archive import BackupManifest
from ballast.inbox.copying import InboxCopier
from ballast.moving import gap
from ballast.moving.mover import Mover
from ballast.moving.pause import Pause
from dbcore.backups.errors import words_of
from dbcore.guard.deadline import Deadline
from dbcore.moving import checks, hold, record, whereabouts
from dbcore.moving.errors import MoveFailed
from dbcore.moving.record import Move, MoveState
from dbcore.redis_client import redis_time

LOOK_SECONDS_MAX = 10.0
SHOWN_MAX = 20


def move(mover: Mover, manifest: BackupManifest, folder: Path, file: Path) -> Move:
    """manifest, folder -- the opened backup. file -- where accounts that differ are listed.

    Raises MoveFailed, BackupError, SQLAlchemy's errors, redis.RedisError; then nothing was switched.
    """
    settings, say, client = mover.settings, mover.around.say, mover.client
    with whereabouts.as_given():
        _require_away(mover)
        begun = replace(mover.begun("backup"), fenced=False)
        resumes = checks.require_room(mover.target)
        record.write(client, begun)
        moved = None
        try:
            mover.hear(begun)
            checks.mark_copy(mover.target, manifest.search_path)
            restoring.restore(
                settings,
                mover.around,
                manifest,
                folder,
                url=mover.target,
                overwrite=resumes,
                with_inbox=False,
            )
            found = gap.find(
                client,
                mover.target,
                settings.ballast_schema,
                settings.known_currencies,
                folder / archive.INBOX,
            )
            _tell(mover, manifest, found, file)
            _ask(mover)
            _require_away(mover)  # it may be back by now
            begun = replace(begun, state=MoveState.HOLDING, held_at=redis_time(client))
            record.write(client, begun)
            with Pause(client):
                InboxCopier(client).forget()
                moved = mover.switched(begun)
        finally:
            if moved is None:
                record.forget(client)
    say(f"switched  to {moved.moved_to}")
    checks.unmark_copy(mover.target)
    return moved


def close_old(mover: Mover) -> None:
    """The old database of such a move answers again: let it refuse every write.

    Raises MoveFailed, SQLAlchemy's errors.
    """
    move = record.read(mover.client)
    if move is None or move.state is not MoveState.SWITCHED:
        raise MoveFailed("no database was moved")
    if move.fingerprint != whereabouts.fingerprint_of(mover.settings.require("database_url")):
        raise MoveFailed(f"DATABASE_URL is not the database that was moved, {move.moved_from}")
    with whereabouts.as_given():
        mover.close(move)
    record.write(mover.client, replace(move, fenced=True))


def _ask(mover: Mover) -> None:
    if not mover.confirm("What the bot did after the backup is lost. Go on?"):
        raise MoveFailed("nothing was switched; the new database has the backup")


def _require_away(mover: Mover) -> None:
    """Raises MoveFailed if the old database can be written to: then nothing need be lost."""
    try:
        with Deadline(LOOK_SECONDS_MAX):
            if (posted := hold.notice_in(mover.source, mover.settings.ballast_schema)) is not None:
                raise MoveFailed(f"this database was moved to {posted.moved_to} already")
            is_readable_only = checks.is_in_recovery(mover.source)
    except SQLAlchemyError as error:
        mover.around.say(f"away      the old database does not answer: {words_of(error)}")
        return
    if not is_readable_only:
        raise MoveFailed("the old database answers: move without --from-backup, and nothing is lost")


def _tell(mover: Mover, manifest: BackupManifest, found: gap.Gap, file: Path) -> None:
    say = mover.around.say
    say(f"gap       from {manifest.taken_at} until now")
    if found.jobs_done is not None:
        say(
            f"gap       {found.jobs_done:,} commands and presses were done after the backup began, reads among them"
        )
    say(
        f"gap       {len(found.accounts):,} accounts had more entries when they were last known than they have now"
    )
    for each in found.accounts[:SHOWN_MAX]:
        say(
            f"          {each.telegram_id}: {each.entries_missing} entries; {each.last_known} last, {each.restored} now"
        )
    if found.accounts:
        gap.write(found, file)
        say(f"gap       all of them, in minor units: {file}")
