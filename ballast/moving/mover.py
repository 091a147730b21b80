"""The steps of a move, and what is said of each.

| dies | when | what happens |
|---|---|---|
| the mover | before the old database is closed | its transaction ends; after five seconds calls go through again |
| the mover | after that | processes find the notice when they connect; the same command again finishes |
| a process | any time | started again, it hears of the move from Redis or finds the notice |
| none, but one sleeps through it | any time | its sessions are ended, its writes are refused; awake, it follows |
| a server | before the old one is closed | the move fails, and nothing was changed |
| Redis | any time | the hold is not renewed; the notice stands all the same |
"""

from __future__ import annotations

import secrets as random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from sqlalchemy.exc import SQLAlchemyError

from ballast.backups.making import Surroundings, find_programs
from ballast.moving.pause import ACTOR, Pause, living_processes, wait_until_heard
from ballast.texts import gettext, ngettext, said
from ballast.texts.formats import decimals
from ballast.texts.steps import step
from dbcore import migrate
from dbcore.backups import dumping
from dbcore.backups.errors import words_of
from dbcore.backups.programs import CLEARING_SECONDS, Programs
from dbcore.backups.proving import judge, restore_into
from dbcore.breaker.store import FleetStore
from dbcore.database_url import read_database_url
from dbcore.guard import pool
from dbcore.guard.deadline import Deadline
from dbcore.ledger.audit import Finding, audit
from dbcore.moving import checks, hold, record, replication, sealing, whereabouts
from dbcore.moving.checks import Checked
from dbcore.moving.errors import MoveFailed
from dbcore.moving.hold import Hold
from dbcore.moving.notice import Notice
from dbcore.moving.record import Move, MoveState
from dbcore.redis_client import redis_time
from dbcore.sentences import Sentence, sentence, several
from dbcore.settings import Settings

HEAR_SECONDS_MAX = 10.0
"""Processes are given so long to say that they can connect to the new server."""

BYTES_PER_SECOND = 8_000_000
"""Dumped, restored and audited, on a small server: for an estimate."""

CATCH_UP_SECONDS = 60.0

Confirm = Callable[[str], bool]


