"""Ballast's own Celery application with jobs of ill will beside the good ones: `celery -A tests.chaos.app worker`.

CHAOS_VISIBILITY_SECONDS shortens Redis's visibility time-out, and the wait between two looks for it, to match.
"""

from __future__ import annotations

import os

from tests.chaos import poison_jobs
from workers.celery import app

__all__ = ["app", "poison_jobs"]

if seconds := os.environ.get("CHAOS_VISIBILITY_SECONDS"):
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "visibility_timeout": int(seconds),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
