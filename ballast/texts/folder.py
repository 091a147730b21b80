"""The operator's own texts, which TEXTS_FOLDER names."""

from __future__ import annotations

from ballast.texts.catalogues import CatalogueError, use_folder
from dbcore.settings import AppOptions, SettingsError


def use_texts_folder(options: AppOptions) -> None:
    """Have them win over all others, in this process. Raises SettingsError if one cannot be read."""
    try:
        use_folder(options.texts_folder)
    except CatalogueError as error:
        raise SettingsError(f"TEXTS_FOLDER: {error}") from error
