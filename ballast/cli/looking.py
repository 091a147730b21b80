"""`ballast outages` and `ballast settings`: what happened, and what is configured."""

from __future__ import annotations

from dataclasses import asdict

import click

from ballast.cli.commands import Command, as_json, open_database, print_json


@click.command(cls=Command)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many to print."
)
@as_json
def outages(*, limit: int, as_json: bool) -> None:
    """List the times in which calls to the database were held back, the newest first."""
    from dbcore.breaker import override
    from dbcore.breaker.events import read_outages
    from dbcore.breaker.outages import read
    from dbcore.breaker.store import read_state
    from dbcore.errors import DatabaseAway
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    with connect_redis(settings) as client:
        fleet, now = read_state(client)
        known = {outage.id: outage for outage in read(client, fleet, now)}
    try:
        known = {outage.id: outage for outage in read_outages(engine, limit)} | known
    except DatabaseAway as away:
        click.echo(f"ballast: the database does not answer ({away}): only the last ones are shown", err=True)
    found = sorted(known.values(), key=lambda outage: outage.began_at, reverse=True)[:limit]
    if as_json:
        times = ("began_at", "ended_at")
        print_json(
            [
                {**asdict(outage), **{name: override.iso_time(getattr(outage, name)) for name in times}}
                for outage in found
            ]
        )
        return
    for outage in found:
        click.echo(override.described_outage(outage, now))
    if not found:
        click.echo("there was none")


@click.command(cls=Command)
@click.option("--all", "show_all", is_flag=True, help="Those with their defaults too.")
@as_json
def settings(*, show_all: bool, as_json: bool) -> None:
    """Show the options that are set, and where from: secrets masked. Warns of names in .env that are no options."""
    from ballast.apps import installed
    from dbcore.settings import in_force, load_settings, unknown_in_env_file

    installed()  # or options of theirs would be taken for misspelt ones
    options = in_force(load_settings())
    if as_json:
        print_json([asdict(option) for option in options])
        return
    for option in options:
        if show_all or option.source != "default":
            click.echo(f"{option.name:<32} {option.value:<44} {option.source}".rstrip())
    for name, meant in unknown_in_env_file():
        maybe = f"; did you mean {meant}?" if meant else ""
        click.echo(f"ballast: {name} in .env is not an option and is ignored{maybe}", err=True)
