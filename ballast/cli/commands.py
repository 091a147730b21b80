"""What all commands have in common: the reader's language, `--json`, many values after one option, and failures told in
one line.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from ballast.cli.language import said_help, said_parameter, spoken_here
from ballast.process.garbage import put_off_collection
from ballast.texts import ENGLISH, gettext, said, speaking, spoken

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import Settings

REFUSED, IMPOSSIBLE = 1, 2
"""Exit statuses: what was asked for cannot be done to this; it could not be tried, or not found out."""

TIMES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
"""Without a zone it is UTC."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Speaking(click.Command):
    """What it says is in the language of whoever runs it, and so is its help, which is written in English."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._params_in: dict[str, list[click.Parameter]] = {}
        super().__init__(*args, **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with spoken_here():
            return super().main(*args, **kwargs)

    @property
    def help(self) -> str | None:
        return said_help(self._help) if self._help else self._help

    @help.setter
    def help(self, english: str | None) -> None:
        self._help = english

    @property
    def deprecated(self) -> bool | str:
        return gettext(self._deprecated) if isinstance(self._deprecated, str) else self._deprecated

    @deprecated.setter
    def deprecated(self, english: bool | str) -> None:
        self._deprecated = english

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        with speaking(ENGLISH):  # click makes it once, and get_params says it in each language
            return super().get_help_option(ctx)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The same ones each time: click compares them."""
        params = super().get_params(ctx)
        if spoken() == ENGLISH:
            return params
        if spoken() not in self._params_in:
            self._params_in[spoken()] = [said_parameter(each) for each in params]
        return self._params_in[spoken()]


class Command(_Speaking):
    """An option that may be given more than once takes several values at once too: `--ids 1 2 3`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not any(isinstance(parameter, click.Argument) for parameter in self.params):
            args = self._each_with_its_option(args)
        return super().parse_args(ctx, args)

    def _each_with_its_option(self, args: list[str]) -> list[str]:
        options = [parameter for parameter in self.params if isinstance(parameter, click.Option)]
        many = {name for option in options if option.multiple for name in option.opts}
        spread: list[str] = []
        option, values = "", 0
        for arg in args:
            if arg.startswith("-") and not re.fullmatch(r"-\d+", arg):
                option, values = (arg, 0) if arg in many else ("", 0)
                spread.append(arg)
                continue
            if option and values:
                spread.append(option)
            values += 1
            spread.append(arg)
        return spread

    def invoke(self, ctx: click.Context) -> Any:
        with _failures_told(ctx):
            return super().invoke(ctx)


class Process(Command):
    """Becomes a process of Ballast, which speaks to each reader in their language, and in English to nobody in
    particular.
    """

    def invoke(self, ctx: click.Context) -> Any:
        with speaking(ENGLISH):
            return super().invoke(ctx)


class Group(_Speaking, click.Group):
    command_class = Command
    group_class = type  # its groups are of this class as well

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are added, not by the alphabet."""
        return list(self.commands)


def run(command: click.Command, prog: str, arguments: list[str] | None = None) -> int:
    """Run by another name than `ballast`, such as `python -m dbcore`. Returns the exit status."""
    put_off_collection()
    try:
        command.main(arguments, prog_name=prog)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def require_extra(extra: str, *modules: str) -> None:
    """Say what to install if a module is missing."""
    if any(find_spec(module) is None for module in modules):
        ctx = click.get_current_context()
        needs = gettext(
            "{command} needs more packages: {install}",
            command=ctx.info_name,
            install=f"pip install 'ballast[{extra}]'",
        )
        click.echo(f"ballast: {needs}", err=True)
        ctx.exit(IMPOSSIBLE)


def in_utc(options: dict[str, Any]) -> dict[str, Any]:
    """The values of options, with times that had no zone in UTC."""
    from datetime import UTC

    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for name, value in options.items()
    }


def open_database() -> tuple[GuardedEngine, Settings]:
    """The guarded engine, and what it was made of. The one line at the end says what failed, so the logs do not."""
    import logging

    from ballast.process.logs import configure_logging
    from ballast.texts.folder import use_texts_folder
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import load_settings

    configure_logging()
    logging.getLogger().setLevel(logging.ERROR)
    settings = load_settings()
    use_texts_folder(settings)
    return GuardedEngine(settings), settings


