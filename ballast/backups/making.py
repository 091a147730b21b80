"""One backup: copy the inbox, dump, pack, seal, prove, store, and let old ones go.

| dies | when | what happens |
|---|---|---|
| this process | before the file has its name | the next run removes its folder and its scratch database |
| this process | after that, before the note | the backup is listed as unproven, and counts as none |
| pg_dump, pg_restore | any time | they end with this process; what they did is not used |
| the database, the disk | any time | the run fails with a sentence; older backups stay |
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import redis
from sqlalchemy.exc import SQLAlchemyError

from ballast.backups import archive, inbox, record, sealing, source
from ballast.backups.archive import BackupManifest
from ballast.backups.retention import superfluous
from ballast.backups.stores import Note, Store
from ballast.backups.workplace import workplace
from ballast.texts import gettext, ngettext
from ballast.texts.steps import step
from dbcore.backups import dumping, programs, scratch
from dbcore.backups.dumping import Dumped
from dbcore.backups.errors import BackupBusy, BackupError, BackupFailed, words_of
from dbcore.backups.programs import CLEARING_SECONDS, Programs
from dbcore.backups.proving import prove
from dbcore.guard.deadline import Deadline
from dbcore.ledger.audit import Check
from dbcore.sentences import sentence
from dbcore.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run has beside the settings.

    release -- that makes it. own_checks -- of apps. embedded_programs -- the folder of the embedded PostgreSQL's, if
    that is installed. embedded_server -- starts one for a proof. redis -- whose inbox is part of a backup; None: it is
    not. say -- is told of each step.
    """

    release: str
    own_checks: Sequence[Check]
    redis: redis.Redis | None
    embedded_programs: Path | None = None
    embedded_server: Callable[[], AbstractContextManager[str]] | None = None
    say: Callable[[str], None]


def make(settings: Settings, store: Store, around: Surroundings) -> Note:
    """Returns the note of the proven backup. Raises BackupError; what was made is stored unproven, if it was made."""
    try:
        note = _run(settings, store, around)
    except BackupBusy:
        raise
    except BackupError as error:
        if around.redis is not None:
            with suppress(redis.RedisError):
                record.keep_failed(around.redis, str(error))
        raise
    if around.redis is not None:
        with suppress(redis.RedisError):
            record.keep_proven(around.redis, note, store.where)
    return note


def _run(settings: Settings, store: Store, around: Surroundings) -> Note:
    if store.takes_sealed_alone and not settings.backup_recipient:
        raise BackupFailed(sentence("a backup in a chat must be sealed: set BACKUP_RECIPIENT"))
    try:
        with Deadline(settings.backup_deadline_seconds + CLEARING_SECONDS):
            url = source.database(settings, around.redis)
            with dumping.only_one(url), workplace(store.folder) as folder:
                return _make(settings, store, around, url, folder)
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise BackupFailed(words_of(error)) from error


def _make(settings: Settings, store: Store, around: Surroundings, url: str, folder: Path) -> Note:
    tools = find_programs(settings, around, dumping.server_major(url))
    dump = folder / archive.DUMP
    with inbox.copied(around.redis, folder / archive.INBOX, around.say) as (jobs, begun):
        dumped = dumping.dump(url, settings.ballast_schema, settings.backup_schemas, tools, dump, begun=begun)
    rows = ngettext("{count} row", "{count} rows", sum(dumped.facts.tables.values()))
    size = ngettext("{count} byte", "{count} bytes", dump.stat().st_size)
    around.say(step("dumped", f"{rows}, {size}"))
    files = {path.name: path for path in (dump, folder / archive.INBOX) if path.exists()}
    manifest = _manifest(settings, around, dumped, tools, files, jobs)
    plain = folder / "backup.tar"
    archive.pack(manifest, files, plain)
    for path in files.values():
        path.unlink()
    file, keys = _seal(settings, plain)
    name = _name(settings, manifest, file)
    stored = archive.described(file)
    try:
        checks = _prove(settings, around, url, file, keys, folder, tools)
    except (BackupError, SQLAlchemyError):
        store.put(file, name, stored.sha256, None)
        around.say(step("stored", gettext("{name}, unproven", name=name)))
        raise
    around.say(step("proven", gettext("restored, {checks} of {checks} checks passed", checks=checks)))
    note = Note(
        name=name,
        taken_at=manifest.taken_at,
        proven_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        bytes=stored.bytes,
        sha256=stored.sha256,
        sealed=bool(keys),
        checks=checks,
        inbox=manifest.inbox,
        revision=manifest.revision,
        server_version=manifest.server_version,
        ballast=around.release,
    )
    store.put(file, name, stored.sha256, note)
    around.say(
        step(
            "stored",
            ngettext(
                "{name}, {count} byte, in {place}",
                "{name}, {count} bytes, in {place}",
                note.bytes,
                name=name,
                place=store.where,
            ),
        )
    )
    stored_now = store.listed() if store.lists else []
    for old in superfluous(stored_now, settings.backup_keep, datetime.now(UTC)):
        store.delete(old.name)
        around.say(step("removed", old.name))
    return note


