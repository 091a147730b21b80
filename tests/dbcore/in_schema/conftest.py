"""An existing bot's database, with Ballast in a schema of its own. Nothing is found by `search_path` there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dbcore.ledger.audit import audit
from dbcore.settings import Settings
from tests.dbcore.conftest import Sql
from tests.harness.bots_database import SCHEMA


@pytest.fixture
def database_url(bots_database_url: str) -> str:
    return bots_database_url


@pytest.fixture
def make_settings(make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    return lambda **overrides: make_settings(**{"ballast_schema": SCHEMA, **overrides})


@pytest.fixture
def sql(sql: Sql) -> Sql:
    """As everywhere, and a test's own statements find Ballast's tables by their bare names."""
    sql(f"SET search_path = {SCHEMA}")
    return sql


@pytest.fixture
def audited(database_url: str) -> Iterator[None]:
    yield
    assert [finding for finding in audit(database_url, schema=SCHEMA) if not finding.ok] == []
