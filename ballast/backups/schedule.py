"""When a backup is due, and the program that makes it.

It is a process of its own, `ballast backup`: it may take an hour, and a worker's task a minute. It ends with the worker
that started it; the next look finds that it is due still.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import redis
import structlog

from ballast.backups import record
from ballast.backups.stores import open_store
from dbcore.backups.errors import BackupError
from dbcore.backups.programs import end_with_parent
from dbcore.redis_client import redis_time
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

RETRY_SECONDS = 900.0
"""After a run that made none."""

_CLAIM = "ballast:backup:claim"


@dataclass
class BackupStarter:
    """Of one worker process. `running` is what it started last."""

    client: redis.Redis
    settings: Settings
    running: subprocess.Popen[bytes] | None = None

    def look(self) -> bool:
        """Start a backup if one is due and nobody else starts it; whether it did. Raises redis.RedisError."""
        known = record.read(self.client)
        record.expect(self.client, known, self.settings.backup_alarm_seconds)
        if self.running is not None and self.running.poll() is None:
            return False
        if not self._is_due(known):
            return False
        claim_seconds = max(1, round(self.settings.backup_look_seconds) - 1)
        if not self.client.set(_CLAIM, 1, nx=True, ex=claim_seconds):
            return False
        record.note_begun(self.client)
        self.running = subprocess.Popen(
            [sys.executable, "-m", "ballast", "backup"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        )
        log.info("backup_started", pid=self.running.pid)
        return True

    def _is_due(self, known: record.Record) -> bool:
        every, to = 3600 * self.settings.backup_every_hours, self.settings.backup_to
        if to is None or not every:
            return False
        now = redis_time(self.client)
        if now - known.tried_at < min(RETRY_SECONDS, every):
            return False
        if known.proven is None and known.failed is None:
            self._find_in_store(to)
            known = record.read(self.client)
        return known.proven is None or now - known.proven.taken_at >= every

    def _find_in_store(self, to: str) -> None:
        """Redis knows of none: it may have lost that."""
        try:
            store = open_store(to, self.settings)
            stored = store.listed() if store.lists else []
        except BackupError as error:
            log.warning("backups_not_listed", error=str(error))
            return
        notes = [each.note for each in stored if each.note is not None]
        if notes:
            record.keep_proven(self.client, notes[0], store.where)
