"""An app's own texts, by the catalogues that it brings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel, Field

from ballast import App
from ballast.apps.discovery import registry
from ballast.arguments import ArgumentsRefused, parse
from ballast.context import Context
from ballast.texts import of_any_app, speaking
from ballast.texts.catalogues import use_apps, use_folder
from dbcore.errors import UsageError
from tests.conftest import MakeSettings

GERMAN = """
msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\\n"

msgid "You have {amount} for gifts."
msgstr "Sie haben {amount} für Geschenke."

msgid "{count} gift"
msgid_plural "{count} gifts"
msgstr[0] "{count} Geschenk"
msgstr[1] "{count} Geschenke"

msgid "a code such as HELLO"
msgstr "ein Code wie HELLO"
"""


class Code(BaseModel):
    code: str = Field(max_length=5, description="a code such as HELLO")


@pytest.fixture
def locale(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locale"
    (folder / "de" / "LC_MESSAGES").mkdir(parents=True)
    (folder / "de" / "LC_MESSAGES" / "shop.po").write_text(GERMAN)
    use_apps([folder])
    yield folder
    use_apps([])
    use_folder(None)


def context(settings: Any, translations: Path | None) -> Context:
    return Context(
        kind="shop.gift",
        database="none",
        settings=settings,
        engine=cast("Any", None),  # it asks no database
        announce=lambda: None,
        translations=translations,
        language_of=lambda telegram_id: "de" if telegram_id == 7 else "en",
    )


def test_a_handler_speaks_the_language_of_whoever_asked(make_settings: MakeSettings, locale: Path) -> None:
    ctx = context(make_settings(), locale)
    assert (
        ctx.text("You have {amount} for gifts.", amount=ctx.money(123_450))
        == "You have 1,234.50 CREDIT for gifts."
    )
    with speaking("de"):
        told = ctx.text("You have {amount} for gifts.", amount=ctx.money(123_450))
        assert told == "Sie haben 1.234,50 CREDIT für Geschenke."
        gifts = [ctx.count("{count} gift", "{count} gifts", number) for number in (1, 2)]
        assert gifts == ["1 Geschenk", "2 Geschenke"]
        assert ctx.text("Nobody translated this.") == "Nobody translated this."
        assert ctx.text("Cancelled.") == "Cancelled.", "what is Ballast's text is not the app's"
    with ctx.speaking_to(7):
        assert ctx.count("{count} gift", "{count} gifts", 2) == "2 Geschenke"


def test_an_app_without_catalogues_says_what_it_says(make_settings: MakeSettings) -> None:
    ctx = context(make_settings(), None)
    with speaking("de"):
        assert ctx.count("{count} gift", "{count} gifts", 2) == "2 gifts"


def test_what_an_app_registers_is_looked_up_in_its_catalogues(locale: Path) -> None:
    with speaking("de"):
        assert of_any_app("a code such as HELLO") == "ein Code wie HELLO"
        with pytest.raises(ArgumentsRefused) as refused:
            parse("redeem", Code, "TOOLONG")
    assert str(refused.value) == "CODE: Erwartet wird ein Code wie HELLO. Schreiben Sie es so: /redeem CODE"


def test_an_operators_text_wins_over_an_apps(
    make_settings: MakeSettings, locale: Path, tmp_path: Path
) -> None:
    (tmp_path / "de.po").write_text(GERMAN.replace("für Geschenke", "zum Verschenken"))
    use_folder(tmp_path)
    with speaking("de"):
        told = context(make_settings(), locale).text("You have {amount} for gifts.", amount="5")
    assert told == "Sie haben 5 zum Verschenken."


def test_the_folder_is_a_path_or_one_of_a_package(locale: Path) -> None:
    assert registry((App("shop", translations=locale),)).translations == {"shop": locale}
    own = App("shop", translations="ballast.texts:locale")
    assert own.translations is not None
    assert (own.translations / "de.po").is_file()
    with pytest.raises(UsageError, match="expected a folder of catalogues"):
        App("shop", translations="ballast.texts:nowhere")
    with pytest.raises(UsageError, match="expected a folder of catalogues"):
        App("shop", translations="no_such_package:locale")
