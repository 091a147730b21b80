"""BALLAST_SCHEMA: Ballast in the database of an existing bot, without either being in the other's way."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import BigInteger, Column, Connection, ForeignKey, MetaData, Table, func, select

import dbcore
from dbcore import bound_bot, migrate
from dbcore.__main__ import main
from dbcore.collisions import Refused
from dbcore.ledger import ledger, users
from dbcore.ledger.audit import audit
from dbcore.migration_files import FOLDER
from dbcore.outcomes import OutcomeStatus
from dbcore.qualified_names import qualified
from dbcore.schema import TABLE_NAMES
from dbcore.schema import users as users_table
from dbcore.structure import expected
from devstack.postgres import ROLE, EmbeddedPostgres
from tests.conftest import MakeSettings
from tests.dbcore.conftest import MakeEngine
from tests.harness.bots_database import SCHEMA, THE_BOTS_OWN, run_as_admin
from tests.harness.logins import as_role

_numbers = itertools.count(1)

Run = Callable[..., tuple[int, str]]


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def everything_in(url: str, schema: str) -> set[str]:
    """Names of all tables, indexes, sequences, functions and types."""
    return {
        name
        for (name,) in query(
            url,
            f"SELECT relname::text FROM pg_class WHERE relnamespace = '{schema}'::regnamespace "
            f"UNION SELECT proname FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace "
            f"UNION SELECT typname FROM pg_type WHERE typnamespace = '{schema}'::regnamespace",
        )
    }


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`python -m dbcore`: its exit status, and what it said."""
    monkeypatch.chdir(tmp_path)  # where no `make run` has left its settings

    def command(url: str, schema: str | None, *arguments: str, bot: int | None = None) -> tuple[int, str]:
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("BALLAST_SCHEMA", schema or "")
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", f"{bot}:TOKEN" if bot else "")
        capsys.readouterr()
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.err if status == 2 else said.out

    return command


NOT_OURS = {
    "with Alembic": THE_BOTS_OWN,
    "with Alembic and revisions named like ours": THE_BOTS_OWN.replace("e5f6a7b8c9d0", "0003"),
    "with Alembic and two heads": THE_BOTS_OWN + "INSERT INTO alembic_version VALUES ('0004');",
    "with Alembic and none of our names": "CREATE TABLE alembic_version (version_num text); "
    "INSERT INTO alembic_version VALUES ('abc'); CREATE TABLE customers (id bigint)",
    "without Alembic": "CREATE TABLE users (id bigint)",
    "with a table that a late migration makes": "CREATE TABLE bound_bot (id bigint)",
    "with a view of our name": "CREATE VIEW accounts AS SELECT 1 AS id",
    "with a function of our name": "CREATE FUNCTION users_find(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "with an index of our name": "CREATE TABLE people (name text); CREATE INDEX users_username_idx ON people (name)",
    "with a type of our name": "CREATE TYPE broadcasts AS ENUM ('one')",
}


