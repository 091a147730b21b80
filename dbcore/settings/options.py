"""What every option may be, and where its value is from."""

from __future__ import annotations

import os
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dbcore.sentences import Refusal, sentence

ENV_FILE = os.environ.get("BALLAST_ENV_FILE") or ".env"
RUNNING_ENV_FILE = ".ballast/running.env"
ENV_FILES = (ENV_FILE,) if os.devnull == ENV_FILE else (RUNNING_ENV_FILE, ENV_FILE)
"""The stronger one last. Who wants no file to be read wants none of a run in the same folder either."""


class SettingsError(Refusal):
    """An option has a value Ballast cannot work with. It names option, expectation and what came."""


class Options(BaseSettings):
    """What every value may be, whatever its option says."""

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: Any) -> Any:
        """Without white space around it, and an empty one is unset."""
        tidy = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in tidy.items() if value != ""}

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        if isinstance(value, str) and re.search(r"[\0\ud800-\udfff]", value):
            raise Refusal(sentence("expected text in UTF-8 without a NUL"))
        return value


class Section(Options):
    """Some of Ballast's own options. `Settings` is all sections; who needs one of them takes that one."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILES,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        defer_build=True,  # most sections are never read alone
    )

    def require(self, option: Literal["database_url", "redis_url", "telegram_bot_token"]) -> str:
        """The value of an option this process cannot do without, in clear.

        Raises SettingsError where it is unset.
        """
        value: SecretStr | None = getattr(self, option)
        if value is None:
            raise SettingsError(
                sentence(
                    "{option} is not set, and no `make run` or `ballast run` is up in this folder to take it from. "
                    "Set {option}, or start the embedded servers by one of them.",
                    option=option.upper(),
                )
            )
        return value.get_secret_value()


def listed(value: object) -> tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list | tuple) else ()
    return tuple(part.strip() for part in value.split(",") if part.strip())


def is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"[\s\x00-\x1f\x7f]", url)
        )
    except ValueError:  # which may quote what it was given
        return False