def require_agreement(lines: Sequence[str], question: str, *, yes: bool) -> None:
    """Show what is going to happen, and ask. yes -- it was agreed to already. Raises NotDone without an agreement."""
    from ballast.people.doing import NotDone

    for line in lines:
        click.echo(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotDone(
            gettext(
                "nothing was done: there is no terminal to ask at. Add {option} to do it without a question",
                option="--yes",
            )
        )
    if not click.confirm(question, default=False):
        raise NotDone(gettext("nothing was done"))


def say_if_none(found: Sized, words: str) -> None:
    """On stderr: a script that reads the list reads an empty one."""
    if not found:
        click.echo(words, err=True)


def print_json(value: object) -> None:
    """Names and texts are people's: what a terminal would obey is escaped."""
    from dbcore.text import visible_json

    document = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    click.echo(visible_json(document))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def _failures_told(ctx: click.Context) -> Iterator[None]:
    """One line on stderr for what an operator can do something about; everything else is a fault, and rises."""
    try:
        yield
    except (click.exceptions.Exit, click.ClickException, click.Abort):
        raise
    except SystemExit as ended:  # a program's own last line, or that of a module that cannot be imported
        if not isinstance(ended.code, str):
            raise
        click.echo(ended.code, err=True)
        ctx.exit(IMPOSSIBLE)
    except Exception as error:
        found = _told(error, ctx)
        if found is None:
            raise
        line, exit_status = found
        click.echo(line, err=True)
        ctx.exit(exit_status)


def _told(error: Exception, ctx: click.Context) -> tuple[str, int] | None:
    """The line, and the exit status. None for what is nothing of the kind."""
    from dbcore.collisions import Refused
    from dbcore.sentences import Explained
    from dbcore.settings import SettingsError

    reason = said(error) if isinstance(error, Explained) else str(error)
    if isinstance(error, SettingsError | Refused):
        return reason, IMPOSSIBLE

    from redis import RedisError
    from sqlalchemy.exc import SQLAlchemyError

    from ballast.jobs import JobInvalid
    from ballast.people.doing import NotDone
    from ballast.queueing.failed_jobs import FailedJobRefused
    from ballast.reconciling.reconciler import ReconciliationRefused
    from ballast.telegram.stars import BookUnreadable
    from dbcore.api_keys import KeyRefused
    from dbcore.backups.errors import BackupError
    from dbcore.breaker import StateUnreadable
    from dbcore.broadcasts.broadcasts import BroadcastRefused
    from dbcore.errors import DatabaseAway
    from dbcore.exporting.copying import ExportRefused
    from dbcore.importing.sources import SourceError
    from dbcore.moving.errors import MoveFailed

    name = ctx.command_path
    match error:
        case (
            FailedJobRefused()
            | BroadcastRefused()
            | JobInvalid()
            | KeyRefused()
            | NotDone()
            | SourceError()
            | ExportRefused()
            | BackupError()
            | MoveFailed()
            | ReconciliationRefused()
        ):
            return f"ballast: {reason}", REFUSED
        case DatabaseAway():
            failed = gettext("the database does not answer ({error})", error=reason)
            return f"{name}: {_perhaps_ordered(failed, ctx)}", IMPOSSIBLE
        case RedisError():
            failed = gettext("Redis does not answer ({error})", error=reason)
            return f"{name}: {_perhaps_ordered(failed, ctx)}", IMPOSSIBLE
        case BookUnreadable():
            kept = gettext("{error}; what was read is kept", error=reason)
            return f"{name}: {kept}", IMPOSSIBLE
        case StateUnreadable():
            unreadable = gettext(
                "Redis holds a state that this release cannot read ({error}). Use the release that wrote it, or "
                "replace the state: {command}",
                error=reason,
                command=f"{name} auto",
            )
            return f"{name}: {unreadable}", IMPOSSIBLE
        case SQLAlchemyError():
            return f"{name}: {_in_one_line(error)}", IMPOSSIBLE
    return None


def _perhaps_ordered(failed: str, ctx: click.Context) -> str:
    """A broadcast's change is in the database before its jobs are in Redis: it stands if only these are missing."""
    group = ctx.parent.info_name if ctx.parent is not None else None
    if group != "broadcast" or ctx.info_name in {"list", "show"}:
        return failed
    return gettext(
        "{failure}; what was ordered may stand all the same: look at {command} before you order it again",
        failure=failed,
        command="`broadcast list`",
    )


def _in_one_line(error: Exception) -> str:
    """The driver's words. SQLAlchemy's add the statement and a link, and neither helps whoever typed the command."""
    cause = getattr(error, "orig", None) or error
    line = " ".join(str(cause).split())
    if getattr(cause, "pgcode", None) == "42P01":
        return gettext("{error} (is the schema migrated?)", error=line)
    return line
