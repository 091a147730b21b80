"""Seals over the ledger: whole whoever dies, gapless whoever writes late, and a row that is changed later is found."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from ballast.cli.audit_text import report
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import books, ledger, seals
from dbcore.ledger.audit import audit
from dbcore.ledger.users import UserRef
from dbcore.outcomes import OutcomeStatus
from devstack.postgres import EmbeddedPostgres
from devstack.stack import ROOT
from tests.dbcore.conftest import MakeEngine, Person, Sql, eventually

SEALED = "what was sealed is as it was sealed"


@pytest.fixture
def people(engine: GuardedEngine, person: Person) -> list[int]:
    """Three with some transfers between them."""
    ids = [person(1_000, name).telegram_id for name in ("ann", "bob", "cleo")]
    for number in range(9):
        send(engine, f"t{number}", ids[number % 3], ids[(number + 1) % 3])
    return ids


def send(engine: GuardedEngine, key: str, sender: int, recipient: int, amount: int = 10) -> None:
    done = ledger.transfer(
        engine, key=key, sender_telegram_id=sender, recipient_telegram_id=recipient, amount=amount, memo=""
    )
    assert done.status is OutcomeStatus.APPLIED


def is_whole(sql: Sql) -> bool:
    """From the first entry and transfer to the last one, without a gap, and the totals are theirs."""
    ((chained, sealed, written, days),) = sql(
        "SELECT bool_and(entries_from = before), sum(entries), (SELECT count(*) FROM entries), "
        "(SELECT sum(entries) FROM ledger_days) FROM "
        "(SELECT *, lag(entries_to, 1, 0::bigint) OVER (ORDER BY id) AS before FROM ledger_seals) s"
    )
    return bool(chained and sealed == written == days)


@pytest.mark.usefixtures("people")
def test_sealers_side_by_side_make_one_chain_over_all_that_was_written(
    make_engine: MakeEngine, database_url: str, sql: Sql
) -> None:
    engine = make_engine(settings={"db_pool_size": 4, "db_max_overflow": 4, "db_deadline_seconds": 30})
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: seals.run(engine, seconds_max=20, rows_max=5), range(4)))
    while seals.run(engine, seconds_max=20, rows_max=5).sealed:
        pass
    assert sum(len(run.sealed) for run in runs) >= 1
    assert is_whole(sql)
    state = seals.state(engine)
    assert (state.unsealed, state.broken) == (0, 0)
    assert all(finding.ok for finding in audit(database_url))
    text = report(audit(database_url, full=False))
    assert "were proved at" in text and "--full reads them now" in text


def test_a_row_that_is_committed_late_under_an_early_id_is_sealed_too(
    engine: GuardedEngine, people: list[int], postgres_server: EmbeddedPostgres, database_url: str, sql: Sql
) -> None:
    late = psycopg2.connect(postgres_server.admin_url_of(database_url.rsplit("/", 1)[1]))
    with late.cursor() as cursor:
        cursor.execute(
            "SELECT r_status FROM ledger_adjust('late', 'late', %s, NULL, 5, 'CREDIT', '', 'app')",
            (people[0],),
        )
    send(engine, "after", people[1], people[2])
    assert seals.seal(engine, wait_ms=100) == (None, False)
    late.commit()
    late.close()
    assert seals.seal(engine)[0] is not None
    assert is_whole(sql)


def test_a_sealer_that_is_killed_leaves_a_whole_chain(
    engine: GuardedEngine, people: list[int], postgres_server: EmbeddedPostgres, database_url: str, sql: Sql
) -> None:
    """While it waits for a writer, and between two seals: whatever the server still does of it is all or nothing."""
    program = textwrap.dedent(
        """
        import sys
        from pydantic import SecretStr
        from dbcore.guard.engine import GuardedEngine
        from dbcore.ledger import seals
        from dbcore.settings import Settings
        engine = GuardedEngine(Settings(_env_file=None, database_url=SecretStr(sys.argv[1])))
        while seals.seal(engine, rows_max=4, wait_ms=60_000)[0]:
            print("sealed", flush=True)
        """
    )
    argv = [sys.executable, "-c", program, database_url]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT)
    assert running.stdout is not None and b"sealed" in running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.wait()
    writer = psycopg2.connect(postgres_server.admin_url_of(database_url.rsplit("/", 1)[1]))
    with writer.cursor() as cursor:
        cursor.execute("LOCK TABLE entries IN ROW EXCLUSIVE MODE")
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=ROOT)
    seals_now = (
        "SELECT wait_event FROM pg_stat_activity "
        "WHERE query LIKE '%%ledger_seal(%%' AND state = 'active' AND pid <> pg_backend_pid()"
    )
    eventually(lambda: sql(seals_now) == [("PgSleep",)])
    running.send_signal(signal.SIGKILL)
    running.wait()
    writer.close()
    eventually(lambda: not sql(seals_now))
    send(engine, "after", people[0], people[1])
    while seals.seal(engine, rows_max=4)[0]:
        pass
    assert is_whole(sql)
    assert all(finding.ok for finding in audit(database_url))


@pytest.mark.usefixtures("people")
def test_an_old_entry_that_a_superuser_changed_is_found_with_the_times_between_which_it_was(
    engine: GuardedEngine, database_url: str, sql: Sql
) -> None:
    seals.run(engine, seconds_max=20, rows_max=6)
    assert all(finding.ok for finding in audit(database_url))
    ((proved,),) = sql(
        "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM audit_proofs"
    )
    # Consistent in itself: balances, versions and sums are as they were.
    sql("ALTER TABLE transfers DISABLE TRIGGER transfers_append_only")
    sql("UPDATE transfers SET memo = 'for something else' WHERE idempotency_key = 't3'")
    sql("ALTER TABLE transfers ENABLE ALWAYS TRIGGER transfers_append_only")
    (found,) = [finding for finding in audit(database_url) if finding.name == SEALED]
    (said,) = found.offenders
    assert f"whole at {proved}" in said and "not at" in said
    # An incremental audit does not read it again, but hears of it once the workers did.
    assert [finding.ok for finding in audit(database_url, full=False) if finding.name == SEALED] == [True]
    runs = [seals.run(engine, seconds_max=5) for _ in range(seals.state(engine).newest or 0)]
    assert [run.broken for run in runs].count(True) == 1
    assert seals.state(engine).broken == 1
    assert [finding.ok for finding in audit(database_url, full=False) if finding.name == SEALED] == [False]
    # To seal it anew, all later seals have to be made anew.
    sql("ALTER TABLE ledger_seals DISABLE TRIGGER ALL")
    sql(
        "UPDATE ledger_seals s SET hash = h.r_hash FROM ledger_seals o, ledger_hash(o.previous_hash, o.entries_from, "
        "o.entries_to, o.transfers_from, o.transfers_to) h WHERE s.id = o.id AND h.r_hash <> o.hash"
    )
    sql("UPDATE seal_checks SET broken_at = NULL")
    assert [finding.ok for finding in audit(database_url, full=False) if finding.name == SEALED] == [False]


def test_the_books_are_the_same_before_and_after_they_are_sealed(
    engine: GuardedEngine, people: list[int], database_url: str
) -> None:
    for key, actor, amount in (("a", "telegram:1001", 70), ("b", "operator", -20), ("c", "shop", 30)):
        target = UserRef(telegram_id=people[0])
        ledger.adjust(engine, key=key, target=target, amount=amount, memo="", actor=actor)
    sheet, days = books.balance_sheet(engine), books.daily_totals(engine, 2)
    balances = {each.account: each.balance for each in sheet}
    assert balances["adjustments"] == -50
    assert sum(balances.values()) == 0
    seals.run(engine, seconds_max=20, rows_max=6)
    assert books.balance_sheet(engine) == sheet
    assert books.daily_totals(engine, 2) == days

    for _ in range(2):
        moved = books.reclassify(
            engine, key="r", from_="house", to="promo", amount=30, memo="a bonus", actor="operator"
        )
    assert moved.status is OutcomeStatus.REPLAYED
    after = {each.account: each.balance for each in books.balance_sheet(engine)}
    assert (after["house"], after["promo"]) == (balances["house"] - 30, 30)
    with pytest.raises(ValueError, match="expected two of"):
        books.reclassify(engine, key="s", from_="stars", to="house", amount=1, memo="", actor="operator")
    assert all(finding.ok for finding in audit(database_url))
    assert all(finding.ok for finding in audit(database_url, full=False))
