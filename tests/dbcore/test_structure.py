"""What is read from the migrations' SQL is what they make."""

from __future__ import annotations

from dbcore import structure
from dbcore.guard import pool
from tests.dbcore.conftest import Sql


def test_a_migrated_database_differs_in_nothing(database_url: str) -> None:
    with pool.single(database_url, application_name="test").connect() as connection:
        assert structure.differences(connection) == []


def test_each_function_and_trigger_of_a_migrated_database_is_expected(sql: Sql) -> None:
    wanted = structure.expected()
    functions = {
        name for (name,) in sql("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    }
    assert functions == set(wanted.functions)
    triggers = set(sql("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"))
    assert triggers == set(wanted.triggers)
