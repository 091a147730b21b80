"""`ballast outages` and `ballast settings`: what happened, and what is configured."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from ballast.cli.commands import Command, as_json, open_database, print_json


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
            click.echo(
                f"ballast: the database does not answer ({away}): what Redis knows of them is shown", err=True
            )
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
    for each in history.uptimes:
        outages = "no outage" if not each.outages else f"{each.outages} outage{'s' * (each.outages > 1)}"
        long = f"{each.hours // 24} days" if each.hours > 24 else f"{each.hours} hours"
        lasting = f", {each.down_seconds:.0f} s in all" if each.outages else ""
        click.echo(f"up in the last {long + ':':<10} {each.percent}, {outages}{lasting}")
    for outage in found:
        click.echo(described_outage(outage, history.now))
    if not found:
        click.echo("no outage or pause is known")


@click.command(cls=Command)
@click.option("--all", "show_all", is_flag=True, help="Those with their defaults too.")
@as_json
def settings(*, show_all: bool, as_json: bool) -> None:
    """Show the options that are set, and where from: secrets masked. Warns of names in .env that are no options."""
    from ballast.apps.discovery import installed
    from dbcore.settings import in_force, load_settings, unknown_in_env_file

    environment = dict(os.environ)  # as it is before options are put into it for apps
    installed()  # or options of theirs would be taken for misspelt ones
    options = in_force(load_settings(), environment)
    if as_json:
        print_json([asdict(option) for option in options])
        return
    for option in options:
        if show_all or option.source != "default":
            click.echo(f"{option.name:<32} {option.value:<44} {option.source}".rstrip())
    for name, meant in unknown_in_env_file():
        maybe = f"; did you mean {meant}?" if meant else ""
        click.echo(f"ballast: {name} in .env is not an option and is ignored{maybe}", err=True)
