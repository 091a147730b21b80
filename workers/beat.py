"""Beat's scheduler: asks for a probe as soon as it starts, and leaves word that it goes round, beside its schedule:
`<schedule>.round`, for health checks.

The schedule's own file does not tell: some kinds of dbm write it when they are closed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):
    def setup_schedule(self) -> None:
        """Celery has everything wait for its period first, and nobody would know of the database for a minute."""
        super().setup_schedule()
        self.schedule["health-probe"].last_run_at = datetime.fromtimestamp(0, UTC)

    def sync(self) -> None:
        """Celery calls this after each task it has asked for, by `beat_sync_every`."""
        super().sync()
        Path(f"{self.schedule_filename}.round").touch()
