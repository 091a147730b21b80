"""A bot with people and money, and the command as an operator runs it on that database."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ballast.cli.main import cli
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import Profile, UserRef, get_or_create
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Sql, statements_on

NAMES = ('Ann "the" Boss', "Bo\nris, =1+1", "Ça ра \x01 \\N \\.")
"""What CSV, JSON and COPY each have to quote."""

Ballast = Callable[..., Result]


@pytest.fixture
def ballast(
    make_settings: MakeSettings,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ballast:
    """Runs `ballast` with these arguments in this process."""
    make_settings()  # takes the environment's options away
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, url: str = database_url) -> Result:
        environment = {"DATABASE_URL": url, "REDIS_URL": redis_url}
        return CliRunner().invoke(cli, arguments, prog_name="ballast", env=environment)

    return run


@pytest.fixture
def engine(make_settings: MakeSettings, database_url: str) -> Iterator[GuardedEngine]:
    engine = GuardedEngine(make_settings(database_url=database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def sql(database_url: str) -> Iterator[Sql]:
    with statements_on(database_url) as run:
        yield run


@pytest.fixture
def people(engine: GuardedEngine) -> dict[int, int]:
    """Three people with money that has moved; minor units by Telegram ID."""
    for number, name in enumerate(NAMES, start=1):
        get_or_create(engine, profile=Profile(number, f"user{number}", name, "de"))
        ledger.adjust(
            engine,
            key=f"opening-{number}",
            target=UserRef(telegram_id=number),
            amount=1_050 * number,
            memo='for "lunch", and\nmore',
            actor="test",
        )
    ledger.transfer(
        engine,
        key="lunch",
        sender_telegram_id=1,
        recipient_telegram_id=2,
        amount=50,
        memo="x",
    )
    return {1: 1_000, 2: 2_150, 3: 3_150}


def read(path: Path) -> list[dict[str, Any]]:
    """An exported file's rows."""
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines)) if path.suffix == ".csv" else [json.loads(line) for line in lines]
