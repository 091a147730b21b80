"""The apps of this installation, imported before anything is made of them: kinds, queues and Celery's tasks."""

from __future__ import annotations

import sys

from ballast.apps.discovery import installed
from dbcore.settings import SettingsError

try:
    INSTALLED = installed()
except (
    SettingsError
) as _error:  # a process boundary: every program of Ballast imports this, and ends in one line
    sys.exit(f"ballast: {_error}")
