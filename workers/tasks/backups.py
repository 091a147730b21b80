"""The task that looks whether a backup is due."""

from __future__ import annotations

from workers.celery import Task, upkeep


@upkeep("workers.health.backup")
def backup(task: Task) -> None:
    """Start one if it is due. It is a process of its own."""
    task.context.backups.look()
