"""`python -m workers job|dead-letters|broadcast …`: where a job is, what could not be done, and what goes to many, for
operators.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from datetime import UTC, datetime

import redis

from dbcore import fleet
from dbcore.broadcasts import BroadcastRefused
from dbcore.engine import GuardedEngine
from dbcore.errors import DatabaseAway
from dbcore.redis_client import connect_redis
from dbcore.settings import Settings, SettingsError, load_settings
from dbcore.text import one_line
from workers import dead_letters, lookup
from workers.broadcasts import command
from workers.broadcasts.command import order_here
from workers.broadcasts.lanes import Lanes
from workers.broadcasts.orders import Orders
from workers.dead_letters import DeadLetterRefused
from workers.inbox import Inbox, Publisher
from workers.jobs import JobInvalid
from workers.logs import configure_logging

LISTED_MAX = 100


def main() -> None:
    options = _parser().parse_args()
    configure_logging()
    logging.getLogger().setLevel(logging.ERROR)  # the one line at the end says it
    try:
        settings = load_settings()
        engine = GuardedEngine(settings)
        if options.command == "job":
            _job(options.reference, engine, settings)
        elif options.command == "broadcast":
            command.run(options, _orders(engine, settings), settings)
        else:
            _dead_letters(options, engine, settings)
    except (SettingsError, DeadLetterRefused, BroadcastRefused, JobInvalid) as error:
        sys.exit(f"workers: {error}")
    except DatabaseAway as error:
        sys.exit(f"workers: the database does not answer ({error}); {_what_stands(options)}")
    except redis.RedisError as error:
        sys.exit(f"workers: Redis does not answer ({error}); {_what_stands(options)}")


def _what_stands(options: argparse.Namespace) -> str:
    """A broadcast's change is in the database before its jobs are in Redis: it stands where only these are missing."""
    if options.command == "broadcast" and options.action not in {"list", "show"}:
        return "what was ordered may stand all the same: look at `broadcast list` before you order it again"
    return "nothing was changed"


def _dead_letters(options: argparse.Namespace, engine: GuardedEngine, settings: Settings) -> None:
    if options.action == "list":
        for letter in dead_letters.open_ones(engine, LISTED_MAX):
            error = one_line(letter.error, 80)
            print(f"{letter.reference}  {letter.created_at:%Y-%m-%d %H:%M}  {letter.kind:<22}  {error}")
    elif options.action == "show":
        print(json.dumps(dead_letters.described(engine, options.reference), indent=2))
    elif options.action == "discard":
        order = order_here("dead_letter.discard", options.reference)
        dead_letters.discard(engine, options.reference, order)
        print(f"{options.reference} is discarded")
    else:
        from workers.celery import app

        inbox = Inbox(connect_redis(settings))
        order = order_here("dead_letter.retry", options.reference)
        dead_letters.retry(engine, inbox, Publisher(app), options.reference, order)
        print(f"{options.reference} is queued again")


def _job(reference: str, engine: GuardedEngine, settings: Settings) -> None:
    """Where it is, as JSON: on record, finished, or failed, which only the database knows."""
    wanted = lookup.normal(reference)
    if wanted is None:
        sys.exit(
            f"workers: expected a reference of eight letters and digits, such as 7F3KQ2MA; got {reference!r}"
        )
    client = connect_redis(settings)
    found = lookup.find(client, wanted, fleet.Onlooker(client).read())
    answer = {} if found is None else {name: value for name, value in asdict(found).items() if value != ""}
    if found is None or found.state == "finished":
        try:
            letter = dead_letters.described(engine, wanted)
            answer |= {"reference": wanted, "state": "failed", "dead_letter": letter}
        except DeadLetterRefused:
            pass
        except DatabaseAway as away:
            print(
                f"workers: the database does not answer ({away}): failed jobs were not searched",
                file=sys.stderr,
            )
    if not answer:
        sys.exit(
            f"workers: no job has the reference {wanted}: none on record, finished since yesterday, or failed"
        )
    if (since := answer.get("since")) is not None:
        answer["since"] = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    print(json.dumps(answer, indent=2))


def _orders(engine: GuardedEngine, settings: Settings) -> Orders:
    from workers.celery import app

    client = connect_redis(settings)
    return Orders(engine, Lanes(client, Inbox(client), Publisher(app)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workers", description="Ballast's workers, in an operator's hands."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command.add_to(commands)
    commands.add_parser("job", help="where a job is, and what it waits for").add_argument(
        "reference", help="what its user was told, such as 7F3KQ2MA"
    )
    actions = commands.add_parser("dead-letters", help="what could not be done").add_subparsers(
        dest="action", required=True, metavar="list|show|retry|discard"
    )
    actions.add_parser("list", help=f"the oldest {LISTED_MAX} that are open")
    for action, does in (
        ("show", "all that is known of one"),
        ("retry", "queue it again, under its own id: what took effect does not do so twice"),
        ("discard", "close it without doing it"),
    ):
        actions.add_parser(action, help=does).add_argument(
            "reference", help="what its user was told, such as 7F3KQ2MA"
        )
    return parser


if __name__ == "__main__":
    main()
