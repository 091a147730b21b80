"""The ledger's books on the page, in figures and as files: what users were credited and debited, day by day."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import aiohttp
import pytest

from ballast.status import books_record
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import books, ledger, seals
from dbcore.ledger.users import UserRef
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Person, engine, make_engine, person  # noqa: F401  fixtures
from tests.harness.queueing import Queueing

AUTHORIZED = {"Authorization": "Bearer sesame, open, sesame"}


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str, database_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url,
        database_url=database_url,
        telegram_bot_token=TOKEN,
        ops_token="sesame, open, sesame",
    )


async def test_the_days_totals_are_on_the_page_in_figures_and_in_a_file(
    settings: Settings,
    queueing: Queueing,
    engine: GuardedEngine,  # noqa: F811
    person: Person,  # noqa: F811
) -> None:
    alice = UserRef(telegram_id=person().telegram_id)
    for key, amount in (("a", 1250), ("b", 100), ("c", -300)):
        ledger.adjust(engine, key=key, target=alice, amount=amount, memo="", actor="telegram:1001")
    seals.run(engine, seconds_max=20)
    books_record.keep(
        queueing.client,
        seals.state(engine),
        books.balance_sheet(engine),
        books.daily_totals(engine, books_record.DAYS),
    )
    today = datetime.now(UTC).date().isoformat()
    async with serving(settings, queueing) as url, aiohttp.ClientSession(headers=AUTHORIZED) as http:

        async def said(path: str) -> str:
            async with http.get(f"{url}{path}") as answer:
                assert answer.status == 200
                return await answer.text()

        rows = [*csv.DictReader(io.StringIO(await said("/books-days.csv")))]
        assert [(row["account"], row["kind"], row["debits"], row["credits"]) for row in rows] == [
            ("adjustments", "credit", "13.50", "0.00"),
            ("adjustments", "debit", "0.00", "3.00"),
            ("users", "credit", "0.00", "13.50"),
            ("users", "debit", "3.00", "0.00"),
        ]
        assert {row["day"] for row in rows} == {today}
        async with http.get(f"{url}/status.json") as answer:
            (day,) = (await answer.json())["books"]["days"]
        expected = {"currency": "CREDIT", "debits": "3.00", "credits": "13.50", "entries": 3}
        assert day == {"day": today, **expected}
        figures = (await said("/metrics")).splitlines()
        labels = '{account="users",currency="CREDIT",kind="%s"}'
        assert f"ballast_account_credits_today{labels % 'credit'} 13.5" in figures
        assert f"ballast_account_debits_today{labels % 'debit'} 3.0" in figures
