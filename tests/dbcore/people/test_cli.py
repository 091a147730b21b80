"""The operators' commands about people: shown first, done once, and told what came of it."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from ballast.cli.main import cli
from dbcore import failed_operations, outbox
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.users import Profile
from dbcore.people.search import FOUND_MAX
from tests.dbcore.conftest import MakeEngine

Run = Callable[..., Result]

ANN, BOB = 7001, 7002


@pytest.fixture
def engine(make_engine: MakeEngine) -> GuardedEngine:
    made = make_engine()
    for telegram_id, name in ((ANN, "ann"), (BOB, "bob")):
        users.get_or_create(made, profile=Profile(telegram_id, name, name.title()))
    return made


@pytest.fixture
def run(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("BALLAST_ENV_FILE", "/dev/null")
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]

    def invoke(line: str, *more: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(cli, [*line.split(), *more], input=answer, prog_name="ballast")

    yield invoke
    root.setLevel(level)
    root.handlers[:] = handlers


def balance(engine: GuardedEngine, telegram_id: int) -> int:
    return users.get_or_create(engine, profile=Profile(telegram_id, None, "")).balance


def test_a_credit_is_shown_first_done_once_by_its_key_and_its_user_is_told(
    engine: GuardedEngine, run: Run
) -> None:
    line = "credit @bob 5.50 --reason refund --key order-17"
    asked = run(line, answer="y\n")
    assert (asked.exit_code, "there is no terminal to ask at" in asked.stderr) == (1, True)
    assert "Balance now:   0.00 CREDIT\nBalance after: 5.50 CREDIT" in asked.stdout
    assert balance(engine, BOB) == 0
    for expected in ("credited 5.50 CREDIT", "done before, by the same key: credited 5.50 CREDIT"):
        done = run(f"{line} --yes")
        assert done.exit_code == 0, done.output
        assert f"\n{expected}, transfer" in done.stdout
        assert "balance then 5.50 CREDIT" in done.stdout
    (told,) = outbox.first(engine, 10)
    assert (told.kind, told.telegram_id) == ("replies.tell_user", BOB)
    assert balance(engine, BOB) == 550
    for line, why in (
        ("credit @nobody 5 --reason x --yes", "nobody is called @nobody here"),
        ("debit @bob 5.51 --reason x --yes", "There was not enough money."),
        ("credit @bob 7 --reason other --key order-17 --yes", "The key had been used for something else."),
    ):
        refused = run(line)
        assert (refused.exit_code, why in refused.stderr) == (1, True), refused.output
    assert run("credit @bob five --reason x").exit_code == 2


@pytest.mark.parametrize("key", ["", "hold:5", "opening:5", "x" * 201])
def test_a_key_that_cannot_be_one_is_refused_in_a_sentence_and_nothing_is_done(
    engine: GuardedEngine, run: Run, key: str
) -> None:
    for line in ("credit @bob 5 --reason x --yes --key", "freeze @bob --reason x --yes --key"):
        refused = run(line, key)
        assert (refused.exit_code, "Invalid value for '--key'" in refused.stderr) == (2, True)
    assert balance(engine, BOB) == 0


def test_a_transfer_is_reversed_up_to_what_its_recipient_has_and_once_by_its_key(
    engine: GuardedEngine, run: Run
) -> None:
    run("credit @ann 10 --reason x --yes")
    made = ledger.transfer(
        engine, key="t", sender_telegram_id=ANN, recipient_telegram_id=BOB, amount=600, memo=""
    )
    run("debit @bob 2 --reason x --yes")
    number = made.transfer_id
    for _ in range(2):
        done = run(f"reverse {number} --reason mistake --key back --yes")
        assert "reversed 4.00 CREDIT of transfer" in done.stdout, done.output
    assert (balance(engine, ANN), balance(engine, BOB)) == (800, 0)
    again = run(f"reverse {number} --reason mistake --yes")
    assert "its recipient has nothing left" in again.stderr
    assert "there is no transfer 999" in run("reverse 999 --reason x --yes").stderr


def test_an_account_is_frozen_and_unfrozen_and_its_user_told_once(engine: GuardedEngine, run: Run) -> None:
    assert "frozen" in run("freeze @bob --reason fraud --yes").stdout
    assert "nothing to do: frozen already" in run("freeze @bob --reason fraud --yes").stdout
    assert "frozen" in run("user @bob").stdout
    assert "bob" in run("users --frozen").stdout
    assert "ann" not in run("users --frozen").stdout
    assert "unfrozen" in run("unfreeze @bob --reason mistake --yes").stdout
    assert [json.loads(each.payload)["about"] for each in outbox.first(engine, 10)] == ["frozen", "unfrozen"]


def test_somebody_is_shown_with_movements_failures_and_what_waits_also_as_json_and_csv(
    engine: GuardedEngine, run: Run
) -> None:
    run("credit @ann 10 --reason welcome --yes")
    ledger.transfer(
        engine, key="t", sender_telegram_id=ANN, recipient_telegram_id=BOB, amount=200, memo="=cmd|'x'!A1"
    )
    ledger.transfer(
        engine, key="u", sender_telegram_id=ANN, recipient_telegram_id=BOB, amount=99_900, memo=""
    )
    shown = run("user ann").stdout
    assert "Ann  @ann  ID 7001" in shown
    assert "transfer to @bob" in shown
    assert "credit from adjustments" in shown
    assert "There was not enough money." in shown
    found = json.loads(run("user 7001 --json --limit 1").stdout)
    assert (found["balance"], found["available"]) == (800, 800)
    assert ([each["amount"] for each in found["movements"]], found["next_before"]) == ([-200], 2)
    assert "t is 2 people; name one of them" in run("user t --csv").stderr
    rows = [*csv.DictReader(io.StringIO(run("user @ann --csv").stdout))]
    assert [(row["amount"], row["memo"]) for row in rows] == [("-2.00", "'=cmd|'x'!A1"), ("10.00", "welcome")]
    assert run("user zzz").exit_code == 1
    assert "Ann  @ann" in run("user #1").stdout
    transfers = [*csv.DictReader(io.StringIO(run("transfers --csv --status applied --max 5").stdout))]
    assert [(row["from_username"], row["to_username"], row["amount"]) for row in transfers] == [
        ("ann", "bob", "2.00")
    ]
    people = [*csv.DictReader(io.StringIO(run("users --csv").stdout))]
    assert [(row["username"], row["balance"]) for row in people] == [("bob", "2.00"), ("ann", "8.00")]

    for number in range(FOUND_MAX + 1):
        users.get_or_create(engine, profile=Profile(9000 + number, None, "Namesake"))
    assert f"Namesake is {FOUND_MAX} people or more; name one" in run("user Namesake").stderr


def test_failed_jobs_are_listed_and_discarded_by_what_they_have_in_common(
    engine: GuardedEngine, run: Run
) -> None:
    for number in range(5):
        failed_operations.record(
            engine,
            job_id=f"j{number}",
            kind="shop.order" if number else "shop.stock",
            reference=f"AAAAAAA{'ABCDE'[number]}",
            telegram_id=ANN,
            error="no such flower",
            payload={},
        )
    listed = run("jobs list --kind shop.order --limit 3")
    assert len(listed.stdout.splitlines()) == 3
    assert "3 of 4 are shown: 4 shop.order" in listed.stderr
    assert (
        json.loads(run("jobs list --json --error FLOWER --since 2020-01-01").stdout)[0]["kind"]
        == "shop.stock"
    )
    assert "use `ballast jobs list`" in run("jobs failed").stderr
    assert run("jobs discard").exit_code == 2
    assert "no terminal" in run("jobs discard --kind shop.order").stderr
    done = run("jobs discard --kind shop.order --yes")
    assert "4 shop.order\n4 discarded\n" in done.stdout
    assert "no failed job that is open matches" in run("jobs discard --kind shop.order --yes").stdout
    refused = run("jobs retry AAAAAAAB")
    assert (refused.exit_code, "was discarded already" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "approvals list",
            "broadcast list",
            "jobs list",
            "jobs waiting",
            "keys list",
            "log",
            "withdrawals list",
        ),
        *("users --frozen", "transfers"),
    ],
)
def test_a_list_of_nothing_says_so_and_is_empty_for_a_script(run: Run, line: str) -> None:
    shown = run(line)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.replace("Payouts go on\n", "") == ""
    assert shown.stderr.endswith(".\n")


def test_settings_are_shown_with_their_source_and_without_secrets(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_TOKEN", "a-secret-of-sixteen-letters")
    monkeypatch.setenv("CURRENCY", "CREDIT")
    monkeypatch.setenv("ADMIN_ROLES", "1002:support,1003:viewer")
    shown = run("settings")
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in shown.stdout.splitlines()}
    assert "a-secret" not in shown.output
    assert lines["OPS_TOKEN"].split()[-1] == "environment"
    assert "set, not shown" in lines["OPS_TOKEN"]
    assert "DB_POOL_SIZE" not in lines
    assert lines["DATABASE_URL"].split()[-1] == "environment"
    assert lines["ADMIN_ROLES"].split() == ["1002:support,1003:viewer", "environment"]
    assert "DB_POOL_SIZE" in run("settings --all").stdout
    assert run("outages").stdout == "no outage or pause is known\n"
