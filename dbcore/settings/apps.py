"""Which apps there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import NoDecode

from dbcore.sentences import Refusal, sentence
from dbcore.settings.options import Section

_APP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)


class AppOptions(Section):
    """Which apps there are: read by each process before all else."""

    ballast_apps: Annotated[tuple[str, ...], NoDecode] = ()
    texts_folder: Path | None = None

    @field_validator("texts_folder")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        try:
            is_folder = value is None or value.is_dir()
        except OSError:  # such as a name that is too long
            is_folder = False
        if not is_folder:
            raise Refusal(sentence("expected a folder of catalogues such as de.po"))
        return value

    @field_validator("ballast_apps", mode="before")
    @classmethod
    def _modules(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if not all(_APP.fullmatch(name) for name in names):
            raise Refusal(sentence("expected names such as shop.bot:app, comma separated"))
        return names
