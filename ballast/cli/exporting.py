"""`ballast export`: everything of a bot as files, or everything of one person."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from ballast.cli.commands import REFUSED, Command
from ballast.texts import gettext, ngettext, said
from ballast.texts.steps import step


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    default="csv",
    show_default=True,
    help="CSV, or a JSON object per line.",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Export this table of yours too, such as shop.orders. May be given more than once.",
)
@click.option("--person", metavar="@NAME|ID", help="Export one person's data, as one JSON file.")
@click.option("--verify", is_flag=True, help="Export nothing: check a folder against its manifest.")
@click.pass_context
def export(
    ctx: click.Context, *, folder: Path, form: str, tables: tuple[str, ...], person: str | None, verify: bool
) -> None:
    """Export everything of the bot, as it is at one moment.

    FOLDER must be new or empty; it appears once all files are whole. With --person it may also be a new file. The bot
    can go on meanwhile. `ballast import FOLDER/users.csv` reads the users and their balances.

    Exit status: 0 if all is exported or verified, 1 if it is not.
    """
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if verify and given - {"folder", "verify"}:
        raise click.UsageError(gettext("--verify goes only with FOLDER"))
    if person is not None and given - {"folder", "person"}:
        raise click.UsageError(gettext("--person goes only with FOLDER"))
    if verify:
        _verify(ctx, folder)
    elif person is not None:
        _export_person(person, folder)
    else:
        _export_all(folder, form, tables)


def _verify(ctx: click.Context, folder: Path) -> None:
    from dbcore.exporting.verifying import sha256_of, verify

    manifest, wrong = verify(folder)
    for line in wrong:
        click.echo(said(line))
    if wrong:
        differs = gettext(
            "{folder} is not what was exported at {time}", folder=folder, time=manifest.exported_at
        )
        click.echo(differs)
        ctx.exit(REFUSED)
    rows = sum(file.rows for file in manifest.files.values())
    files = ngettext("{count} file", "{count} files", len(manifest.files))
    counted = ngettext("{count} row", "{count} rows", rows)
    time = manifest.exported_at
    exported = gettext("{files}, {rows}, exported at {time}", files=files, rows=counted, time=time)
    click.echo(step("verified", exported))
    click.echo(_checksum(sha256_of(folder / "manifest.json")))


def _checksum(of_manifest: str) -> str:
    return step("manifest", f"SHA-256 {of_manifest}")


def _export_all(folder: Path, form: str, tables: tuple[str, ...]) -> None:
    import ballast
    from ballast.apps.discovery import installed
    from dbcore.exporting.exporting import export
    from dbcore.exporting.manifest import ManifestFile
    from dbcore.exporting.verifying import sha256_of
    from dbcore.settings import load_settings

    installed()  # or options of theirs would be taken for misspelt ones

    def wrote(name: str, file: ManifestFile) -> None:
        sums = "".join(f", {total} {currency}" for currency, total in file.sums.items())
        rows = ngettext("{number} row", "{number} rows", file.rows, number=f"{file.rows:>11,}")
        click.echo(f"{name:<26} {rows}{sums}")

    export(
        load_settings(),
        folder,
        form="jsonl" if form == "jsonl" else "csv",
        tables=tables,
        program=ballast.__version__,
        wrote=wrote,
    )
    click.echo(_checksum(sha256_of(folder / "manifest.json")))


def _export_person(person: str, path: Path) -> None:
    import ballast
    from ballast.apps.discovery import installed
    from ballast.queueing.lookup import waiting_of
    from dbcore.exporting.copying import ExportRefused
    from dbcore.exporting.person import export_person
    from dbcore.ledger.users import UserRef, UserRefError
    from dbcore.redis_client import connect_redis
    from dbcore.settings import load_settings

    installed()
    settings = load_settings()
    try:
        ref = UserRef.parse(person)
    except UserRefError as error:
        raise ExportRefused(f"--person: {said(error)}") from None
    with connect_redis(settings) as client:
        path, counts = export_person(
            settings,
            ref,
            path,
            program=ballast.__version__,
            waiting=lambda telegram_id: {"waiting_jobs": waiting_of(client, telegram_id)},
        )
    for name, count in counts.items():
        click.echo(f"{name:<30} {count:>9,}")
    click.echo(step("written", str(path)))
