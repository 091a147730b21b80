"""An app's own options, read as Ballast's are: the field `token` of the app `shop` is SHOP_TOKEN."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic import BaseModel
from pydantic_settings import SettingsConfigDict

from dbcore.settings import (
    ENV_FILES,
    Options,
    SettingsError,
    add_options,
    load_options,
    option_names,
)

if TYPE_CHECKING:
    from ballast.app import App


def load_app_settings(apps: tuple[App, ...]) -> dict[str, BaseModel]:
    """By the apps' names. Raises SettingsError with one line per bad option; secrets stay hidden."""
    models = {app.name: app.settings for app in apps if app.settings is not None}
    taken = option_names()
    for name, model in models.items():
        names = {f"{name}_{field}".upper() for field in model.model_fields}
        if clash := sorted(names & taken):
            raise SettingsError(
                f"{clash[0]} is an option of Ballast's own: the app {name} needs another name for it"
            )
    add_options({f"{name}_{field}".upper() for name, model in models.items() for field in model.model_fields})
    return {name: load_options(_options(name, model)) for name, model in models.items()}


def _options(name: str, model: type[BaseModel]) -> type[Options]:
    config = SettingsConfigDict(
        env_prefix=f"{name}_",
        env_file=ENV_FILES,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        case_sensitive=False,
    )
    made = type(model.__name__, (model, Options), {"model_config": config, "__module__": model.__module__})
    return cast("type[Options]", made)
