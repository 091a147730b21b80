"""docs/guard.md is run from top to bottom."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import create_engine, text

from dbcore.database_url import read_database_url
from dbcore.settings import Settings
from tests.dbcore.conftest import Person

PAGE = Path(__file__).parents[3] / "docs" / "guard.md"


def test_the_page_does_what_it_says(
    database_url: str,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: os.PathLike[str],
    make_settings: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = re.findall(
        r"^```python( no-run)?\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    blocks = [(no_run, compile(block, str(PAGE), "exec", dont_inherit=True)) for no_run, block in found]
    first, *rest = (block for no_run, block in blocks if not no_run)
    assert (len(blocks), len(rest)) == (22, 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    engine = create_engine(read_database_url(database_url))
    page: dict[str, Any] = {"__name__": "page", "engine": engine}  # which the reader has
    exec(first, page)  # noqa: S102  our own page
    page["Base"].metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO codes VALUES ('HELLO', 9, 250)"))
    logs_as_before = structlog.get_config()
    try:
        for block in rest:
            exec(block, page)  # noqa: S102
        assert page["set_value"]("HELLO", 500) == "Saved."
        page["guard"].breaker.force_open()
        assert any(record.name.startswith("dbcore") for record in caplog.records), "logged as the page says"
        assert page["set_value"]("HELLO", 0).startswith("Nothing was changed.")
        page["guard"].breaker.reset()
        page["tidy_up"]()
        # Redeemed three times on the way, by the page's own calls.
        assert page["answer"]("HELLO", 7) == "Redeemed. 5 left."
        assert page["on_redeem"](1, "HELLO", 7) == "Redeemed. 4 left."
        assert page["on_redeem"](1, "HELLO", 7) == "You redeemed it already."
        ann = person().telegram_id
        assert [page["on_money"](2, "HELLO", ann) for _ in range(2)] == [500, 500]
        transact = page["guard"].transact
        held = transact(lambda tx: page["place_order"](tx, 7, ann, 300), key="order").value
        transact(lambda tx: page["deliver"](tx, held, 200), key="deliver")
        assert transact(lambda tx: tx.ledger.available(ann)).value == 300
        assert [page["register"](ann, "ann", "Ann"), page["register"](77, None, "New")] == [300, 0]
        assert page["page"]() == "3 left (now); codes: HELLO"
        asyncio.run(asyncio_does_what_it_says(page))
        assert page["on_redeem"](4, "HELLO", 7) == "Redeemed. 0 left."
        for _ in range(2):
            assert page["on_redeem"](5, "HELLO", 7) == "That code is used up."
        flask_does_what_it_says(page)
    finally:
        structlog.configure(**logs_as_before)
        page["guard"].close()
        engine.dispose()


async def asyncio_does_what_it_says(page: dict[str, Any]) -> None:
    async with page["async_guard"]:
        for _ in range(2):
            assert await page["on_redeem_message"](1, 2, "HELLO", 7) == "Redeemed. 2 left."
        assert await page["texts_and_first"]() == (["HELLO"], 2)
        assert await page["in_one_thread"]() == 1
        assert await page["shop_window"]() == "HELLO"
        page["async_guard"].guard.breaker.force_open()
        assert await page["shop_window"]() == "We cannot look right now."
        assert (await page["on_redeem_message"](1, 3, "HELLO", 7)).startswith("Nothing was changed.")


def flask_does_what_it_says(page: dict[str, Any]) -> None:
    app, db = page["app"], page["db"]
    app.add_url_rule("/count", "count", lambda: str(page["User"].query.count()))
    client = app.test_client()
    with app.app_context():
        db.create_all()
    assert client.get("/").text == "Our customers: 0"
    with app.app_context():
        db.breaker().force_open()
    assert client.get("/").text == "Our customers: many"
    refused = client.get("/count")
    assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (503, True)
    with app.app_context():
        db.engine.dispose()
