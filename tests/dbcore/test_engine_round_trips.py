"""What the engine says on the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbcore.guard.pool import FORGET
from dbcore.ledger import ledger, pending_transfers, users
from dbcore.ledger.users import UserRef
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import FaultProxy
from tests.dbcore.conftest import MakeEngine, Person


@pytest.fixture
def proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        yield proxy


@pytest.mark.parametrize("currencies", ["", "EUR:2,TON:9"])
def test_each_operation_on_money_is_one_statement(
    make_engine: MakeEngine, person: Person, proxy: FaultProxy, database_url: str, currencies: str
) -> None:
    ann, bob = person(1_000), person()
    engine = make_engine(
        proxy.url_of(database_url.rsplit("/", 1)[1]),
        settings={"db_pool_size": 1, "db_deadline_seconds": 60, "currencies": currencies},
    )
    users.get_or_create(engine, profile=ann)
    proxy.forget()

    users.get_or_create(engine, profile=ann)
    users.get_or_create_many(engine, profiles=[ann, bob])
    target = UserRef(telegram_id=ann.telegram_id)
    ledger.adjust(engine, key="a", target=target, amount=5, memo="", actor="t")
    ledger.transfer(
        engine,
        key="t",
        sender_telegram_id=ann.telegram_id,
        recipient_telegram_id=bob.telegram_id,
        amount=5,
        memo="",
    )
    asked = pending_transfers.create(
        engine, key="p", sender=ann, recipient=UserRef(telegram_id=bob.telegram_id), amount=5, memo=""
    )
    pending_transfers.decide(engine, key="d", token=asked.token, presser=ann, confirm=True)
    statements = proxy.statements()
    assert len(statements) == 6
    assert all(statement.strip().startswith("SELECT") for statement in statements)
    further = [statement for statement in statements if "json_agg" in statement]
    assert len(further) == (
        2 if currencies else 0
    )  # with one currency nobody is asked for accounts in others


def test_an_operation_through_sqlalchemy_is_one_transaction_and_leaves_its_session_clean(
    make_engine: MakeEngine, proxy: FaultProxy, database_url: str
) -> None:
    engine = make_engine(
        proxy.url_of(database_url.rsplit("/", 1)[1]),
        settings={"db_pool_size": 1, "db_deadline_seconds": 60},
    )
    engine.fetch_row("SELECT 1", name="connects")
    proxy.forget()
    for _ in range(2):
        engine.call(
            lambda connection: connection.exec_driver_sql("SELECT 1").one(), name="through SQLAlchemy"
        )
    assert proxy.statements() == ["BEGIN ISOLATION LEVEL READ COMMITTED", "SELECT 1", "COMMIT", FORGET] * 2
