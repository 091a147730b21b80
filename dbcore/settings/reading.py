"""Options read from the environment, what is in force and from where, and names that nothing reads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import SettingsError as NotJson

from dbcore.expectations import expectation
from dbcore.misspelt import ignored, misspelt
from dbcore.sentences import Sentence, sentence, several
from dbcore.settings.options import ENV_FILE, ENV_FILES, Options, SettingsError
from dbcore.settings.settings import Settings

_READ_ELSEWHERE = {
    # By Flower, by devstack, and above.
    *("FLOWER_ADDRESS", "FLOWER_MAX_TASKS", "FLOWER_COOKIE_SECRET", "FLOWER_READ_ONLY"),
    *("BALLAST_POSTGRES_PORT", "BALLAST_REDIS_PORT", "BALLAST_LOCAL_TELEGRAM"),
    "BALLAST_ENV_FILE",
}

_O = TypeVar("_O", bound=Options)


def load_settings() -> Settings:
    """Read the environment. Names that look like a misspelt option are told on stderr, once a process.

    Raises SettingsError with one line per bad option: its name, what was expected and what came; secrets stay
    hidden.
    """
    settings = load_options(Settings)
    warn_of_misspelt(option_names())
    return settings


_of_apps: set[str] = set()


def option_names() -> set[str]:
    """Every name that some part of this installation reads."""
    return {name.upper() for name in Settings.model_fields} | _READ_ELSEWHERE | _of_apps


def add_options(names: Collection[str]) -> None:
    """Of apps: they are no misspelt ones, and a name like one of them may be one."""
    if names:
        _of_apps.update(names)
        warn_of_misspelt(option_names())


def load_options(options: type[_O]) -> _O:
    """Raises SettingsError like `load_settings`."""
    try:
        return options()
    except ValidationError as error:
        lines = [_one_line(options, item) for item in error.errors()]
        raise SettingsError(several(lines, "\n")) from None
    except NotJson as error:  # of a list, or of a model within one; it names the field and quotes no value
        field = re.search(r'field "(\w+)"', str(error))
        prefix = str(options.model_config.get("env_prefix", ""))
        name = f"{prefix}{field[1] if field else 'option'}".upper()
        raise SettingsError(sentence("{option}: expected JSON", option=name)) from None
    except (UnicodeDecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else sentence("it is not UTF-8")
        raise SettingsError(
            sentence("{file} cannot be read: {reason}", file=ENV_FILE, reason=reason)
        ) from None


def values_of(names: Collection[str]) -> dict[str, str]:
    """Variables that are another program's, from where Ballast's own options are."""
    given = {
        name: value
        for file in ENV_FILES
        if Path(file).is_file()
        for name, value in dotenv_values(file).items()
    }
    found = {name: (os.environ.get(name) or given.get(name) or "").strip() for name in names}
    return {name: value for name, value in found.items() if value}


_told: set[str] = set()


def warn_of_misspelt(options: Collection[str]) -> None:
    """On stderr and in English, each once a process."""
    in_file = dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}
    found = {
        **{name: ("the environment", meant) for name, meant in misspelt(os.environ, options)},
        **{name: (ENV_FILE, meant) for name, meant in misspelt(in_file, options, in_env_file=True)},
    }
    for name, (where, meant) in found.items():
        if name not in _told:
            _told.add(name)
            print(f"ballast: {ignored(name, where, meant)}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class InForce:
    """An option as it is in force. value -- as it is shown: a secret is masked. source -- where it is from."""

    name: str
    value: str
    source: str


def in_force(settings: Settings, environment: Mapping[str, str]) -> list[InForce]:
    """Every option, in the order of docs/settings.md. environment -- that they were read from, beside the files."""
    files = {
        file: {name.upper() for name in dotenv_values(file)} for file in ENV_FILES if Path(file).is_file()
    }
    in_environment = {name.upper() for name, value in environment.items() if value.strip()}

    def source(name: str) -> str:
        if name in in_environment:
            return "environment"
        # The last of the files is the strongest.
        return next((file for file in reversed(ENV_FILES) if name in files.get(file, ())), "default")

    return [
        InForce(name.upper(), _shown(getattr(settings, name), field.annotation), source(name.upper()))
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object, annotation: object) -> str:
    if value is None:
        return ""
    if "Secret" in str(annotation):
        return "set, not shown"
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{each}" for key, each in value.items())
    if isinstance(value, tuple | list | frozenset | set):
        return ",".join(map(str, value))
    return str(value)


def unknown_in_env_file() -> list[tuple[str, str | None]]:
    """Names in .env that no part of this installation reads, each with the option that it is most like."""
    in_file = dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}
    options = option_names()
    likely = dict(misspelt(in_file, options, in_env_file=True))
    return [(name, likely.get(name.upper())) for name in in_file if name.upper() not in options]


def _one_line(options: type[Options], item: object) -> Sentence | str:
    assert isinstance(item, dict)  # noqa: S101  pydantic's ErrorDetails is a TypedDict
    if not item["loc"]:  # of several options together: the message names them
        return expectation(item)
    prefix = str(options.model_config.get("env_prefix", ""))
    option = str(item["loc"][0]).removeprefix(prefix.lower())
    field = options.model_fields.get(option)
    came: Sentence | str = repr(item["input"])
    if field is not None and "Secret" in str(field.annotation):
        came = sentence("a value that is not shown, being a secret")
    if item["type"].startswith("model") or any(isinstance(part, str) for part in item["loc"][1:]):
        came = sentence("a value that is not shown because there may be a secret in it")
    name = f"{prefix.upper()}{option.upper()}"
    if item["type"] == "missing" and len(item["loc"]) == 1:  # its input is all the others
        return sentence("{option}: expected a value; it is not set", option=name)
    if item["type"] == "missing":
        return sentence(
            "{option}: expected an object with {field}, which is not in it",
            option=name,
            field=item["loc"][-1],
        )
    return sentence("{option}: {expected}; got {value}", option=name, expected=expectation(item), value=came)
