"""`ballast broadcast`: one message to everybody in a segment."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ballast.cli.commands import Group, as_json, open_database, print_json, say_if_none
from ballast.texts import gettext, ngettext

if TYPE_CHECKING:
    from ballast.broadcasts.service import BroadcastService
    from dbcore.settings import Settings

_id = click.argument("broadcast_id", type=int, metavar="ID")
_file = click.Path(path_type=Path)


@click.group(cls=Group)
def broadcast() -> None:
    """Send one message to everybody in a segment, and watch, pause or cancel it."""


@broadcast.command()
@click.option("--text", help="The message, in Telegram's HTML.")
@click.option("--text-file", type=_file, help="A file with the message.")
@click.option("--other", help="What every second person gets instead, to compare two texts.")
@click.option(
    "--media",
    metavar="TYPE:FILE_ID",
    help="photo, video, animation, document, audio or voice, above the text.",
)
@click.option(
    "--button",
    multiple=True,
    metavar="'TEXT | TARGET'",
    help="A button below it: a link, or callback data for your bot's handlers.",
)
@click.option(
    "--copy",
    multiple=True,
    type=int,
    metavar="ID...",
    help="A chat, then its message or its album's messages.",
)
@click.option("--active-days", type=int, metavar="N", help="Only to users seen within N days.")
@click.option(
    "--balance-min",
    type=int,
    metavar="UNITS",
    help="Only to users with at least this balance, in minor units.",
)
@click.option("--balance-max", type=int, metavar="UNITS", help="Only to users with at most this balance.")
@click.option("--joined-since", metavar="TIME", help="Only to users who joined since.")
@click.option("--seen-until", metavar="TIME", help="Only to users not seen since.")
@click.option("--sql", metavar="QUERY", help="Only to the Telegram IDs in the first column of a query.")
@click.option("--app", metavar="APP.NAME", help="Only to the segment of an app.")
@click.option("--language", metavar="TAG", help="Only to users with this language; de includes de-at.")
@click.option("--ids", multiple=True, type=int, metavar="ID...", help="Only to these Telegram IDs.")
@click.option("--ids-file", type=_file, help="Only to the Telegram IDs in a file, separated by white space.")
@click.option("--paid", is_flag=True, help="Up to 1,000 per second, for Stars.")
@click.option("--stars-max", type=int, metavar="N", help="Refuse if it may cost more.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation; scripts need it.")
@click.option(
    "--canary", type=int, metavar="N", help="Send to N users first, and to the rest if that went well."
)
@click.option("--canary-percent", type=float, metavar="N", help="The same, as a percentage of all.")
@click.option(
    "--canary-then",
    type=click.Choice(["go", "few", "wait"]),
    default="go",
    show_default=True,
    help="After the first: go on, go on if few of them failed, or wait for `resume`.",
)
@click.option(
    "--failures-max",
    type=float,
    default=5.0,
    show_default=True,
    metavar="N",
    help="How many percent are few.",
)
@click.option("--try", "try_on", type=int, metavar="ADMIN", help="Send it to this admin first, then ask.")
@click.option("--at", metavar="TIME", help="When to start, such as 2026-12-01T18:00:00+01:00.")
@click.option("--quiet", metavar="HH:MM-HH:MM", help="Send nothing between these times.")
@click.option(
    "--zone", default="UTC", show_default=True, help="Time zone of the quiet hours, such as Europe/Berlin."
)
@click.option("--key", help="The same key again starts nothing new.")
@click.option("--detach", is_flag=True, help="Do not watch it.")
def start(*, key: str | None, yes: bool, detach: bool, try_on: int | None, **options: Any) -> None:
    """Send one, and watch it. Ctrl-C stops only the watching.

    What is given of --active-days, --seen-until, --joined-since, --balance-min, --balance-max, --language, --ids,
    --ids-file, --sql and --app must all hold; with none of them it goes to everybody. At a terminal, without a
    message, it asks for all of this.
    """
    given = [name for name in ("text", "text_file", "copy") if options[name] not in (None, ())]
    if not given and options["media"] is None and sys.stdin.isatty():
        from ballast.cli.broadcast_questions import asked

        options |= asked()
        try_on = options.pop("try_on") if try_on is None else try_on
        given = ["text"]
    if len(given) != 1 and not (not given and options["media"] is not None):
        raise click.UsageError(_expected_one(given))

    from ballast.builtin.broadcasts import StartBroadcast
    from ballast.cli import broadcast_actions as command

    orders, settings = _orders()
    job = StartBroadcast.decode(_fields(**options))
    broadcast_id = command.start(orders, settings, job, key=key, yes=yes, try_on=try_on)
    click.echo(gettext("broadcast {number}", number=str(broadcast_id)))
    if not detach:
        command.watch(orders.engine, broadcast_id)


@broadcast.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """List the newest 50."""
    from ballast.cli import broadcast_actions as command
    from dbcore.broadcasts import broadcasts

    engine, _ = open_database()
    if as_json:
        print_json([asdict(found) for found in broadcasts.list_recent(engine, command.LISTED_MAX)])
        return
    lines = command.listed(engine)
    say_if_none(lines, gettext("There are no broadcasts."))
    for line in lines:
        click.echo(line)


@broadcast.command()
@_id
@click.option("--watch", is_flag=True, help="Show a progress bar until it is over.")
def show(*, broadcast_id: int, watch: bool) -> None:
    """Show all that is known of one, as JSON."""
    from ballast.cli import broadcast_actions as command
    from dbcore.broadcasts import broadcasts

    engine, _ = open_database()
    if watch:
        command.watch(engine, broadcasts.require_progress(engine, broadcast_id).id)
    else:
        print_json(asdict(broadcasts.require(engine, broadcast_id)))


@broadcast.command()
@_id
def compare(*, broadcast_id: int) -> None:
    """Compare the two texts of an A/B test."""
    from ballast.cli import broadcast_actions as command

    engine, _ = open_database()
    for line in command.compared(engine, broadcast_id):
        click.echo(line)


@broadcast.command()
@_id
def pause(*, broadcast_id: int) -> None:
    """Send nothing more until `resume`."""
    _change("pause", broadcast_id)


@broadcast.command()
@_id
def resume(*, broadcast_id: int) -> None:
    """Go on after a pause or a halt, or if its jobs were lost."""
    _change("resume", broadcast_id)


@broadcast.command()
@_id
def cancel(*, broadcast_id: int) -> None:
    """Send nothing more, for good."""
    _change("cancel", broadcast_id)


@broadcast.command()
@_id
def resend_unknown(*, broadcast_id: int) -> None:
    """Send again where it is unknown whether the message arrived. Some users get it twice."""
    from ballast.cli import broadcast_actions as command

    count = command.resend_unknown(_orders()[0], broadcast_id)
    click.echo(
        ngettext(
            "broadcast {number} is sent once more to {count} person",
            "broadcast {number} is sent once more to {count} people",
            count,
            number=str(broadcast_id),
        )
    )


def _expected_one(given: list[str]) -> str:
    """given -- options that say what is sent, by the names of their parameters; not one of them."""
    if not given:
        return gettext("expected one of --text, --text-file and --copy; got none of them")
    options = [f"--{name.replace('_', '-')}" for name in given]
    return gettext(
        "expected one of --text, --text-file and --copy; got {options} and {last}",
        options=", ".join(options[:-1]),
        last=options[-1],
    )


def _change(action: str, broadcast_id: int) -> None:
    from ballast.cli import broadcast_actions as command

    status = command.change(_orders()[0], action, broadcast_id)
    click.echo(gettext("broadcast {number} is {status}", number=str(broadcast_id), status=gettext(status)))


def _orders() -> tuple[BroadcastService, Settings]:
    from ballast.broadcasts.lanes import Lanes
    from ballast.broadcasts.service import BroadcastService
    from ballast.inbox import Inbox, Publisher
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    client = connect_redis(settings)
    return BroadcastService(engine, Lanes(client, Inbox(client), Publisher(client))), settings


def _fields(**options: Any) -> dict[str, Any]:
    """The job's fields; what was not given is the job's own default."""
    ids = list(options["ids"]) or None
    if options["ids_file"] is not None:
        ids = _ids_in(_content(options["ids_file"]))
    text = options["text"] if options["text_file"] is None else _content(options["text_file"])
    copy = list(options["copy"])
    fields = {
        "text": text,
        "copy": {"chat_id": copy[0], "message_ids": copy[1:]} if copy else None,
        "segment": {
            "active_days": options["active_days"],
            "balance_min": options["balance_min"],
            "balance_max": options["balance_max"],
            "joined_since": options["joined_since"],
            "seen_until": options["seen_until"],
            "sql": options["sql"],
            "app": options["app"],
            "language": options["language"],
            "telegram_ids": ids,
        },
        "paid": options["paid"],
        "stars_max": options["stars_max"],
        "canary": options["canary"],
        "canary_rule": _canary_rule(options),
        "scheduled_for": options["at"],
        "other": None if options["other"] is None else {"text": options["other"]},
        "media": None if options["media"] is None else _media(options["media"]),
        "buttons": [[_button(each)] for each in options["button"]] or None,
    }
    if options["quiet"] is not None:
        begin, _, end = options["quiet"].partition("-")
        fields["quiet_hours"] = {"begin": begin, "end": end, "zone": options["zone"]}
    return {name: value for name, value in fields.items() if value is not None}


def _canary_rule(options: dict[str, Any]) -> dict[str, Any] | None:
    """None: the others follow the first as they are done."""
    if options["canary_then"] == "go" and options["canary_percent"] is None:
        return None
    failures_max = {"go": 100.0, "few": options["failures_max"], "wait": None}[options["canary_then"]]
    return {"percent": options["canary_percent"], "failures_max": failures_max}


def _media(given: str) -> dict[str, str]:
    kind, _, file_id = given.partition(":")
    return {"type": kind, "file_id": file_id}


def _button(given: str) -> dict[str, str]:
    text, _, target = (part.strip() for part in given.partition("|"))
    return {"text": text, "url" if "://" in target else "data": target}


def _content(path: Path) -> str:
    from ballast.jobs import JobInvalid

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobInvalid(
            gettext("{path}: expected a text to read, got {error}", path=path, error=error)
        ) from None


def _ids_in(text: str) -> list[int]:
    from ballast.jobs import JobInvalid

    words = text.split()
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise JobInvalid(
            gettext(
                "--ids-file: expected Telegram ids between white space, got {text}", text=repr(wrong[:60])
            )
        )
    return [int(word) for word in words]
