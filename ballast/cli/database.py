"""`ballast migrate|audit|status|breaker`: the database, and whether calls to it are let through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.backups import back_up_before_migration
from ballast.cli.commands import REFUSED, Command, as_json, print_json
from ballast.texts import gettext

if TYPE_CHECKING:
    from ballast.app import App
    from dbcore.migrate import AppMigrations

WORDS = ("open", "close", "auto")
"""Those of dbcore.breaker.override, which is not imported here; a test compares."""


@click.command(cls=Command)
@click.option(
    "--take-over",
    is_flag=True,
    help="Let the bot of TELEGRAM_BOT_TOKEN replace the one that the database belongs to.",
)
@click.option(
    "--move-from",
    metavar="SCHEMA",
    help="Move Ballast's tables from this schema into BALLAST_SCHEMA. Stop all of its processes first.",
)
@click.option("--no-backup", is_flag=True, help="Make no backup first, although BACKUP_TO is set.")
@as_json
def migrate(*, take_over: bool, move_from: str | None, no_backup: bool, as_json: bool) -> None:
    """Bring the database to the schema of this release, then the tables of each app to its newest revision.

    With TELEGRAM_BOT_TOKEN set, the database then belongs to that bot. With BACKUP_TO set, a proven backup is made
    before a migration changes tables: the proof rehearses Ballast's own migrations on the restored copy.
    """
    from ballast.apps.discovery import installed
    from dbcore import migrate as migrations
    from dbcore.installation import bring_to_this_release
    from dbcore.settings import load_settings

    of_apps, settings = migrations_of(installed().apps), load_settings()
    url, schema = settings.require("database_url"), settings.ballast_schema
    wants_backup = settings.backup_to is not None and not no_backup and move_from is None
    if wants_backup and migrations.is_older(url, schema=schema, apps=[*of_apps.values()]):
        back_up_before_migration(settings)
    for note in bring_to_this_release(settings, take_over=take_over, move_from=move_from):
        click.echo(note, err=True)
    revision = migrations.newest_revision()
    revisions = {name: migrations.upgrade_app(url, each, schema=schema) for name, each in of_apps.items()}
    if as_json:
        print_json({"revision": revision, **({"apps": revisions} if revisions else {})})
        return
    click.echo(gettext("The schema is at revision {revision}.", revision=revision))
    for name, of_app in revisions.items():
        click.echo(gettext("The tables of {app} are at revision {revision}.", app=name, revision=of_app))


def migrations_of(apps: Iterable[App]) -> dict[str, AppMigrations]:
    """By the names of those that have some."""
    from dbcore.migrate import AppMigrations

    return {
        app.name: AppMigrations(app.name, app.migrations, app.schema)
        for app in apps
        if app.migrations is not None
    }


@click.command(cls=Command)
@click.option("--full", is_flag=True, help="Read everything again, also what a former audit proved.")
@as_json
@click.pass_context
def audit(ctx: click.Context, *, full: bool, as_json: bool) -> None:
    """Prove that the ledger is right, and what apps check beside it. Exit status 1 if it is not.

    What is sealed and was proved by a former audit is not read again: each balance is held against its last entry, the
    chain of seals is followed, and what is new is read. The workers read sealed rows again, a seal at a time.
    """
    from ballast.apps.discovery import installed
    from ballast.cli.audit_text import report
    from ballast.operators.auditing import audit_with_apps
    from dbcore.settings import load_settings

    apps = installed().apps
    findings = audit_with_apps(load_settings(), apps, full=full)
    passes = all(finding.ok for finding in findings)
    if as_json:
        checks = [{"ok": finding.ok, **asdict(finding)} for finding in findings]
        print_json({"ok": passes, "checks": checks})
    else:
        click.echo(report(findings))
    if not passes:
        ctx.exit(REFUSED)


@click.command(cls=Command)
@as_json
def status(*, as_json: bool) -> None:
    """Show the database's version, revision, tables, connections, size and latency."""
    from ballast.apps.discovery import installed
    from ballast.cli import status_text
    from dbcore.settings import load_settings
    from dbcore.status import status as read_status

    installed()  # or options of theirs would be taken for misspelt ones
    settings = load_settings()
    found = read_status(settings.require("database_url"), settings.ballast_schema)
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(status_text.described(found))


@click.command(cls=Command)
@click.argument("word", required=False, type=click.Choice(WORDS))
@as_json
def breaker(*, word: str | None, as_json: bool) -> None:
    """Show the fleet's circuit breaker, or set it.

    \b
    open   let no call to the database through
    close  let all calls through, whatever happens
    auto   open and close by how the calls go (normal)
    """
    from ballast.cli import breaker_text
    from dbcore.breaker import override
    from dbcore.redis_client import connect_redis
    from dbcore.settings import Settings, load_options

    # Without a look for misspelt options: it would need the apps, and the breaker can be set if one cannot be imported.
    with connect_redis(load_options(Settings)) as client:
        if word is not None:
            override.set_override(client, word, override.user_here())
        if as_json:
            print_json(override.described(client))
        else:
            click.echo(breaker_text.described(client))
