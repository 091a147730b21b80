"""What all commands have in common: `--json`, many values after one option, and failures told in one line."""

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

from ballast.process.garbage import put_off_collection

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import Settings

REFUSED, IMPOSSIBLE = 1, 2
"""Exit statuses: what was asked for cannot be done to this; it could not be tried, or not found out."""

TIMES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
"""Without a zone it is UTC."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Command(click.Command):
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


class Group(click.Group):
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
        click.echo(f"ballast: {ctx.info_name} needs more packages: pip install 'ballast[{extra}]'", err=True)
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
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import load_settings

    configure_logging()
    logging.getLogger().setLevel(logging.ERROR)
    settings = load_settings()
    return GuardedEngine(settings), settings


def require_agreement(lines: Sequence[str], question: str, done: str = "done", *, yes: bool) -> None:
    """Show what is going to happen, and ask. yes -- it was agreed to already. Raises NotDone without an agreement."""
    from ballast.people.doing import NotDone

    for line in lines:
        click.echo(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotDone(
            f"nothing was {done}: there is no terminal to ask at. Add --yes to do it without a question"
        )
    if not click.confirm(question, default=False):
        raise NotDone(f"nothing was {done}")


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
    from dbcore.settings import SettingsError

    if isinstance(error, SettingsError | Refused):
        return str(error), IMPOSSIBLE

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
            return f"ballast: {error}", REFUSED
        case DatabaseAway():
            return f"{name}: the database does not answer ({error}){_what_stands(ctx)}", IMPOSSIBLE
        case RedisError():
            return f"{name}: Redis does not answer ({error}){_what_stands(ctx)}", IMPOSSIBLE
        case BookUnreadable():
            return f"{name}: {error}; what was read is kept", IMPOSSIBLE
        case StateUnreadable():
            return (
                f"{name}: Redis holds a state that this release cannot read ({error}). Use the release that wrote it, "
                f"or replace the state: {name} auto"
            ), IMPOSSIBLE
        case SQLAlchemyError():
            return f"{name}: {_in_one_line(error)}", IMPOSSIBLE
    return None


def _what_stands(ctx: click.Context) -> str:
    """A broadcast's change is in the database before its jobs are in Redis: it stands if only these are missing."""
    group = ctx.parent.info_name if ctx.parent is not None else None
    if group == "broadcast" and ctx.info_name not in {"list", "show"}:
        return "; what was ordered may stand all the same: look at `broadcast list` before you order it again"
    return ""


def _in_one_line(error: Exception) -> str:
    """The driver's words. SQLAlchemy's add the statement and a link, and neither helps whoever typed the command."""
    cause = getattr(error, "orig", None) or error
    line = " ".join(str(cause).split())
    return f"{line} (is the schema migrated?)" if getattr(cause, "pgcode", None) == "42P01" else line
