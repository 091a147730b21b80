from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask, jsonify
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from dbcore.breaker.local import BreakerLimits
from dbcore.errors import DatabaseAway, Unavailable, UsageError
from dbcore.guard.flask import GuardedSQLAlchemy
from devstack.ports import free_port
from devstack.proxy import frozen
from tests.dbcore.conftest import Sql, eventually
from tests.dbcore.guard.attaching import NEVER_OPENS, checked_out


@dataclass
class Shop:
    app: Flask
    db: GuardedSQLAlchemy
    in_request: list[Any]
    """What is done in the next request, between two queries: context managers that get the backend's pid."""


def make_shop(url: str, binds: dict[str, str], limits: BreakerLimits) -> Shop:
    """With a table in the database and another one behind a bind, as a page reads and writes them."""
    db = GuardedSQLAlchemy(statement_seconds=0.5, connect_seconds=1.0, breaker_limits=limits)
    model: Any = db.Model

    class User(model):
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String)

    class Visit(model):
        __bind_key__ = "visits"
        id = db.Column(db.Integer, primary_key=True)

    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_BINDS"] = binds
    db.init_app(app)
    shop = Shop(app, db, [])

    @app.get("/users/<name>")
    def show(name: str) -> Any:
        db.session.add(Visit())
        db.session.flush()
        user = User.query.filter_by(name=name).first_or_404()
        pid = db.session.scalar(text("SELECT pg_backend_pid()"))
        with shop.in_request.pop()(pid) if shop.in_request else nullcontext():
            name = User.query.filter_by(id=user.id).populate_existing().one().name
        db.session.commit()
        return jsonify(name=name)

    @app.errorhandler(DatabaseAway)
    def unavailable(error: DatabaseAway) -> Any:
        return type(error).__name__, 503

    with app.app_context():
        db.create_all([None, "visits"])
        db.session.add(User(name="ada"))
        db.session.commit()
    return shop


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    """As most write their address, and the same server for both binds."""
    shop = make_shop(database_url, {"visits": database_url}, NEVER_OPENS)
    yield shop
    with shop.app.app_context():
        for engine in shop.db.engines.values():
            engine.dispose()


def test_models_and_queries_work_as_before_and_lose_nothing_of_flask_sqlalchemy(shop: Shop) -> None:
    client = shop.app.test_client()
    assert client.get("/users/ada").json == {"name": "ada"}
    assert client.get("/users/nobody").status_code == 404


def test_a_request_on_a_frozen_server_ends_and_leaves_nothing_to_the_next_ones(shop: Shop, sql: Sql) -> None:
    client = shop.app.test_client()
    shop.in_request = [frozen]
    answer = client.get("/users/ada")
    assert (answer.status_code, answer.text) == (503, "UnavailableOperationalError")
    with ThreadPoolExecutor(4) as threads:
        statuses = threads.map(lambda _: shop.app.test_client().get("/users/ada").status_code, range(20))
        assert set(statuses) == {200}
    with shop.app.app_context():
        assert [checked_out(engine) for engine in shop.db.engines.values()] == [0, 0]
    eventually(lambda: sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%%'") == [(0,)])


def test_a_teardown_that_finds_its_connections_frozen_or_lost_is_bounded_and_silent(
    shop: Shop, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    pid = text("SELECT pg_backend_pid()")
    with shop.app.app_context():
        shop.db.session.execute(text("SELECT 1"))
        context = frozen(shop.db.session.scalar(pid))
        context.__enter__()
    context.__exit__(None, None, None)
    with shop.app.app_context():
        backend = shop.db.session.scalar(pid)
        sql("SELECT pg_terminate_backend(%s)", backend)
        eventually(lambda: not sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend))
    assert not caplog.records
    with shop.app.app_context():
        assert checked_out(shop.db.engine) == 0
        assert shop.db.session.scalar(text("SELECT 7")) == 7


def test_binds_share_the_breaker_of_their_server_and_each_server_has_one(database_url: str) -> None:
    elsewhere = make_url(database_url).set(port=free_port()).render_as_string(hide_password=False)
    shop = make_shop(
        database_url, {"visits": database_url, "down": elsewhere, "local": "sqlite://"}, BreakerLimits()
    )
    with shop.app.app_context():
        here = shop.db.breaker()
        assert shop.db.breaker("visits") is here
        assert shop.db.breaker("down") is not here
        while shop.db.breaker("down").snapshot().state != "open":
            with pytest.raises(OperationalError) as raised:
                shop.db.engines["down"].connect()
            assert isinstance(raised.value, Unavailable)
        assert here.snapshot().state == "closed"
        assert shop.app.test_client().get("/users/ada").status_code == 200
        here.force_open()
        assert shop.app.test_client().get("/users/ada").status_code == 503
        with shop.db.engines["local"].connect() as connection:
            assert connection.scalar(text("SELECT 7")) == 7


def test_a_postgresql_engine_of_another_driver_is_refused() -> None:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+pg8000://x@127.0.0.1/x"
    with pytest.raises((UsageError, ModuleNotFoundError)):
        GuardedSQLAlchemy(app)
