"""Backups by schedule."""

from __future__ import annotations

from ballast.builtin.app import BuiltInApp

backups = BuiltInApp("backups", tasks=["workers.tasks.backups"])

# Two beats are harmless: a backup is begun once a look.
backups.schedule(
    "backup",
    "workers.health.backup",
    lambda settings, _: settings.backup_look_seconds,
    queue="health",
)
