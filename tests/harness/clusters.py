"""PostgreSQL clusters for tests. In a run of pytest each is a copy of one that was made and migrated once: initdb and
the migrations take three seconds, a copy a tenth of one.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from devstack import temporary
from devstack.ports import free_port
from devstack.postgres import DATABASE, ROLE, EmbeddedPostgres
from tests.harness.bots_database import clone, run_as_admin
from tests.harness.wheels import made_once

TEMPLATE = "ballast_template"
"""A migrated, empty database that each copy has beside its own, to be cloned: nobody is ever connected to it."""

_runs: list[Path] = []
"""The folder of the run; empty where pytest does not run."""


def share_in(run_folder: Path) -> None:
    """What is copied is made and kept there, by whichever of the run's processes needs it first."""
    _runs[:] = [run_folder]


class _Copy(EmbeddedPostgres):
    def _initdb(self, folder: Path, user: str | None) -> None:
        subprocess.run(["cp", "-a", f"{_original()}/.", str(folder)], check=True)


def cluster(data_dir: Path, port: int, *, durable: bool = True) -> EmbeddedPostgres:
    """One that is still to be started, and then to be migrated by `migrate`. durable -- with fsync."""
    return (_Copy if _runs else EmbeddedPostgres)(data_dir, port, durable=durable)


def migrate(server: EmbeddedPostgres) -> None:
    if not isinstance(server, _Copy):
        _upgrade(server)


def _upgrade(server: EmbeddedPostgres) -> None:
    from dbcore.migrate import upgrade  # not at the top: tests without a database need none of it

    upgrade(server.url)


def _original() -> Path:
    """A cluster that no server runs on."""
    (run_folder,) = _runs
    with made_once(run_folder / "cluster") as original:
        if original is not None:
            with temporary.servers_folder() as folder:
                server = EmbeddedPostgres(folder / "postgres", free_port(), durable=False)
                server.start()
                _upgrade(server)
                run_as_admin(server, "postgres", f"{clone(TEMPLATE, DATABASE)} OWNER {ROLE}")
                server.stop()
                # With it the copy would be taken for one of an older release.
                (server.data_dir / "postmaster.opts").unlink()
                shutil.rmtree(original, ignore_errors=True)
                subprocess.run(["cp", "-a", str(server.data_dir), str(original)], check=True)
    return run_folder / "cluster"