def test_another_applications_database_is_refused_in_one_line_that_names_the_option(
    empty_database_url: str, run: Run
) -> None:
    for made in NOT_OURS.values():
        query(empty_database_url, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {made}")
        before = everything_in(empty_database_url, "public")
        status, said = run(empty_database_url, None, "migrate", bot=111)
        assert status == 2, made
        assert said.count("\n") == 1, said
        assert "BALLAST_SCHEMA=ballast" in said
        assert everything_in(empty_database_url, "public") == before, made

        status, said = run(empty_database_url, "public", "migrate")
        assert (status, said.count("\n")) == (2, 1)
        assert said.startswith("BALLAST_SCHEMA: the schema public belongs to another application")
        assert everything_in(empty_database_url, "public") == before, made


def test_a_search_path_that_leads_nowhere_is_said_in_one_line(empty_database_url: str, run: Run) -> None:
    query(empty_database_url, "DROP SCHEMA public")
    status, said = run(empty_database_url, None, "migrate")
    assert (status, said.count("\n")) == (2, 1)
    assert "BALLAST_SCHEMA=ballast" in said


def test_a_database_of_a_newer_release_is_said_to_be_one(database_url: str, run: Run) -> None:
    query(database_url, "UPDATE alembic_version SET version_num = '9999'")
    status, said = run(database_url, None, "migrate")
    assert (status, said.count("\n")) == (2, 1)
    assert "9999" in said
    assert "newer release" in said
    query(database_url, "DELETE FROM alembic_version")
    assert "alembic_version" in run(database_url, None, "migrate")[1]


def test_beside_a_bots_own_tables_nothing_of_theirs_is_read_or_touched(
    empty_database_url: str, run: Run
) -> None:
    query(empty_database_url, THE_BOTS_OWN)
    before = everything_in(empty_database_url, "public")
    assert run(empty_database_url, SCHEMA, "migrate", bot=111)[0] == 0
    assert run(empty_database_url, SCHEMA, "migrate", bot=111)[0] == 0
    assert everything_in(empty_database_url, "public") == before
    assert everything_in(empty_database_url, SCHEMA) >= {*TABLE_NAMES, *expected().functions}
    assert query(empty_database_url, "SELECT * FROM public.alembic_version") == [("e5f6a7b8c9d0",)]
    assert query(empty_database_url, f"SELECT version_num FROM {SCHEMA}.alembic_version") == [
        (migrate.newest_revision(),)
    ]
    assert query(empty_database_url, "SELECT count(*) FROM public.users") == [(2,)]

    status, said = run(empty_database_url, SCHEMA, "status")
    assert status == 0
    assert f"schema       {SCHEMA}" in said
    assert re.search(r"  users +0 rows", said)
    status, said = run(empty_database_url, SCHEMA, "audit")
    assert status == 0, said
    status, said = run(empty_database_url, SCHEMA, "migrate", bot=222)
    assert status == 2
    assert "belongs to bot 111" in said


def test_a_schema_of_the_roles_own_name_does_not_hide_the_bots_tables(
    empty_database_url: str, run: Run
) -> None:
    query(empty_database_url, THE_BOTS_OWN)
    status, said = run(empty_database_url, ROLE, "migrate", bot=111)
    assert (status, said.count("\n")) == (2, 1)
    assert "Choose a name that is not the role's" in said
    assert query(empty_database_url, f"SELECT 1 FROM pg_namespace WHERE nspname = '{ROLE}'") == []
    query(empty_database_url, f"CREATE SCHEMA {ROLE}")
    assert run(empty_database_url, ROLE, "migrate", bot=111) == (2, said)
    assert query(empty_database_url, "SELECT telegram_id FROM users ORDER BY 1") == [(7,), (8,)]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_missing_right_is_named_with_the_statement_that_gives_it(
    empty_database_url: str, run: Run, postgres_server: EmbeddedPostgres, is_there: bool
) -> None:
    role, database = f"guest_{next(_numbers)}", empty_database_url.rsplit("/", 1)[1]
    run_as_admin(postgres_server, database, f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
    if is_there:
        query(empty_database_url, "CREATE SCHEMA ballast")
    url = as_role(empty_database_url, role)
    try:
        status, said = run(url, "ballast", "migrate", bot=111)
        assert (status, said.count("\n")) == (2, 1)
        (granting,) = re.findall(r"(?:CREATE SCHEMA|GRANT USAGE)[^;\n]*", said)
        run_as_admin(postgres_server, database, granting)
        assert run(url, "ballast", "migrate", bot=111)[0] == 0
        query(empty_database_url, "CREATE TABLE public.alembic_version (version_num text)")
        status, said = run(url, None, "migrate", bot=222)  # whose role may not read it
        assert status == 2
        assert "which has alembic_version there. Set BALLAST_SCHEMA=ballast" in said
    finally:
        run_as_admin(postgres_server, database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_two_bots_share_a_database_in_two_schemas_and_neither_waits_for_the_other(
    empty_database_url: str, run: Run, make_engine: MakeEngine
) -> None:
    assert run(empty_database_url, "one", "migrate", bot=111)[0] == 0
    alice = users.Profile(7, "alice", "Alice")
    first = make_engine(empty_database_url, settings={"ballast_schema": "one"})
    held = psycopg2.connect(empty_database_url)
    with held.cursor() as cursor:  # a migration of the one bot, and an update of the same username
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [migrate._lock_key("one")])
        cursor.execute("SELECT \"one\".users_touch(7, 'alice', 'Alice', 'CREDIT', NULL)")
        assert run(empty_database_url, "two", "migrate", bot=222)[0] == 0
        second = make_engine(empty_database_url, settings={"ballast_schema": "two"})
        users.get_or_create(second, profile=alice)
        credit(second, "key", 500)
    held.commit()
    held.close()
    assert users.get_or_create(first, profile=alice).balance == 0
    assert credit(first, "key", 300).balance_after == 300
    assert users.get_or_create(second, profile=alice).balance == 500
    for schema, bot in (("one", 111), ("two", 222)):
        assert all(finding.ok for finding in audit(empty_database_url, schema))
        assert query(empty_database_url, f"SELECT bot_id FROM {schema}.bound_bot") == [(bot,)]

    second.dispose()
    query(empty_database_url, "ALTER SCHEMA two RENAME TO three")  # their functions still say two
    assert run(empty_database_url, "three", "audit")[0] == 1
    assert run(empty_database_url, "three", "migrate", bot=222)[0] == 0
    assert run(empty_database_url, "three", "audit")[0] == 0


def credit(engine: Any, key: str, amount: int) -> Any:
    return ledger.adjust(
        engine, key=key, target=users.UserRef(telegram_id=7), amount=amount, memo="", actor="test"
    )


def test_an_installation_moves_into_its_own_schema_with_its_money(
    database_url: str, run: Run, make_engine: MakeEngine, make_settings: MakeSettings
) -> None:
    assert run(database_url, None, "migrate", bot=111)[0] == 0
    before = make_engine(database_url)
    users.get_or_create(before, profile=users.Profile(7, "alice", "Alice"))
    credit(before, "key", 500)
    assert run(database_url, None, "audit")[0] == 0

    assert bound_bot.refuse_second(database_url, None, "ballast") == ["public"]
    status, said = run(database_url, "ballast", "migrate", bot=111)
    assert (status, said.count("\n")) == (2, 1)
    assert "--move-from public" in said
    assert query(database_url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'ballast'") == [(0,)]
    status, said = run(database_url, "ballast", "migrate", "--move-from", "public", bot=111)
    assert status == 2
    assert "stop all of its processes" in said
    before.dispose()
    status, said = run(database_url, "ballast", "migrate", "--move-from", "nowhere", bot=111)
    assert (status, said) == (2, "--move-from: the schema nowhere has none of Ballast's tables\n")
    query(database_url, "CREATE SCHEMA taken; CREATE TABLE taken.users (id int)")
    status, said = run(database_url, "taken", "migrate", "--move-from", "public", bot=111)
    assert status == 2
    assert "the schema taken belongs to another application, which has users there" in said
    assert run(database_url, None, "audit")[0] == 0

    assert run(database_url, "ballast", "migrate", "--move-from", "public", bot=111)[0] == 0
    assert not everything_in(database_url, "public") & {*TABLE_NAMES, *expected().functions}
    query(database_url, f"ALTER DATABASE {database_url.rsplit('/', 1)[1]} SET search_path TO ''")
    after = make_engine(database_url, settings={"ballast_schema": "ballast"})
    assert credit(after, "key", 500).status is OutcomeStatus.REPLAYED
    assert credit(after, "another", 100).balance_after == 600
    status, said = run(database_url, "ballast", "audit")
    assert status == 0, said
    bound_bot.require_own(
        make_settings(database_url=database_url, ballast_schema="ballast", telegram_bot_token="111:A")
    )
    with pytest.raises(Refused, match="BALLAST_SCHEMA is not set"):  # a worker that was forgotten
        bound_bot.require_own(
            make_settings(database_url=database_url, ballast_schema=None, telegram_bot_token="111:A")
        )
    query(database_url, f"ALTER DATABASE {database_url.rsplit('/', 1)[1]} SET search_path TO public")
    status, said = run(database_url, None, "migrate", bot=111)
    assert status == 2
    assert "set BALLAST_SCHEMA=ballast" in said


def test_the_tables_of_the_models_are_ballasts_and_a_bots_own_may_refer_to_them(
    empty_database_url: str, run: Run, make_engine: MakeEngine
) -> None:
    query(empty_database_url, THE_BOTS_OWN)
    assert run(empty_database_url, "elsewhere", "migrate")[0] == 0
    engine = make_engine(empty_database_url, settings={"ballast_schema": "elsewhere"})
    users.get_or_create(engine, profile=users.Profile(7, None, "Alice"))
    usages = Table("usages", MetaData(), Column("user_id", BigInteger, ForeignKey(users_table.c.telegram_id)))

    def count(connection: Connection) -> tuple[int, ...]:
        usages.create(connection)
        connection.execute(usages.insert().values(user_id=7))
        theirs = select(func.count()).select_from(Table("users", MetaData(), Column("telegram_id")))
        ours = select(func.count()).select_from(users_table)
        return connection.execute(ours).scalar_one(), connection.execute(theirs).scalar_one()

    assert engine.call(count, name="test") == (1, 2)
    assert query(
        empty_database_url,
        "SELECT confrelid::regclass::text FROM pg_constraint WHERE conrelid = 'usages'::regclass",
    ) == [("elsewhere.users",)]


TABLE_WORDS = r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|REFERENCES|ON|LOCK)\s+(?:ONLY\s+)?"


def bare_names(sql: str) -> list[str]:
    """Uses of Ballast's tables and functions without the schema."""
    tables, functions = "|".join(TABLE_NAMES), "|".join(expected().functions)
    uses = rf"{TABLE_WORDS}(?:{tables})\b(?!\.)|(?<![\w.])(?:{functions})\s*\(|(?<![\w.])(?:{tables})%ROWTYPE"
    return [" ".join(use.split()) for use in re.findall(uses, sql)]


def texts_of(module: Path) -> Iterator[str]:
    """Its string constants, with what an f-string is made of in one piece."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_statement_names_the_schema() -> None:
    package = Path(dbcore.__file__).parent
    found = {
        (str(module.relative_to(package)), use)
        for module in package.rglob("*.py")
        for text in texts_of(module)
        for use in bare_names(text)
    }
    assert found == set()
    for file in FOLDER.glob("*/*.sql"):
        code = re.sub(r"--.*", "", file.read_text())
        assert bare_names(code) == [], file
    assert bare_names("SELECT users_find(1) FROM accounts JOIN ballast.users") == [
        "users_find(",
        "FROM accounts",
    ]


def test_a_name_stands_alone_where_no_schema_is_set() -> None:
    assert (
        qualified("SELECT * FROM ballast.users, ballast.users_find(%s)", None)
        == "SELECT * FROM users, users_find(%s)"
    )
    assert qualified("SELECT * FROM ballast.users", "shop") == 'SELECT * FROM "shop".users'
