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
from ballast.texts import gettext, ngettext
from ballast.texts.steps import step
from dbcore.backups.errors import words_of
from dbcore.guard.deadline import Deadline
from dbcore.moving import checks, hold, record, whereabouts
from dbcore.moving.errors import MoveFailed
from dbcore.moving.record import Move, MoveState
from dbcore.redis_client import redis_time
from dbcore.sentences import sentence

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
    say(step("switched", gettext("to {place}", place=moved.moved_to)))
    checks.unmark_copy(mover.target)
    return moved


def close_old(mover: Mover) -> None:
    """The old database of such a move answers again: let it refuse every write.

    Raises MoveFailed, SQLAlchemy's errors.
    """
    move = record.read(mover.client)
    if move is None or move.state is not MoveState.SWITCHED:
        raise MoveFailed(sentence("no database was moved"))
    if move.fingerprint != whereabouts.fingerprint_of(mover.settings.require("database_url")):
        raise MoveFailed(
            sentence("DATABASE_URL is not the database that was moved, {place}", place=move.moved_from)
        )
    with whereabouts.as_given():
        mover.close(move)
    record.write(mover.client, replace(move, fenced=True))


def _ask(mover: Mover) -> None:
    if not mover.confirm(gettext("What the bot did after the backup is lost. Go on?")):
        raise MoveFailed(sentence("nothing was switched; the new database has the backup"))


def _require_away(mover: Mover) -> None:
    """Raises MoveFailed if the old database can be written to: then nothing need be lost."""
    try:
        with Deadline(LOOK_SECONDS_MAX):
            if (posted := hold.notice_in(mover.source, mover.settings.ballast_schema)) is not None:
                raise MoveFailed(
                    sentence("this database was moved to {place} already", place=posted.moved_to)
                )
            is_readable_only = checks.is_in_recovery(mover.source)
    except SQLAlchemyError as error:
        away = gettext("the old database does not answer: {error}", error=words_of(error))
        mover.around.say(step("away", away))
        return
    if not is_readable_only:
        raise MoveFailed(
            sentence(
                "the old database answers: move without {option}, and nothing is lost", option="--from-backup"
            )
        )


def _tell(mover: Mover, manifest: BackupManifest, found: gap.Gap, file: Path) -> None:
    def say(words: str, name: str = "gap") -> None:
        mover.around.say(step(name, words))

    say(gettext("from {time} until now", time=manifest.taken_at))
    if found.jobs_done is not None:
        say(
            ngettext(
                "{count} command or press was done after the backup began, reads among them",
                "{count} commands and presses were done after the backup began, reads among them",
                found.jobs_done,
            )
        )
    say(
        ngettext(
            "{count} account had more entries when it was last known than it has now",
            "{count} accounts had more entries when they were last known than they have now",
            len(found.accounts),
        )
    )
    for each in found.accounts[:SHOWN_MAX]:
        differs = ngettext(
            "{id}: {count} entry; {before} last, {after} now",
            "{id}: {count} entries; {before} last, {after} now",
            each.entries_missing,
            id=str(each.telegram_id),
            before=str(each.last_known),
            after=str(each.restored),
        )
        say(differs, "")
    if found.accounts:
        gap.write(found, file)
        say(gettext("all of them, in minor units: {file}", file=str(file)))
