"""`ballast books`: the balance sheet, daily totals, and what an operator moves between system accounts."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner, Result

from ballast.cli import commands
from ballast.cli.main import cli
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import UserRef
from dbcore.settings import Settings
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Person, engine, make_engine, person  # noqa: F401  fixtures


@pytest.fixture
def run(
    engine: GuardedEngine,  # noqa: F811
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    person: Person,  # noqa: F811
) -> object:
    settings: Settings = make_settings()
    # The real one also sets up this process's logs.
    monkeypatch.setattr(commands, "open_database", lambda: (engine, settings))
    ann = person(0, "ann")
    target = UserRef(telegram_id=ann.telegram_id)
    ledger.adjust(engine, key="a", target=target, amount=1_000, memo="", actor="shop")
    ledger.adjust(engine, key="b", target=target, amount=-50, memo="", actor="telegram:1")
    return lambda *words: CliRunner().invoke(cli, ["books", *words], prog_name="ballast")


def test_the_books_are_shown_and_an_amount_is_moved_once(run: object) -> None:
    def books(*words: str) -> Result:
        result: Result = run(*words)  # type: ignore[operator]  # a function of the fixture
        return result

    sheet = {row["account"]: row["balance"] for row in json.loads(books("--json").stdout)}
    assert sheet == {"users": "9.50", "house": "-10.00", "adjustments": "0.50"}
    rows = list(csv.DictReader(io.StringIO(books("--days", "1", "--csv").stdout)))
    assert {(row["account"], row["kind"], row["credits"]) for row in rows} >= {("users", "credit", "10.00")}
    move = ("--move", "2.50", "house", "promo", "--key", "spring")
    assert books(*move).stdout.startswith("applied: transfer ")
    assert books(*move).stdout.startswith("replayed: transfer ")
    assert "reused" in books("--move", "3", "house", "promo", "--key", "spring").stderr
    assert books("--move", "3", "users", "promo", "--key", "x").exit_code == 2
    assert books("--move", "3", "house", "promo").exit_code == 2
    sheet = {row["account"]: row["balance"] for row in json.loads(books("--json").stdout)}
    assert (sheet["house"], sheet["promo"]) == ("-12.50", "2.50")
