"""`ballast move`: the database goes to another PostgreSQL while the bot runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import Command
from ballast.texts import gettext, gettext_noop, ngettext, pgettext
from ballast.texts.columns import labelled

if TYPE_CHECKING:
    import redis

    from dbcore.moving.record import Move

METHODS = ("auto", "replication", "dump")

_STATES = {
    "copying": gettext_noop("copying"),
    "holding": gettext_noop("holding"),
    "switched": gettext_noop("switched"),
}


@click.command(cls=Command)
@click.argument("new_url", required=False)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="replication: by logical replication, writes wait for seconds. dump: they wait for the whole copy.",
)
@click.option(
    "--from-backup",
    metavar="BACKUP",
    help="The old database does not answer: restore this one, as in `ballast restore`, and name what it lacks.",
)
@click.option(
    "--identity", type=click.Path(path_type=Path), metavar="FILE", help="The private key of a sealed backup."
)
@click.option(
    "--close-old", is_flag=True, help="After --from-backup, if the old one answers again: close it."
)
@click.option("--dry-run", is_flag=True, help="Only check, and say how it would be done.")
@click.option("--yes", is_flag=True, help="Do not ask before anything is changed.")
@click.option("--status", is_flag=True, help="Say where a move stands.")
@click.option("--abort", is_flag=True, help="Clear up after a move that was killed; the old database stays.")
def move(
    *,
    new_url: str | None,
    method: str,
    from_backup: str | None,
    identity: Path | None,
    close_old: bool,
    dry_run: bool,
    yes: bool,
    status: bool,
    abort: bool,
) -> None:
    """Move to the empty database at NEW_URL while the bot runs.

    DATABASE_URL is the old one. First the plan is told; nothing is changed before you agree to it. The bot is paused
    for the last of the copy, and people are told so; then all processes go on at the new database, and the old one
    refuses every write. Broken off at any point before that, by Ctrl-C too, the old one goes on. Run it again to
    continue. A password in an argument is visible to everybody on the machine: leave NEW_URL out, and be asked for it.
    """
    from dataclasses import replace

    from ballast.apps.discovery import installed
    from ballast.backups import restoring
    from ballast.backups.stores import open_store
    from ballast.cli.backups import surroundings
    from ballast.moving import from_backup as moves
    from ballast.moving.mover import Mover
    from ballast.texts.steps import step
    from dbcore.database_url import read_database_url
    from dbcore.redis_client import connect_redis
    from dbcore.sentences import sentence, sentence_of
    from dbcore.settings import SettingsError, load_settings

    apps, settings = installed().apps, load_settings()
    if status:
        with connect_redis(settings) as client:
            click.echo(_described(client))
        return
    if close_old:
        given = settings.require("database_url")  # the new one is on record
    else:
        given = new_url or click.prompt(gettext("The new database's address"), hide_input=True)
    try:
        target = read_database_url(given)
    except ValueError as error:
        raise SettingsError(sentence("NEW_URL: {error}", error=sentence_of(error))) from error
    mover = Mover(
        settings=settings,
        target=target,
        around=replace(surroundings(settings, apps), say=click.echo),
        method=method,
        confirm=lambda question: yes or _agreed(question),
    )
    if close_old:
        moves.close_old(mover)
    elif abort:
        mover.abort()
        click.echo(step("aborted", gettext("the old database goes on")))
    elif dry_run:
        mover.check()
    else:
        if from_backup is None:
            moved = mover.move()
        else:
            store = None if settings.backup_to is None else open_store(settings.backup_to, settings)
            with restoring.opened(from_backup, store, identity) as (manifest, folder):
                moved = moves.move(mover, manifest, folder, Path(f"move-gap-{manifest.taken_at[:10]}.csv"))
            click.echo(
                gettext(
                    "The old database could not be closed. If it answers again, run `{command}`.",
                    command="ballast move --close-old",
                )
            )
        click.echo(
            gettext(
                "Now set DATABASE_URL to {place} everywhere, and restart the processes at leisure: until then they "
                "find their way by Redis and by the notice in the old database. Drop the old one when all are "
                "restarted and a backup of the new one is proven.",
                place=moved.moved_to,
            )
        )


def _agreed(question: str) -> bool:
    """False also where nobody can be asked."""
    try:
        return click.confirm(question)
    except click.Abort:
        click.echo(err=True)
        return False


def _described(client: redis.Redis) -> str:
    from ballast.moving import progress

    found = progress.read(client)
    if found is None:
        return gettext("No move is under way, and none is known.")
    rows = _rows(found.move)
    if old := found.with_old_url:
        rows.append((gettext("old URL"), ngettext("{count} process", "{count} processes", old)))
    return "\n".join(labelled(rows, least=10))


def _rows(last: Move) -> list[tuple[str, str]]:
    rows = [
        (gettext("state"), gettext(_STATES[last.state])),
        (pgettext("of a move", "from"), last.moved_from),
        (pgettext("of a move", "to"), last.moved_to),
        (gettext("method"), last.method),
        (gettext("began"), f"{datetime.fromtimestamp(last.began_at, UTC):%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if last.switched_at:
        rows.append(
            (gettext("waited"), gettext("{seconds} s", seconds=f"{last.switched_at - last.held_at:.1f}"))
        )
    return rows
