"""`ballast withdrawals`: an operator's word from the shell, and the switch of all payouts."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users, withdrawals
from dbcore.ledger.withdrawals import Limits, Payout
from tests.conftest import MakeSettings
from tests.harness.programs import run_program


@pytest.fixture
def number(database_url: str, make_settings: MakeSettings) -> int:
    engine = GuardedEngine(make_settings(database_url=database_url))
    users.get_or_create(engine, profile=users.Profile(1, "ann", "Ann"))
    ledger.adjust(engine, key="s", target=users.UserRef(telegram_id=1), amount=1000, memo="", actor="t")
    free = Limits(None, None, None, None)
    payout = Payout("manual", "her bank", 500, "CREDIT")
    card = withdrawals.create(engine, key="ask", telegram_id=1, amount=500, payout=payout, limits=free)
    made = withdrawals.decide(
        engine,
        key="press",
        token=card.token,
        telegram_id=1,
        confirm=True,
        limits=free,
        notice=lambda _: (),
    )
    engine.dispose()
    assert made.number is not None
    return made.number


def test_one_that_is_stuck_is_listed_with_what_to_look_for(
    number: int, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE withdrawals SET status = 'paying', adapter = 'crypto_pay', word_by = 'rule', attempts = 1, "
            "asked_at = now() - interval '20 min', attempt_at = now() RETURNING token"
        )
        ((token,),) = cursor.fetchall()
    connection.close()
    listed = run_program(
        ["-m", "ballast", "withdrawals", "list"], tmp_path, DATABASE_URL=database_url, REDIS_URL=redis_url
    )
    assert f"{number} is stuck: crypto_pay has not said for 20 min" in listed.stdout
    assert f"ballast-{token}" in listed.stdout


def test_approved_and_paid_from_the_shell_and_payouts_are_stopped(
    number: int, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    def ballast(*arguments: str) -> tuple[int, str]:
        done = run_program(
            ["-m", "ballast", "withdrawals", *arguments],
            tmp_path,
            DATABASE_URL=database_url,
            REDIS_URL=redis_url,
        )
        return done.returncode, done.stdout + done.stderr

    status, said = ballast("list")
    assert status == 0
    assert "Payouts go on" in said
    assert f"{number}  held  5.00 CREDIT of user 1 by manual to her bank" in said
    assert ballast("paid", str(number), "tx", "--yes")[0] == 1
    assert "paying" in ballast("approve", str(number), "--yes")[1]
    assert "paid" in ballast("paid", str(number), "tx-9", "--yes")[1]
    assert ballast("unpaid", str(number), "--reason", "no", "--yes")[0] == 1
    assert ballast("approve", "99", "--yes")[0] == 1
    assert "tx-9" in ballast("list", "--all")[1]
    assert "Payouts are stopped since" in ballast("stop", "--reason", "trouble")[1]
    assert "Payouts go on" in ballast("resume")[1]
