"""Every option of Ballast, read once from the environment, a module a section.

Entry points call `load_settings()` and hand the result on; nothing else reads the environment. Values come
from, strongest first: environment variables, `.env` in the current folder, `.ballast/running.env` (written by
`make run` while its embedded servers are up, so that `python -m dbcore audit` and `celery -A workers …` in a
second terminal find them).

White space around a value is dropped: secrets from files end in a newline. What a URL may look like is said in
dbcore/database_url.py and dbcore/redis_url.py.
"""

from __future__ import annotations

from dbcore.settings.apps import AppOptions
from dbcore.settings.options import ENV_FILE, ENV_FILES, RUNNING_ENV_FILE, Options, SettingsError
from dbcore.settings.reading import (
    add_options,
    in_force,
    load_options,
    load_settings,
    option_names,
    unknown_in_env_file,
    values_of,
)
from dbcore.settings.settings import Settings
from dbcore.settings.telegram import TELEGRAM_API_URL, bot_id_of

__all__ = [
    "ENV_FILE",
    "ENV_FILES",
    "RUNNING_ENV_FILE",
    "TELEGRAM_API_URL",
    "AppOptions",
    "Options",
    "Settings",
    "SettingsError",
    "add_options",
    "bot_id_of",
    "in_force",
    "load_options",
    "load_settings",
    "option_names",
    "unknown_in_env_file",
    "values_of",
]
