"""Beat's scheduler leaves word that it goes round, beside its schedule: `<schedule>.round`, for health checks.

The schedule's own file does not tell: some kinds of dbm write it when they are closed.
"""

from __future__ import annotations

from pathlib import Path

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):
    def sync(self) -> None:
        """Celery calls this after each task it has asked for, by `beat_sync_every`."""
        super().sync()
        Path(f"{self.schedule_filename}.round").touch()
