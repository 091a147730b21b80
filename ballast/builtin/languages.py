"""Which language somebody reads, and by which time zone."""

from __future__ import annotations

from pydantic import Field

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import UserJob
from ballast.texts import gettext_noop
from dbcore.sentences import sentence

RESTORE_SECONDS = 600.0


class ChooseLanguage(UserJob):
    """/language: what they read from now on; None is as Telegram says."""

    kind = "users.choose_language"
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(_[A-Za-z0-9]{2,4})?$")


class ChooseTimeZone(UserJob):
    """/timezone: by whose clocks they read times from now on; None is by those of TIMEZONE."""

    kind = "users.choose_time_zone"
    zone: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_+/-]{2,44}$")


languages = BuiltInApp("users", tasks=["workers.tasks.languages"])

languages.built_in_job(
    ChooseLanguage,
    database="write",
    waiting=Waiting(
        words=sentence("Your choice of a language is saved, and I'll confirm it {where} {until}.")
    ),
)
languages.built_in_command(
    "language", ChooseLanguage, help=gettext_noop("Choose your language"), alone="anything", is_linked=True
)
languages.built_in_button("language", button_data.LANGUAGE, leads_to=[ChooseLanguage])
languages.built_in_job(
    ChooseTimeZone,
    database="write",
    waiting=Waiting(
        words=sentence("Your choice of a time zone is saved, and I'll confirm it {where} {until}.")
    ),
)
languages.built_in_command(
    "timezone", ChooseTimeZone, help=gettext_noop("Choose your time zone"), is_linked=True
)
languages.built_in_button("timezone", button_data.TIME_ZONE, leads_to=[ChooseTimeZone])
# What people chose is in the database. It is looked up in Redis, which may have lost it.
languages.schedule(
    "languages-restore",
    "workers.users.restore_languages",
    lambda *_: RESTORE_SECONDS,
    queue="health",
    expires_before=5,
    needed_by=[ChooseLanguage, ChooseTimeZone],
)