def find_programs(settings: Settings, around: Surroundings, major: int) -> Programs:
    """BACKUP_PROGRAMS, or else what this machine has. Raises BackupFailed."""
    chosen, embedded = settings.backup_programs, around.embedded_programs
    if chosen is not None:
        return programs.find(major, [chosen])
    return programs.find(major, [*programs.installed(), *([] if embedded is None else [embedded])])


def _manifest(
    settings: Settings,
    around: Surroundings,
    dumped: Dumped,
    tools: Programs,
    files: Mapping[str, Path],
    jobs: int | None,
) -> BackupManifest:
    return BackupManifest(
        ballast=around.release,
        bot_id=settings.bot_id,
        taken_at=dumped.taken_at,
        server_version=dumped.server_version,
        programs_major=tools.major,
        revision=dumped.revision,
        schema_name=settings.ballast_schema,
        schemas=settings.backup_schemas,
        search_path=dumped.search_path,
        currency=settings.currency,
        facts=dumped.facts,
        inbox=jobs,
        files={name: archive.described(path) for name, path in files.items()},
    )


def _seal(settings: Settings, plain: Path) -> tuple[Path, list[object]]:
    """The file that is stored, and the key of this run that opens it; none where it is not sealed."""
    if not settings.backup_recipient:
        return plain, []
    sealed = plain.with_name(plain.name + sealing.SUFFIX)
    key = sealing.seal(plain, sealed, settings.backup_recipient)
    plain.unlink()
    return sealed, [key]


def _name(settings: Settings, manifest: BackupManifest, file: Path) -> str:
    taken = manifest.taken_at.replace("-", "").replace(":", "")
    bot = "bot" if settings.bot_id is None else str(settings.bot_id)
    return f"ballast-{bot}-{taken}-{secrets.token_hex(2)}{''.join(file.suffixes)}"


def _prove(
    settings: Settings,
    around: Surroundings,
    url: str,
    file: Path,
    keys: Sequence[object],
    folder: Path,
    tools: Programs,
) -> int:
    """Read the file as a restore does, and prove what is in it."""
    opened = folder / "opened"
    opened.mkdir()
    manifest = open_archive(file, keys, opened)
    tag = scratch.tag_of(url)
    with scratch_server(settings, around, url) as server:
        for left in scratch.sweep(server, tag):
            around.say(step("removed", gettext("the database {name}, which an earlier run left", name=left)))
        return prove_in_scratch(server, tag, manifest, opened / archive.DUMP, tools, around.own_checks)


def prove_in_scratch(
    server: str, tag: str, manifest: BackupManifest, dump: Path, tools: Programs, own_checks: Sequence[Check]
) -> int:
    """How many checks passed. Raises BackupFailed, SQLAlchemy's errors."""
    with scratch.scratch_database(server, tag, search_path=manifest.search_path) as copy:
        return prove(
            copy,
            dump,
            manifest.facts,
            tools,
            schema=manifest.schema_name,
            schemas=manifest.schemas,
            own_checks=own_checks,
        )


def open_archive(file: Path, keys: Sequence[object], folder: Path) -> BackupManifest:
    """Unseal if need be, and unpack into the folder. Raises BackupDamaged."""
    if not file.name.endswith(sealing.SUFFIX):
        return archive.unpack(file, folder)
    plain = folder / "backup.tar"
    sealing.unseal(file, plain, keys)
    try:
        return archive.unpack(plain, folder)
    finally:
        plain.unlink()


@contextmanager
def scratch_server(settings: Settings, around: Surroundings, url: str | None) -> Iterator[str]:
    """Where a scratch database can be made. url -- a database that answers. Raises BackupFailed if nowhere."""
    given = settings.backup_scratch_url
    if given is not None:
        yield given.get_secret_value()
    elif url is not None and scratch.may_create(url):
        yield url
    elif around.embedded_server is not None:
        with around.embedded_server() as embedded:
            yield embedded
    else:
        raise BackupFailed(
            sentence(
                "there is nowhere to prove it: give the role of DATABASE_URL the right CREATEDB, set "
                "BACKUP_SCRATCH_URL to a server where a database can be made, or install 'ballast[embedded]'"
            )
        )
