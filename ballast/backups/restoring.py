"""A backup back into a database, and nothing of one that is not whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from sqlalchemy.exc import SQLAlchemyError

from ballast.backups import archive, inbox, sealing, source
from ballast.backups.archive import BackupManifest
from ballast.backups.making import Surroundings, find_programs, open_archive, prove_in_scratch, scratch_server
from ballast.backups.stores import Store
from ballast.backups.workplace import workplace
from ballast.texts import gettext, ngettext
from ballast.texts.steps import step
from dbcore.backups import dumping, restoring, scratch
from dbcore.backups.errors import BackupFailed, words_of
from dbcore.backups.programs import CLEARING_SECONDS
from dbcore.backups.proving import judge, restore_into
from dbcore.guard.deadline import Deadline
from dbcore.sentences import sentence
from dbcore.settings import Settings

LATEST = "latest"


@contextmanager
def opened(backup: str, store: Store | None, identity: Path | None) -> Iterator[tuple[BackupManifest, Path]]:
    """The manifest, and a folder with what the backup holds.

    backup -- a file, the name of one in the store, or `latest` for the last proven one there.
    Raises BackupFailed, BackupDamaged.
    """
    with workplace(None) as folder:
        file = Path(backup)
        if not file.is_file():
            file = _fetched(backup, store, folder)
        keys: Sequence[object] = ()
        if file.name.endswith(sealing.SUFFIX):
            if identity is None:
                raise BackupFailed(
                    sentence(
                        "{name} is sealed: give the file with its private key by --identity", name=file.name
                    )
                )
            keys = sealing.read_identities(identity)
        yield open_archive(file, keys, folder), folder


def _fetched(backup: str, store: Store | None, folder: Path) -> Path:
    if store is None:
        raise BackupFailed(sentence("{name}: there is no such file, and BACKUP_TO is not set", name=backup))
    stored = store.listed()
    if backup == LATEST:
        proven = [each for each in stored if each.note is not None]
        if not proven:
            raise BackupFailed(sentence("there is no proven backup in {place}", place=store.where))
        backup = proven[0].name
    elif backup not in {each.name for each in stored}:
        raise BackupFailed(
            sentence(
                "{name}: there is no such file, and no such backup in {place}", name=backup, place=store.where
            )
        )
    file = folder / backup
    store.fetch(backup, file)
    return file


def check(settings: Settings, around: Surroundings, manifest: BackupManifest, folder: Path) -> int:
    """Prove it once more, in a scratch database; how many checks passed. Raises BackupFailed, SQLAlchemy's errors."""
    with Deadline(settings.backup_deadline_seconds + CLEARING_SECONDS):
        url = _database_that_answers(settings, around)
        with scratch_server(settings, around, url) as server:
            tools = find_programs(
                settings, around, max(dumping.server_major(server), manifest.programs_major)
            )
            tag = scratch.tag_of(url or server)
            return prove_in_scratch(server, tag, manifest, folder / archive.DUMP, tools, around.own_checks)


def _database_that_answers(settings: Settings, around: Surroundings) -> str | None:
    """The one that is backed up: a backup is also checked on other machines, and after the database was lost."""
    if (
        settings.backup_scratch_url is not None
        or (settings.database_url or settings.backup_database_url) is None
    ):
        return None
    try:
        return source.database(settings, around.redis)
    except SQLAlchemyError as error:
        around.say(step("away", gettext("the database does not answer: {error}", error=words_of(error))))
        return None


def restore(
    settings: Settings,
    around: Surroundings,
    manifest: BackupManifest,
    folder: Path,
    *,
    url: str,
    overwrite: bool,
    with_inbox: bool,
) -> None:
    """Into the database at `url`, in one transaction. Then it is compared with the manifest and audited, and the inbox
    is put back into Redis.

    Raises BackupFailed.
    """
    if manifest.bot_id is not None and settings.bot_id not in {None, manifest.bot_id}:
        raise BackupFailed(
            sentence(
                "the backup is of the bot {bot}, TELEGRAM_BOT_TOKEN is of {other}",
                bot=str(manifest.bot_id),
                other=str(settings.bot_id),
            )
        )
    if manifest.schema_name != settings.ballast_schema:
        raise BackupFailed(
            sentence(
                "the backup has its tables in the schema {schema}, BALLAST_SCHEMA is {setting}: set it as it was",
                schema=manifest.schema_name or sentence("of the search_path"),
                setting=settings.ballast_schema or sentence("unset"),
            )
        )
    client = around.redis if with_inbox and manifest.inbox is not None else None
    try:
        with Deadline(settings.backup_deadline_seconds + CLEARING_SECONDS):
            if client is not None:
                inbox.require_stopped(client, settings)
            restoring.require_free(url, overwrite=overwrite)
            tools = find_programs(settings, around, max(dumping.server_major(url), manifest.programs_major))
            restore_into(url, folder / archive.DUMP, tools, overwrite=overwrite)
            around.say(
                step(
                    "restored",
                    ngettext(
                        "{count} row, as of {time}",
                        "{count} rows, as of {time}",
                        sum(manifest.facts.tables.values()),
                        time=manifest.taken_at,
                    ),
                )
            )
            checks = judge(
                url,
                manifest.facts,
                schema=manifest.schema_name,
                schemas=manifest.schemas,
                own_checks=around.own_checks,
            )
            around.say(
                step(
                    "audited",
                    gettext(
                        "{checks} of {checks} checks passed, the sums are those of the backup", checks=checks
                    ),
                )
            )
            for broadcast_id in restoring.pause_broadcasts(url, manifest.schema_name):
                around.say(step("paused", _paused(broadcast_id)))
            if client is not None:
                around.say(
                    step(
                        "inbox",
                        ngettext(
                            "{count} job is on record again",
                            "{count} jobs are on record again",
                            inbox.put_back(client, folder / archive.INBOX),
                        ),
                    )
                )
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise BackupFailed(words_of(error)) from error


def _paused(broadcast_id: int) -> str:
    return gettext(
        "broadcast {id}: whom it reached after the backup is not known; {command} sends to all who had not got it by "
        "then",
        id=str(broadcast_id),
        command=f"`ballast broadcast resume {broadcast_id}`",
    )
