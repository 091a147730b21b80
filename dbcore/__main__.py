"""`python -m dbcore migrate|audit|status|breaker`, for operators.

Exit status: 0 all well, 1 the audit found something wrong, 2 it could not be done; then one line on stderr says why.
"""

from __future__ import annotations

import argparse
import sys

import redis
from sqlalchemy.exc import SQLAlchemyError

from dbcore import audit, migrate, status
from dbcore.bound_bot import WrongBot, bind, refuse_another
from dbcore.fleet import StateUnreadable, operate
from dbcore.redis_client import connect_redis
from dbcore.settings import Settings, SettingsError, load_settings

_DONE, _WRONG, _IMPOSSIBLE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dbcore", description="Look after Ballast's database.")
    commands = parser.add_subparsers(dest="command", required=True)
    migration = commands.add_parser("migrate", help="bring the schema to this release")
    migration.add_argument(
        "--take-over", action="store_true", help="our bot replaces the one that the database belongs to"
    )
    commands.add_parser("audit", help="prove that the ledger is right")
    commands.add_parser("status", help="version, tables, connections, size, latency")
    breaker = commands.add_parser("breaker", help="show the fleet's breaker, or tell it what to be")
    breaker.add_argument(
        "word",
        nargs="?",
        choices=operate.WORDS,
        help="open: let nothing through; close: let everything through and judge nothing; auto: as the calls go",
    )
    options = parser.parse_args(arguments)
    command = options.command
    try:
        settings = load_settings()
        if command == "breaker":
            return _breaker(settings, options.word)
        if command == "migrate":
            return _migrate(settings, take_over=options.take_over)
        return _run(command, settings.require("database_url"))
    except redis.RedisError as error:
        print(f"{command} failed: Redis does not answer: {error}", file=sys.stderr)
    except StateUnreadable as error:
        print(
            f"{command} failed: Redis holds a state of it that this release cannot read ({error}). Ask by the release "
            f"that wrote it, or have a word take its place: python -m dbcore breaker auto",
            file=sys.stderr,
        )
    except (SettingsError, WrongBot) as error:
        print(error, file=sys.stderr)
    except SQLAlchemyError as error:
        print(f"{command} failed: {_one_line(error)}", file=sys.stderr)
    return _IMPOSSIBLE


def _migrate(settings: Settings, *, take_over: bool) -> int:
    """Raises WrongBot."""
    url, bot_id = settings.require("database_url"), settings.bot_id
    if bot_id is not None and not take_over:
        refuse_another(url, bot_id)
    migrate.upgrade(url)
    if bot_id is not None:
        bind(url, bot_id, take_over=take_over)
    print(f"The schema is at revision {migrate.newest_revision()}.")
    return _DONE


def _run(command: str, url: str) -> int:
    if command == "status":
        print(status.status(url))
        return _DONE
    findings = audit.audit(url)
    print(audit.report(findings))
    return _DONE if all(finding.ok for finding in findings) else _WRONG


def _breaker(settings: Settings, word: str | None) -> int:
    with connect_redis(settings) as client:
        if word is not None:
            operate.tell(client, word, operate.user_here())
        print(operate.describe(client))
    return _DONE


def _one_line(error: SQLAlchemyError) -> str:
    """The driver's words. SQLAlchemy's add the statement and a link, and neither helps whoever typed the command."""
    cause = getattr(error, "orig", None) or error
    line = " ".join(str(cause).split())
    return f"{line} (is the schema migrated?)" if getattr(cause, "pgcode", None) == "42P01" else line


if __name__ == "__main__":
    sys.exit(main())
