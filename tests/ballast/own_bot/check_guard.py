"""Tests of what its author does by the guard, without the rest of Ballast."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from ballast import Guard, OutcomeUnknown, Tx, Unavailable
from ballast.testing import Database, Telegram


@pytest.mark.asyncio
async def test_the_guard_on_a_database_that_fails(ballast_database: Database) -> None:
    ballast_database.query("CREATE TABLE bought (thing text)")
    assert ballast_database.query("SELECT * FROM bound_bot") == [], (
        "it belongs to no bot that runs in this folder"
    )

    def buy(thing: str) -> None:
        def work(tx: Tx) -> None:
            tx.session.execute(text("INSERT INTO bought VALUES (:thing)"), {"thing": thing})

        guard = Guard.from_url(ballast_database.url, deadline_seconds=1)  # with a breaker that is closed
        try:
            guard.transact(work, key=thing)
        finally:
            guard.close()

    for fault in (ballast_database.frozen, ballast_database.stopped, ballast_database.read_only):
        async with fault():
            with pytest.raises(Unavailable):
                buy("rug")
    with ballast_database.commit_unanswered() as commit, pytest.raises(OutcomeUnknown):
        buy("lamp")
    assert commit.struck == 1
    buy("lamp")
    assert ballast_database.query("SELECT * FROM bought WHERE thing <> %s", "rag") == [("lamp",)]


def test_without_a_bot_or_an_event_loop(telegram: Telegram) -> None:
    anna = telegram.user("Anna")
    with pytest.raises(AssertionError, match="sees no button 'Yes'"):
        anna.press("Yes")
