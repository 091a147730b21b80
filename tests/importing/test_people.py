"""Who is imported, what is known of them, and what is said of lines that are wrong."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from ballast.cli import import_report
from dbcore.guard.engine import GuardedEngine
from dbcore.importing.reading import Rules, read_people
from dbcore.importing.sources import SourceError, open_source
from dbcore.importing.spool import Spool
from dbcore.ledger import users
from dbcore.sentences import Sentence
from tests.dbcore.conftest import Sql
from tests.importing.conftest import RunImport

PEOPLE = """\
telegram_id,username,first_name,language_code,registered_at,status,broadcasts_stopped
1,@Ann,Ann,de,2024-01-02T03:04:05Z,active,false
2,boris,Boris,pt_BR,2024-01-03,blocked,0
3,,"Carol, C",,,banned,
4,,Dave,en,,deactivated,1
"""


def test_people_come_with_names_language_date_status_and_choice(run_import: RunImport, sql: Sql) -> None:
    imported = run_import(PEOPLE)
    assert imported.agrees
    assert imported.lines[0] == "people   4 (4 new)"
    assert sql(
        "SELECT telegram_id, username, first_name, language_code, status, broadcasts_stopped_at IS NOT NULL FROM users "
        "ORDER BY 1"
    ) == [
        (1, "Ann", "Ann", "de", "active", False),
        (2, "boris", "Boris", "pt-br", "blocked", False),
        (3, None, "Carol, C", None, "blocked", True),
        (4, None, "Dave", "en", "deactivated", True),
    ]
    assert sql("SELECT created_at FROM users WHERE telegram_id = 1") == [
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),)
    ]


def test_nobody_who_was_banned_or_had_stopped_gets_a_broadcast_after_they_write(
    run_import: RunImport, engine: GuardedEngine, sql: Sql
) -> None:
    run_import(PEOPLE)
    for person in (3, 4):
        users.get_or_create(engine, profile=users.Profile(person, None, "Somebody"))
    assert sql("SELECT count(*) FROM users WHERE status = 'active' AND broadcasts_stopped_at IS NULL") == [
        (1,)
    ]


def test_whoever_wrote_to_ballast_keeps_what_ballast_knows(
    run_import: RunImport, engine: GuardedEngine, sql: Sql
) -> None:
    users.get_or_create(engine, profile=users.Profile(1, "ann_new", "Anna", "en"))
    users.choose_broadcasts(engine, profile=users.Profile(2, None, "Boris"), wanted=False)
    run_import(PEOPLE)
    users.choose_broadcasts(engine, profile=users.Profile(4, None, "Dave"), wanted=True)
    before = sql("SELECT * FROM users ORDER BY id")
    run_import(PEOPLE)
    assert sql("SELECT * FROM users ORDER BY id") == before
    assert sql(
        "SELECT username, first_name, language_code, created_at < '2024-02-01' FROM users WHERE telegram_id = 1"
    ) == [("ann_new", "Anna", "en", True)]
    assert sql(
        "SELECT broadcasts_stopped_at IS NOT NULL FROM users WHERE telegram_id IN (2, 4) ORDER BY telegram_id"
    ) == [
        (True,),
        (False,),
    ]


def test_the_source_goes_on_to_know_those_best_who_never_wrote_to_ballast(
    run_import: RunImport, sql: Sql
) -> None:
    run_import(PEOPLE)
    run_import("telegram_id,first_name,status\n1,Anne,blocked\n2,Boris,active\n")
    assert sql(
        "SELECT first_name, username, status FROM users WHERE telegram_id < 3 ORDER BY telegram_id"
    ) == [
        ("Anne", "Ann", "blocked"),
        ("Boris", "boris", "blocked"),
    ]


def test_a_username_that_two_have_or_somebody_holds_names_nobody_new(
    run_import: RunImport, engine: GuardedEngine, sql: Sql
) -> None:
    users.get_or_create(engine, profile=users.Profile(9, "Taken", "Holder"))
    imported = run_import("telegram_id,username\n1,same\n2,SAME\n3,taken\n4,free\n")
    assert "2 without their username" in imported.text
    assert sql("SELECT telegram_id, username FROM users WHERE username IS NOT NULL ORDER BY 1") == [
        (4, "free"),
        (9, "Taken"),
    ]


WRONG = """\
telegram_id;balance;username;registered_at;status;broadcasts_stopped
1;5.00;ann;2024-01-01;active;no
x;5.00;;;;
2;5.001;;;;
3;-5;;;;
4;;;;;
5;1;not a name;yesterday;gone;perhaps
1;5.00;;;;
6;1
"""


def test_every_wrong_value_is_told_with_its_line_and_nothing_is_imported(
    run_import: RunImport, sql: Sql
) -> None:
    imported = run_import(WRONG)
    assert not imported.agrees
    assert [line.split(", found")[0].split(", such as 2024")[0] for line in imported.lines] == [
        "line 3: telegram_id: expected a user's Telegram ID such as 12345",
        "line 4: balance: expected an amount with 2 decimals at most",
        "line 5: balance: expected zero or more",
        "line 6: balance: expected an amount with 2 decimals at most",
        "line 7: username: expected a username of letters, digits and _",
        "line 7: registered_at: expected a time since August 2013",
        "line 7: status: expected active, blocked, banned or deactivated",
        "line 7: broadcasts_stopped: expected true or false",
        "line 8: telegram_id: expected each person once",
        "line 9: expected 6 columns",
        "Nothing was imported: correct these lines or use --skip-invalid",
    ]
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_the_rest_is_imported_on_demand(run_import: RunImport, sql: Sql) -> None:
    imported = run_import(WRONG, skip_invalid=True)
    assert not imported.agrees  # for lines are wrong
    assert sql("SELECT telegram_id FROM users") == [(1,)]


def test_json_lines_are_refused_by_line_too(
    run_import: RunImport, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("json") / "people.jsonl"
    path.write_bytes(
        b'{"telegram_id": 1, "balance": "1.50", "name": "A"}\n'
        b'{"telegram_id": 2, "balance": 1.5}\n{"telegram_id": 3\n\n[4]\n{"telegram_id": 5, "name": "\xff"}\n'
        b'{"telegram_id": 6}\n'
    )
    imported = run_import(where=str(path), names={"first_name": "name"})
    assert [line.partition(", found")[0] for line in imported.lines[:-1]] == [
        "line 2: balance: expected an exact amount such as '12.50'",
        "line 3: expected a JSON object: Expecting ',' delimiter: line 2 column 1 (char 18)",
        'line 5: expected a JSON object such as {"telegram_id": 12345}',
        "line 6: expected text in UTF-8",
        "line 7: balance: expected an amount such as 12.50",
    ]


def test_what_the_first_object_lacks_counts_for_the_others(run_import: RunImport, sql: Sql) -> None:
    run_import([{"telegram_id": 1}, {"telegram_id": 2, "status": "banned", "first_name": "Boris"}])
    assert sql("SELECT first_name, status FROM users WHERE telegram_id = 2") == [("Boris", "blocked")]


def test_columns_that_mean_nothing_are_named(run_import: RunImport) -> None:
    imported = run_import("telegram_id,Balance,referrer\n1,5,2\n")
    assert imported.lines[1:3] == ["ignored  Balance, referrer", "balances none in the source"]


def test_balances_that_begin_in_the_middle_are_not_passed_over(run_import: RunImport) -> None:
    imported = run_import([{"telegram_id": 1}, {"telegram_id": 2, "balance": "5.00"}])
    assert imported.lines[0] == "line 2: balance: expected none, as in line 1, found '5.00'"


def no_line_told(why: Sentence) -> None:
    pytest.fail(str(why))


@pytest.mark.parametrize(
    ("content", "names", "why"),
    [
        (
            "id,balance\n1,2\n",
            {},
            "expected a column telegram_id, found id, balance. Name yours by --map telegram_id=YOURS",
        ),
        ("telegram_id\n1\n", {"balance": "money"}, "--map balance=money: expected a column of the source"),
        ("telegram_id\n1\n", {"wallet": "money"}, "--map: expected one of telegram_id, balance"),
        ("telegram_id,a,a\n", {}, "expected each column once, found 'a' twice"),
        ("", {}, "expected a first line with the names of the columns"),
    ],
)
def test_a_source_without_the_columns_is_refused(
    tmp_path: Path, content: str, names: dict[str, str | None], why: str
) -> None:
    (tmp_path / "people.csv").write_text(content)
    rules = Rules(exponent=2, currency="CREDIT", names=names)
    with pytest.raises(SourceError) as raised, Spool() as spool:
        read_people(open_source(str(tmp_path / "people.csv")), rules, spool, no_line_told, lambda _: None)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("where", "query", "why"),
    [
        ("people.xlsx", None, "a file that ends in .csv, .tsv, .jsonl or .ndjson, found 'people.xlsx'"),
        ("nowhere.csv", None, "expected a file to read, found: No such file"),
        ("sqlite:///nowhere.db", "SELECT 1", "expected the file of an SQLite database"),
        ("postgresql://127.0.0.1/x", None, "a database needs --query"),
        ("people.csv", "SELECT 1", "expected the URL of a database"),
        ("nosuch://x/y", "SELECT 1", "expected one that SQLAlchemy knows"),
    ],
)
def test_what_is_no_source_is_refused(where: str, query: str | None, why: str) -> None:
    with pytest.raises(SourceError) as raised:
        open_source(where, query)
    assert why in str(raised.value)


def usernames(sql: Sql) -> dict[int, str | None]:
    return dict(sql("SELECT telegram_id, username FROM users ORDER BY 1"))


def test_a_username_moves_with_the_source(run_import: RunImport, sql: Sql) -> None:
    run_import("telegram_id,username\n1,ann\n2,boris\n3,carol\n")
    run_import("telegram_id,username\n1,\n2,ann\n3,Carol\n")
    assert usernames(sql) == {1: None, 2: "ann", 3: "Carol"}
    run_import("telegram_id,first_name\n3,Carol\n")  # without a column for them, names stay
    assert usernames(sql) == {1: None, 2: "ann", 3: "Carol"}


def test_usernames_that_were_swapped_are_swapped_across_batches(
    run_import: RunImport, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_report, "PEOPLE_MAX", 1)
    run_import("telegram_id,username\n1,ann\n2,boris\n3,carol\n")
    run_import("telegram_id,username\n1,boris\n2,ann\n3,carol\n")
    assert usernames(sql) == {1: "boris", 2: "ann", 3: "carol"}
    monkeypatch.undo()
    run_import("telegram_id,username\n1,ann\n2,carol\n3,boris\n")
    assert usernames(sql) == {1: "ann", 2: "carol", 3: "boris"}


def test_a_username_that_its_holder_wrote_with_is_not_taken(
    run_import: RunImport, engine: GuardedEngine, sql: Sql
) -> None:
    run_import("telegram_id,username\n1,ann\n2,boris\n")
    users.get_or_create(engine, profile=users.Profile(1, "ann", "Ann"))
    run_import("telegram_id,username\n1,boris\n2,ann\n")
    assert usernames(sql) == {1: "ann", 2: None}


def test_an_import_and_the_live_bot_make_one_holder_of_a_username(
    run_import: RunImport, engine: GuardedEngine, database_url: str, sql: Sql
) -> None:
    """The bot has taken the name, and has not committed when the import comes to it."""
    with closing(psycopg2.connect(database_url)) as live, live.cursor() as cursor:
        cursor.execute("SELECT users_touch(9, 'Ann', 'Live', %s, NULL)", (engine.currency,))
        importing = threading.Thread(target=run_import, args=("telegram_id,username\n1,ann\n",))
        importing.start()
        until = time.monotonic() + 20
        while not sql("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
            assert time.monotonic() < until
            time.sleep(0.01)
        live.commit()
        importing.join()
    assert usernames(sql) == {1: None, 9: "Ann"}


def test_an_import_without_usernames_locks_people_as_the_live_bot_does(
    run_import: RunImport, engine: GuardedEngine, database_url: str, sql: Sql
) -> None:
    """The bot takes a name from one person for another: two rows, in the order of their ids."""
    for telegram_id in (9, 1):  # the one who is first by id is not so by Telegram ID
        users.get_or_create(engine, profile=users.Profile(telegram_id, None, "Somebody"))
    with closing(psycopg2.connect(database_url)) as live, live.cursor() as cursor:
        cursor.execute("SELECT FROM users WHERE telegram_id = 9 FOR NO KEY UPDATE")
        importing = threading.Thread(
            target=run_import, args=("telegram_id,registered_at\n1,2024-01-01\n9,2024-01-01\n",)
        )
        importing.start()
        until = time.monotonic() + 20
        while not sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < until
            time.sleep(0.01)
        cursor.execute("SELECT FROM users WHERE telegram_id = 1 FOR NO KEY UPDATE NOWAIT")
        live.commit()
        importing.join()
    assert sql("SELECT count(*) FROM users WHERE created_at = '2024-01-01Z'") == [(2,)]


def test_a_query_with_two_columns_of_one_name_is_refused(database_url: str) -> None:
    query = "SELECT 1 AS telegram_id, 5.00 AS balance, 9.00 AS balance"
    with pytest.raises(SourceError, match="the query: expected each column once, found 'balance' twice"):
        open_source(database_url, query)


def test_an_object_with_two_keys_of_one_name_is_invalid(run_import: RunImport, tmp_path: Path) -> None:
    path = tmp_path / "people.ndjson"
    path.write_text('{"telegram_id": 1, "balance": 1}\n{"telegram_id": 2, "balance": 5, "balance": 9}\n')
    assert run_import(where=str(path)).lines[0] == "line 2: expected each key once, found 'balance' twice"


def test_a_dry_run_with_invalid_lines_promises_nothing(run_import: RunImport) -> None:
    last = "Nothing would be imported: correct these lines or use --skip-invalid"
    imported = run_import(WRONG, dry=True)
    assert not imported.agrees
    assert imported.lines[-1] == last
    assert last not in run_import(WRONG, dry=True, skip_invalid=True).lines
