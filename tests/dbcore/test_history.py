from __future__ import annotations

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import history, ledger
from dbcore.ledger.users import Profile
from tests.dbcore.conftest import Person


def test_pages_follow_each_other_without_gap_or_overlap(engine: GuardedEngine, person: Person) -> None:
    ann, bob = person(1_000), person()
    for number in range(9):
        ledger.transfer(
            engine,
            key=f"t{number}",
            sender_telegram_id=ann.telegram_id,
            recipient_telegram_id=bob.telegram_id,
            amount=number + 1,
            memo=f"memo {number}",
        )
    newest = history.page(engine, profile=ann, upto_version=None, limit=4)
    assert [entry.version for entry in newest.entries] == [10, 9, 8, 7]
    assert (newest.newest_version, newest.balance, newest.currency) == (10, 955, "CREDIT")
    older = history.page(engine, profile=ann, upto_version=6, limit=4)
    assert [entry.version for entry in older.entries] == [6, 5, 4, 3]
    oldest = history.page(engine, profile=ann, upto_version=2, limit=4)
    assert [entry.version for entry in oldest.entries] == [2, 1]
    sent, opening = oldest.entries
    assert (sent.amount, sent.balance_after, sent.kind, sent.memo) == (-1, 999, "transfer", "memo 0")
    assert sent.counterparty is not None
    assert sent.counterparty.telegram_id == bob.telegram_id
    assert (opening.amount, opening.kind, opening.counterparty) == (1_000, "credit", None)
    assert opening.created_at.tzinfo is not None


def test_a_page_past_the_newest_is_the_newest(engine: GuardedEngine, person: Person) -> None:
    ann = person(10)
    assert [e.version for e in history.page(engine, profile=ann, upto_version=99, limit=5).entries] == [1]
    assert history.page(engine, profile=ann, upto_version=0, limit=5).entries == []


def test_someone_new_has_an_empty_history(engine: GuardedEngine) -> None:
    page = history.page(engine, profile=Profile(5, None, "New"), upto_version=None, limit=5)
    assert (page.entries, page.newest_version, page.balance) == ([], 0, 0)


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_s_length_is_bounded(engine: GuardedEngine, limit: int) -> None:
    with pytest.raises(ValueError, match="entries"):
        history.page(engine, profile=Profile(5, None, "New"), upto_version=None, limit=limit)
