"""A COMMIT that waits for a standby is applied already, whoever ends the wait: it is never told as not applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbcore import OutcomeUnknown
from tests.dbcore.conftest import eventually
from tests.dbcore.guard.conftest import Bank
from tests.dbcore.guard.ways import WAYS, Kind


@pytest.fixture
def waits_for_standby(bank: Bank) -> Iterator[Callable[[], int]]:
    """Every COMMIT of the bank's waits for a standby that is none; says which backend does."""
    (name,) = bank.sql("SELECT current_database()")[0]
    bank.sql(f"ALTER DATABASE {name} SET synchronous_commit = on")
    bank.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    bank.sql("SELECT pg_reload_conf()")
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
    try:
        eventually(lambda: bank.sql("SHOW synchronous_standby_names") == [("nobody",)])
        yield lambda: int(eventually(lambda: bank.sql(waiting))[0][0])
    finally:
        bank.sql("ALTER SYSTEM RESET synchronous_standby_names")
        bank.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("kind", [kind for kind in WAYS if not kind.reads], ids=str)
def test_who_ends_the_wait_for_a_standby_does_not_undo_the_commit(
    kind: Kind, bank: Bank, database_url: str, waits_for_standby: Callable[[], int]
) -> None:
    url = bank.proxy.url_of(database_url.rpartition("/")[2])
    with kind.open(url) as way, ThreadPoolExecutor(1) as thread:
        call = thread.submit(way.run)
        bank.sql("SELECT pg_cancel_backend(%s)", waits_for_standby())
        assert call.result() == 90  # COMMIT was answered, with a warning

        call = thread.submit(way.run)
        bank.sql("SELECT pg_terminate_backend(%s)", waits_for_standby())
        if kind.keyed:
            assert call.result() == 80
        else:
            with pytest.raises(OutcomeUnknown):
                call.result()
        assert bank.balance() == 80
