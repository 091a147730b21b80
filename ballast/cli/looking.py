"""`ballast outages` and `ballast settings`: what happened, and what is configured."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import Command, as_json, open_database, print_json
from ballast.texts import gettext, gettext_noop, ngettext, said
from ballast.texts.columns import labelled, left

if TYPE_CHECKING:
    from dbcore.breaker.outage_history import Uptime

_OURS = (gettext_noop("set, not shown"), gettext_noop("default"), gettext_noop("environment"))
"""What may stand in place of an option's value, or of the file that it is from."""


@click.command(cls=Command)
@click.option(
    "--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many to print."
)
@as_json
def outages(*, limit: int, as_json: bool) -> None:
    """List the times in which calls to the database were held back, the newest first, and the uptime."""
    from ballast.cli.breaker_text import described_outage
    from dbcore.breaker import outage_history, override
    from dbcore.errors import DatabaseAway
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    with connect_redis(settings) as client:
        try:
            outage_history.copy_table(client, engine)
        except DatabaseAway as away:
            less = gettext(
                "the database does not answer ({error}): what Redis knows of them is shown", error=str(away)
            )
            click.echo(f"ballast: {less}", err=True)
        history = outage_history.read(client)
    found = history.outages[:limit]
    if as_json:
        print_json(
            {
                "since": override.iso_time(history.since),
                "uptime": [asdict(each) for each in history.uptimes],
                "outages": [override.outage_as_json(outage) for outage in found],
            }
        )
        return
    for line in labelled(map(_uptime, history.uptimes), least=26):
        click.echo(line)
    for outage in found:
        click.echo(described_outage(outage, history.now))
    if not found:
        click.echo(gettext("no outage or pause is known"))


def _uptime(each: Uptime) -> tuple[str, str]:
    """Of which time, and what."""
    days = each.hours // 24
    if days > 1:
        label = ngettext("up in the last {count} day:", "up in the last {count} days:", days)
    else:
        label = ngettext("up in the last {count} hour:", "up in the last {count} hours:", each.hours)
    if not each.outages:
        return label, gettext("{percent}, no outage", percent=each.percent)
    return label, ngettext(
        "{percent}, {count} outage, {seconds} s in all",
        "{percent}, {count} outages, {seconds} s in all",
        each.outages,
        percent=each.percent,
        seconds=round(each.down_seconds),
    )


@click.command(cls=Command)
@click.option("--all", "show_all", is_flag=True, help="Those with their defaults too.")
@as_json
def settings(*, show_all: bool, as_json: bool) -> None:
    """Show the options that are set, and where from: secrets masked. Warns of names in .env that are no options."""
    from ballast.apps.discovery import installed
    from dbcore.misspelt import ignored
    from dbcore.settings import in_force, load_settings, unknown_in_env_file
    from dbcore.settings.options import ENV_FILE

    environment = dict(os.environ)  # as it is before options are put into it for apps
    installed()  # or options of theirs would be taken for misspelt ones
    options = in_force(load_settings(), environment)
    if as_json:
        print_json([asdict(option) for option in options])
        return
    for option in options:
        if show_all or option.source != "default":
            value, source = map(_in_words, (option.value, option.source))
            click.echo(f"{option.name:<32} {left(value, 44)} {source}".rstrip())
    for name, meant in unknown_in_env_file():
        click.echo(f"ballast: {said(ignored(name, ENV_FILE, meant))}", err=True)


def _in_words(value: str) -> str:
    return gettext(value) if value in _OURS else value
