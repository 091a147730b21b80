"""Everything of a bot into a folder, as it was at one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, text

from dbcore import migrate
from dbcore.exporting import folder as folders
from dbcore.exporting.copying import ExportRefused, Form, HashedFile, copy, snapshot
from dbcore.exporting.files import ExportFile, export_files, time
from dbcore.exporting.manifest import MANIFEST, Manifest, ManifestFile
from dbcore.qualified_names import qualified
from dbcore.sentences import sentence
from dbcore.settings import Settings

TABLE_PREFIX = "table."
"""Of the files with an author's own tables."""


def export(
    settings: Settings,
    folder: Path,
    *,
    form: Form,
    tables: Sequence[str],
    program: str,
    wrote: Callable[[str, ManifestFile], None],
) -> Manifest:
    """Write the folder. wrote -- is told of each file.

    tables -- of the author's own, by the names that SQL knows them by. program -- the release that exports.
    Raises ExportRefused, SQLAlchemy's and the driver's errors; then there is no folder.
    """
    schema = settings.ballast_schema
    with (
        folders.growing(folder) as growing,
        snapshot(settings.require("database_url"), schema) as connection,
    ):
        revision = require_revision(connection, schema)
        own = [own_table(connection, name) for name in tables]
        files: dict[str, ManifestFile] = {}
        for each in (*export_files(settings.known_currencies), *own):
            name = f"{each.name}.{form}"
            files[name] = _write(connection, settings, each, form, growing / name)
            wrote(name, files[name])
        manifest = Manifest(
            ballast=program,
            schema_revision=revision,
            exported_at=moment(connection),
            bot_id=settings.bot_id,
            currency=settings.currency,
            exponent=settings.currency_exponent,
            files=files,
        )
        file = HashedFile(growing / MANIFEST)
        file.write(manifest.model_dump_json(indent=2).encode() + b"\n")
        file.close()
    return manifest


def require_revision(connection: Connection, schema: str | None) -> str:
    """Raises ExportRefused for the tables of another release."""
    revision, newest = migrate.current_revision(connection, schema), migrate.newest_revision()
    if revision != newest:
        raise ExportRefused(
            sentence(
                "the schema is at revision {revision}, this release expects {newest}: migrate first",
                revision=revision,
                newest=newest,
            )
        )
    return newest


def moment(connection: Connection) -> str:
    """When the transaction began, as the database's clock has it."""
    return str(connection.execute(text(f"SELECT {time('now()', 'at')}")).scalar_one())


def own_table(connection: Connection, name: str) -> ExportFile:
    """Raises ExportRefused if there is no such table, or its name could not be a file's."""
    found = connection.execute(
        text(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.oid = to_regclass(:name) AND c.relkind IN ('r', 'p', 'v', 'm')"
        ),
        {"name": name},
    ).scalar_one_or_none()
    if found is None or "/" in found:
        raise ExportRefused(
            sentence("--table: there is no table {name}; expected a name such as shop.orders", name=name)
        )
    return ExportFile(TABLE_PREFIX + str(found), f"SELECT * FROM {found}")  # noqa: S608  quoted by the server


def _write(
    connection: Connection, settings: Settings, each: ExportFile, form: Form, path: Path
) -> ManifestFile:
    file = HashedFile(path)
    try:
        rows = copy(connection, settings.ballast_schema, each.query, form, file)
    finally:
        file.close()
    return ManifestFile(
        rows=rows,
        bytes=file.size,
        sha256=file.sha256,
        summed=each.summed,
        sums={} if each.summed is None else _sums(connection, settings, each),
    )


def _sums(connection: Connection, settings: Settings, each: ExportFile) -> dict[str, str]:
    """As the database adds them up, not from the file: who verifies the file compares the two."""
    currency = "currency" if each.name != "users" else f"'{settings.currency}'"
    statement = (
        f"SELECT {currency}, sum({each.summed}::numeric)::text FROM ({each.query}) AS line "  # noqa: S608
        f"WHERE {each.summed} IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    rows = connection.exec_driver_sql(qualified(statement, settings.ballast_schema))
    return {row[0]: row[1] for row in rows}
