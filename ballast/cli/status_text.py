"""What `ballast status` prints of the database."""

from __future__ import annotations

from ballast.texts import gettext, ngettext, pgettext
from ballast.texts.columns import labelled, right
from ballast.texts.formats import number
from dbcore.status import Status


def described(found: Status) -> str:
    rows = [
        (gettext("server"), f"PostgreSQL {found.server}"),
        (gettext("revision"), _revision(found)),
        (
            gettext("connections"),
            gettext("{open} of {possible}", open=found.connections, possible=found.connections_max),
        ),
        (gettext("size"), found.size),
        (gettext("schema"), found.schema or pgettext("schema", "none")),
        (gettext("latency"), f"{found.latency_ms:.1f} ms"),
        ("outbox", _outbox(found)),
        (gettext("tables"), ""),
    ]
    tables = [(f"  {name}", _counted(rows)) for name, rows in found.rows.items()]
    return "\n".join([line.rstrip() for line in (*labelled(rows), *labelled(tables))])


def _revision(found: Status) -> str:
    revision = found.revision or pgettext("revision", "none")
    if found.revision == found.newest_revision:
        return revision
    return gettext("{revision} (this release: {newest})", revision=revision, newest=found.newest_revision)


def _counted(rows: int | None) -> str:
    if rows is None:
        return pgettext("table", "missing")
    return ngettext("{number} row", "{number} rows", rows, number=right(number(rows), 12))


def _outbox(found: Status) -> str:
    if found.outbox_oldest_seconds is None:
        return gettext("no job waits")
    return ngettext(
        "{count} job waits, the oldest for {seconds} s",
        "{count} jobs wait, the oldest for {seconds} s",
        found.rows["outbox"] or 0,
        seconds=round(found.outbox_oldest_seconds),
    )
