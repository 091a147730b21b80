"""`ballast export`: what is in the files is what is in the database, at one moment, and can be imported again."""

from __future__ import annotations

import csv
import json
import re
import threading
from pathlib import Path

import pytest

from dbcore.currencies import Currencies, Currency
from dbcore.exporting.files import export_files
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import UserRef
from dbcore.migrate import upgrade
from devstack.stack import ROOT
from tests.dbcore.conftest import Sql, statements_on
from tests.exporting.conftest import NAMES, Ballast, read

BALANCES = "SELECT u.telegram_id, a.balance FROM users u JOIN accounts a ON a.user_id = u.id ORDER BY 1"
HISTORY = (
    "SELECT e.amount, e.balance_after, t.memo, t.created_at FROM entries e JOIN transfers t ON t.id = e.transfer_id "
    "JOIN accounts a ON a.id = e.account_id WHERE a.user_id IS NOT NULL ORDER BY e.account_id, e.account_version"
)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_was_exported_is_imported_with_the_same_people_balances_and_history(
    ballast: Ballast, people: dict[int, int], empty_database_url: str, sql: Sql, tmp_path: Path, form: str
) -> None:
    done = ballast("export", "out", "--format", form)
    assert done.exit_code == 0, done.output
    upgrade(empty_database_url)
    users, entries = f"out/users.{form}", f"out/entries.{form}"
    imported = ballast("import", users, "--source", "old", "--history", entries, url=empty_database_url)
    assert imported.exit_code == 0, imported.output
    with statements_on(empty_database_url) as there:
        assert dict(there(BALANCES)) == people == dict(sql(BALANCES))
        names = "SELECT first_name FROM users ORDER BY telegram_id"
        assert there(names) == sql(names)
        assert there(HISTORY) == sql(HISTORY)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_verifies_and_holds_every_text_as_it_was(
    ballast: Ballast, people: dict[int, int], tmp_path: Path, form: str
) -> None:
    ballast("export", "out", "--format", form)
    bound = csv.field_size_limit()
    verified = ballast("export", "--verify", "out")
    assert csv.field_size_limit() == bound, "it is one for the whole process"
    assert verified.exit_code == 0, verified.output
    assert tuple(row["first_name"] for row in read(tmp_path / f"out/users.{form}")) == NAMES
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    sums = {name: file["sums"] for name, file in manifest["files"].items() if file["summed"]}
    assert sums[f"users.{form}"] == sums[f"accounts.{form}"] == sums[f"entries.{form}"] == {"CREDIT": "63.00"}


def test_an_export_is_one_moment_while_money_moves(
    ballast: Ballast, people: dict[int, int], engine: GuardedEngine, tmp_path: Path
) -> None:
    over = threading.Event()

    def move() -> None:
        number = 0
        while not over.is_set():
            number += 1
            ledger.adjust(
                engine, key=f"more-{number}", target=UserRef(telegram_id=3), amount=1, memo="", actor="test"
            )

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for number in range(5):
            assert ballast("export", f"out{number}").exit_code == 0
    finally:
        over.set()
        mover.join()
    for number in range(5):
        files = json.loads((tmp_path / f"out{number}/manifest.json").read_text())["files"]
        assert files["users.csv"]["sums"] == files["entries.csv"]["sums"]
        assert ballast("export", "--verify", f"out{number}").exit_code == 0


def test_an_own_table_is_exported_if_it_is_named(
    ballast: Ballast, people: dict[int, int], sql: Sql, tmp_path: Path
) -> None:
    sql(
        'CREATE SCHEMA shop; CREATE TABLE shop."Orders" (note text); INSERT INTO shop."Orders" VALUES (NULL), (\'a\')'
    )
    assert ballast("export", "out", "--table", 'shop."Orders"').exit_code == 0
    assert [row["note"] for row in read(tmp_path / 'out/table.shop."Orders".csv')] == [
        "a"
    ]  # DictReader skips the NULL
    assert ballast("export", "--verify", "out").exit_code == 0
    refused = ballast("export", "more", "--table", "shop.nothing")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "ballast: --table: there is no table shop.nothing; expected a name such as shop.orders\n",
    )
    assert not (tmp_path / "more").exists()


def test_one_person_s_export_has_what_the_bot_knows_of_them_and_nothing_of_others(
    ballast: Ballast, people: dict[int, int], engine: GuardedEngine, sql: Sql, tmp_path: Path
) -> None:
    sql(
        "INSERT INTO failed_operations (job_id, kind, reference, telegram_id, error, payload) "
        "VALUES ('1-1-1', 'users.show', 'ABCDEFGH', 1, 'broke', '{\"a\": 1}'), ('2', 'x', 'Y', 2, 'theirs', '{}')"
    )
    done = ballast("export", "--person", "@USER1", ".")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "person-1.json").read_text())
    (profile,) = document["profile"]
    assert (profile["balance"], profile["first_name"], profile["language_code"]) == ("10.00", NAMES[0], "de")
    movements = [(each["amount"], each["counterparty_username"]) for each in document["movements"]]
    assert movements == [("10.50", None), ("-0.50", "user2")]
    assert [each["error"] for each in document["failed_jobs"]] == ["broke"]
    assert document["waiting_jobs"] == []
    assert "21.00" not in json.dumps(document)  # what the other one has
    again = ballast("export", "--person", "1", ".")
    assert again.exit_code == 1
    assert "expected a new file" in again.stderr
    assert ballast("export", "--person", "@nobody", "x.json").stderr == (
        "ballast: --person: the bot knows nobody of this name or ID\n"
    )


def test_every_file_and_column_is_documented() -> None:
    page = (ROOT / "docs/export.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", page, re.MULTILINE))
    assert documented.keys() == {file.name for file in export_files(Currencies(Currency("CREDIT", 2)))}


def test_the_documented_columns_are_those_of_the_files(
    ballast: Ballast, people: dict[int, int], tmp_path: Path
) -> None:
    page = (ROOT / "docs/export.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", page, re.MULTILINE))
    ballast("export", "out")
    for name, columns in documented.items():
        header = (tmp_path / f"out/{name}.csv").read_text().splitlines()[0]
        assert header.split(",") == re.findall(r"`(\w+)`", columns), name
