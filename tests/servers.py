"""A PostgreSQL of a test's own, which it may stop, freeze and kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbcore.migrate import upgrade
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres


@contextmanager
def running_postgres(
    folder: Path, *, durable: bool = True, migrated: bool = True
) -> Iterator[EmbeddedPostgres]:
    """durable -- with fsync: killed, it has lost nothing."""
    port = free_port()
    server = EmbeddedPostgres(folder / f"postgres-{port}", port, durable=durable)
    server.start()
    try:
        if migrated:
            upgrade(server.url)
        yield server
    finally:
        server.stop()