@dataclass(frozen=True, kw_only=True)
class Mover:
    """settings -- with DATABASE_URL, the old one. target -- the new address. around -- programs, Redis, the apps'
    checks, and who is told of each step. method -- `auto`, `dump` or `replication`. confirm -- is asked once the plan
    is told, before anything is changed.
    """

    settings: Settings
    target: str
    around: Surroundings
    method: str
    confirm: Confirm

    @property
    def source(self) -> str:
        return read_database_url(self.settings.backup_source)

    @property
    def client(self) -> redis.Redis:
        if self.around.redis is None:
            raise MoveFailed(sentence("REDIS_URL is not set: the processes hear of the move from Redis"))
        return self.around.redis

    def check(self) -> tuple[Checked, str]:
        """What was found, and the method; says so. Raises MoveFailed if it cannot be done, SQLAlchemy's errors."""
        found = checks.check(
            self.source, self.target, self.settings.ballast_schema, self.settings.backup_schemas
        )
        wrong = [*found.wrong]
        if not self._secrets():
            wrong.append(
                sentence(
                    "DATABASE_URL has no password and TELEGRAM_BOT_TOKEN is not set: nothing to seal the address"
                )
            )
        if wrong:
            raise MoveFailed(sentence("it cannot be moved: {reasons}", reasons=several(wrong, "; ")))
        against = replication.reasons_against(self.source, self.target, found.tables)
        if self.method == "replication" and against:
            raise MoveFailed(
                sentence("logical replication is not possible: {reasons}", reasons=several(against, "; "))
            )
        method = "dump" if against or self.method == "dump" else "replication"
        self._tell_plan(found, method, against)
        return found, method

    def _tell_plan(self, found: Checked, method: str, against: Sequence[Sentence]) -> None:
        """against -- why it is not done by replication."""
        self._say(
            "checked",
            ngettext(
                "{count} table, {bytes} bytes; PostgreSQL {old} to {new}",
                "{count} tables, {bytes} bytes; PostgreSQL {old} to {new}",
                len(found.tables),
                bytes=found.source.bytes,
                old=found.source.major,
                new=found.target.major,
            ),
        )
        seconds = round(self.estimate(found))
        if method == "replication":
            self._say("method", gettext("logical replication: writes wait for some seconds"))
        elif against:
            reasons = "; ".join(map(said, against))
            self._say(
                "method",
                gettext(
                    "dump ({reasons}): writes wait for about {seconds} s", reasons=reasons, seconds=seconds
                ),
            )
        else:
            self._say("method", gettext("dump: writes wait for about {seconds} s", seconds=seconds))
        self._say(
            "plan",
            ngettext(
                "{count} process follows to {new}, and {old} becomes read-only",
                "{count} processes follow to {new}, and {old} becomes read-only",
                len(living_processes(self.client)),
                new=whereabouts.place_of(self.target),
                old=whereabouts.place_of(self.source),
            ),
        )

    def _say(self, name: str, words: str) -> None:
        self.around.say(step(name, words))

    def estimate(self, found: Checked) -> float:
        """Of the seconds that writes wait, by a dump."""
        return 3.0 + found.source.bytes / BYTES_PER_SECOND

    def move(self) -> Move:
        """All of it. Raises MoveFailed, BackupError, SQLAlchemy's errors, redis.RedisError; then the old database is in
        charge, unless the message says otherwise.
        """
        with whereabouts.as_given():
            posted = hold.notice_in(self.source, self.settings.ballast_schema)
            if posted is not None:
                return self._finish(posted)
            found, method = self.check()
            if not self.confirm(gettext("Move to {place}?", place=whereabouts.place_of(self.target))):
                raise MoveFailed(
                    sentence(
                        "nothing was changed: nobody agreed to the plan ({option} agrees to it)",
                        option="--yes",
                    )
                )
            with (
                dumping.only_one(self.source),
                migrate.no_migration(self.source, self.settings.ballast_schema),
            ):
                return self._move(found, method)

    def _move(self, found: Checked, method: str) -> Move:
        move, closing = self.begun(method), False
        record.write(self.client, move)
        try:
            self.hear(move)
            self._require_audit(self.source)
            checks.mark_copy(self.target, found.source.search_path)
            with self._copy(found, move) as copied, self._held(found, move) as (held, move):
                copied(held)
                notice, closing = Notice(move.id, move.moved_to, move.sealed), True
                held.hand_over(notice, self.settings.ballast_schema, whole=not self.settings.backup_schemas)
                move = self.switched(move)
        except BaseException as error:
            if closing and (stands := self._what_stands()) is not None:
                raise MoveFailed(
                    sentence("{what} ({error}). Start again to finish", what=stands, error=words_of(error))
                ) from error
            with suppress(redis.RedisError):
                record.forget(self.client)
            if isinstance(error, SQLAlchemyError):
                raise MoveFailed(words_of(error)) from error
            raise
        paused = move.switched_at - move.held_at
        self._say(
            "switched",
            gettext(
                "to {place}; writes waited for {seconds} s", place=move.moved_to, seconds=decimals(paused, 1)
            ),
        )
        self._clear_up(move)
        return move

    def _what_stands(self) -> Sentence | None:
        """After a failure in the switch; None if the old database is in charge for sure."""
        try:
            posted = hold.notice_in(self.source, self.settings.ballast_schema)
        except SQLAlchemyError:
            return sentence(
                "the old database was lost at the moment of the switch, so it is not known which one is in charge: it "
                "says so itself once it answers, and nothing else is written to"
            )
        if posted is None:
            return None
        return sentence("{place} is in charge, but what follows failed", place=posted.moved_to)

    def begun(self, method: str) -> Move:
        """A new move, not on record yet."""
        given = self.settings.require("database_url")
        return Move(
            id=random.token_hex(8),
            state=MoveState.COPYING,
            fingerprint=whereabouts.fingerprint_of(given),
            moved_from=whereabouts.place_of(given),
            moved_to=whereabouts.place_of(self.target),
            sealed=sealing.seal(read_database_url(self.target), self._secrets()),
            method=method,
            began_at=redis_time(self.client),
        )

    def _secrets(self) -> list[str]:
        if self.settings.telegram_bot_token is not None:
            whereabouts.note_token(self.settings.telegram_bot_token.get_secret_value())
        given = self.settings.require("database_url")
        return list(dict.fromkeys([*whereabouts.secrets_of(given), *whereabouts.secrets_of(self.source)]))

    @contextmanager
    def _held(self, found: Checked, move: Move) -> Iterator[tuple[Hold, Move]]:
        """People are told to wait, and nobody writes. What it gives knows since when."""
        move = replace(move, state=MoveState.HOLDING, held_at=redis_time(self.client))
        record.write(self.client, move)
        with Pause(self.client):
            wait_until_heard(self.client)
            with hold.held(self.source, found.tables, self.settings.ballast_schema) as held:
                self._say("held", gettext("nobody writes; people are told that the bot is paused"))
                yield held, move

    def hear(self, move: Move) -> None:
        """Each process says whether it can connect to the new server. Raises MoveFailed if one cannot."""
        record.ask(self.client, move)
        until = time.monotonic() + HEAR_SECONDS_MAX
        silent = living = {*living_processes(self.client)}
        while silent and time.monotonic() < until:
            answers = record.reached(self.client, move)
            for process, told in answers.items():
                if told != "ok":
                    raise MoveFailed(
                        sentence(
                            "the process {name} cannot connect to the new server: {error}",
                            name=process,
                            error=told,
                        )
                    )
            silent = living - answers.keys()
            time.sleep(0.05)
        if silent:
            self._say(
                "silent",
                gettext(
                    "{silent} of {count} processes have not answered ({names}): frozen, or of an older release. They "
                    "cannot write to the old database; restart those that do not follow",
                    silent=len(silent),
                    count=len(living),
                    names=_named(silent),
                ),
            )

    @contextmanager
    def _copy(self, found: Checked, move: Move) -> Iterator[Callable[[Hold], None]]:
        """What it gives makes the copy whole, while the old database is held."""
        if move.method == "dump":
            yield lambda _: self._dump(found)
            return
        with self._folder() as folder, self._in_time():
            replication.copy_schema(
                self.source,
                self.target,
                found,
                self._tools(found),
                self.settings.backup_schemas,
                folder / "schema.dump",
            )
        with replication.running(self.source, self.target, found.tables) as running:
            self._say("copying", gettext("everybody writes meanwhile"))
            running.wait_for_first_copy()
            self._say("copied", gettext("all tables; what is written is sent after"))

            def catch_up(held: Hold) -> None:
                running.catch_up(held, CATCH_UP_SECONDS)
                running.compare(held, self.settings.ballast_schema, self.settings.backup_schemas)
                self._say("compared", gettext("the rows of all tables and the ledger's sums are the same"))

            yield catch_up

    def _dump(self, found: Checked) -> None:
        with self._folder() as folder, self._in_time():
            file, tools = folder / "database.dump", self._tools(found)
            dumped = dumping.dump(
                self.source,
                self.settings.ballast_schema,
                self.settings.backup_schemas,
                tools,
                file,
                begun=_nothing,
            )
            self._say(
                "dumped",
                ngettext(
                    "{count} row, {bytes} bytes",
                    "{count} rows, {bytes} bytes",
                    sum(dumped.facts.tables.values()),
                    bytes=file.stat().st_size,
                ),
            )
            restore_into(self.target, file, tools, overwrite=found.resumes)
            passed = judge(
                self.target,
                dumped.facts,
                schema=self.settings.ballast_schema,
                schemas=self.settings.backup_schemas,
                own_checks=self.around.own_checks,
            )
            self._say(
                "compared",
                gettext("rows and sums are the same; {count} of {count} checks passed", count=passed),
            )

    def _in_time(self) -> Deadline:
        return Deadline(self.settings.backup_deadline_seconds + CLEARING_SECONDS)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=".ballast-move-") as folder:
            yield Path(folder)

    def _tools(self, found: Checked) -> Programs:
        return find_programs(self.settings, self.around, max(found.source.major, found.target.major))

    def switched(self, move: Move) -> Move:
        """On record: the new database is in charge."""
        move = replace(move, state=MoveState.SWITCHED, switched_at=redis_time(self.client))
        record.write(self.client, move)
        return move

    def _finish(self, notice: Notice) -> Move:
        """The old database is closed already: by a run that was killed then."""
        if notice.moved_to != whereabouts.place_of(self.target):
            raise MoveFailed(
                sentence(
                    "this database was moved to {place} already: set DATABASE_URL to it",
                    place=notice.moved_to,
                )
            )
        move = record.read(self.client)
        if move is None or move.id != notice.move_id:
            move = replace(self.begun("dump"), id=notice.move_id)
        if move.state is not MoveState.SWITCHED:
            move = self.switched(move)
        FleetStore(self.client).change(lambda fleet, now: fleet.let_go(now=now, by=ACTOR), ACTOR)
        self._say("switched", gettext("to {place}, by an earlier run", place=move.moved_to))
        self._clear_up(move)
        return move

    def _clear_up(self, move: Move) -> None:
        """What is left to do, though the switch stands whatever becomes of it."""
        ended = hold.end_sessions(self.source)
        replication.remove(self.source, self.target)
        checks.unmark_copy(self.target)
        self._say(
            "closed",
            ngettext(
                "the old database is read-only; {count} session was ended",
                "the old database is read-only; {count} sessions were ended",
                ended,
            ),
        )
        for url in (self.target, self.source):
            try:
                self._require_audit(url)
            except MoveFailed as failed:
                raise MoveFailed(
                    sentence(
                        "the move is done, {place} is in charge. But {failure}",
                        place=move.moved_to,
                        failure=failed.whole,
                    )
                ) from failed

    def close(self, move: Move) -> None:
        """The old database refuses every write from now on."""
        schema, schemas = self.settings.ballast_schema, self.settings.backup_schemas
        with pool.single(self.source, application_name=hold.NAME, schema=schema).connect() as old:
            tables = [*hold.tables_of(old, schemas)]
        if hold.notice_in(self.source, schema) is None:
            with hold.held(self.source, tables, schema) as held:
                held.hand_over(Notice(move.id, move.moved_to, move.sealed), schema, whole=not schemas)
        self._say(
            "closed",
            ngettext(
                "the old database; {count} session was ended",
                "the old database; {count} sessions were ended",
                hold.end_sessions(self.source),
            ),
        )

    def _require_audit(self, url: str) -> None:
        findings: list[Finding] = audit(url, self.settings.ballast_schema, self.around.own_checks)
        failed = "; ".join(finding.name for finding in findings if not finding.ok)
        count, is_old = len(findings), url == self.source
        if failed and is_old:
            raise MoveFailed(sentence("the audit of the old database fails: {checks}", checks=failed))
        if failed:
            raise MoveFailed(sentence("the audit of the new database fails: {checks}", checks=failed))
        self._say(
            "audited",
            gettext("the old database: {count} of {count} checks passed", count=count)
            if is_old
            else gettext("the new database: {count} of {count} checks passed", count=count),
        )

    def abort(self) -> None:
        """End what a killed run left. Raises MoveFailed if the move is done."""
        with whereabouts.as_given():
            posted = hold.notice_in(self.source, self.settings.ballast_schema)
            if posted is not None:
                raise MoveFailed(sentence("the move is done: {place} is in charge", place=posted.moved_to))
            replication.remove(self.source, self.target)
        FleetStore(self.client).change(lambda fleet, now: fleet.let_go(now=now, by=ACTOR), ACTOR)
        record.forget(self.client)


def _named(processes: Iterable[str]) -> str:
    """Host and process id of each."""
    return ", ".join(sorted(":".join(process.split(":")[:2]) for process in processes))


def _nothing() -> None:
    return None
