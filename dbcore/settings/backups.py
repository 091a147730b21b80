"""What is backed up, where to and how often."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from dbcore.expectations import shaped
from dbcore.qualified_names import is_plain_name
from dbcore.sentences import Refusal, sentence
from dbcore.settings.database import DatabaseOptions, DatabaseUrl
from dbcore.settings.options import listed

_BACKUP_LOOK_SECONDS = 300.0


class BackupOptions(DatabaseOptions):
    """Backups, and the proof of each."""

    backup_to: str | None = None
    backup_every_hours: Annotated[float, Field(ge=0, le=8_760, allow_inf_nan=False)] = 24.0
    backup_alarm_hours: Annotated[float | None, Field(gt=0, le=87_600, allow_inf_nan=False)] = None
    backup_keep: Annotated[
        str, Field(pattern=shaped(r"^[1-9][0-9]{0,3}d?$", "a number such as 14, or of days such as 30d"))
    ] = "14"
    backup_recipient: Annotated[tuple[str, ...], NoDecode] = ()
    backup_database_url: DatabaseUrl = None
    backup_schemas: Annotated[tuple[str, ...], NoDecode] = ()
    backup_scratch_url: DatabaseUrl = None
    backup_programs: Path | None = None
    backup_deadline_seconds: Annotated[float, Field(gt=0, le=604_800)] = 3600.0

    @field_validator("backup_recipient", mode="before")
    @classmethod
    def _public_keys(cls, value: object) -> object:
        keys = listed(value)
        if not all(re.fullmatch(r"age1[a-z0-9]{58}", key) for key in keys):
            raise Refusal(
                sentence("expected the public key that age-keygen prints, age1…, or several, comma separated")
            )
        return keys

    @field_validator("backup_schemas", mode="before")
    @classmethod
    def _plain_names(cls, value: object) -> object:
        names = listed(value)
        if not all(is_plain_name(name) for name in names):
            raise Refusal(sentence("expected names of schemas, comma separated, such as ballast,shop"))
        return names

    @property
    def backup_source(self) -> str:
        """The address of the database that is backed up, in clear. Raises SettingsError if there is none."""
        direct = self.backup_database_url
        return self.require("database_url") if direct is None else direct.get_secret_value()

    @property
    def backup_look_seconds(self) -> float:
        """How often it is looked whether a backup is due."""
        return max(1.0, min(_BACKUP_LOOK_SECONDS, 900 * self.backup_every_hours or _BACKUP_LOOK_SECONDS))

    @property
    def backup_alarm_seconds(self) -> float | None:
        """The age of the last proven backup that is too much; None if none is expected."""
        if self.backup_to is None:
            return None
        if self.backup_alarm_hours is not None:
            return 3600 * self.backup_alarm_hours
        return 3600 * (2 * self.backup_every_hours + 1) if self.backup_every_hours else None
