"""The task that looks whether a backup is due."""

from __future__ import annotations

from functools import cache

from ballast.backups.schedule import BackupStarter
from workers import process
from workers.celery import app


@app.task(name="workers.health.backup")
def backup() -> None:
    """Start one if it is due. It is a process of its own."""
    _starter().look()


@cache
def _starter() -> BackupStarter:
    """This process's."""
    worker = process.current()
    return BackupStarter(worker.redis, worker.settings)
