"""Flask-SQLAlchemy with a guarded database; models, `User.query` and `db.session` stay as they are.

from dbcore import GuardedSQLAlchemy

db = GuardedSQLAlchemy()  # was: db = SQLAlchemy()
"""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Engine, make_url

from dbcore.breaker.local import Breaker, BreakerLimits
from dbcore.database_url import SCHEME, addresses
from dbcore.guard.attached import attach_engine
from dbcore.guard.engine import log_transition

try:
    from flask import Flask, current_app
    from flask_sqlalchemy import SQLAlchemy
except ModuleNotFoundError as error:
    raise ImportError("GuardedSQLAlchemy needs Flask-SQLAlchemy: pip install 'ballast[flask]'") from error


class GuardedSQLAlchemy(SQLAlchemy):
    """`flask_sqlalchemy.SQLAlchemy` whose engines are attached (`attach_engine`), those of all binds.

    Binds on the same server share a breaker. `postgres://` and `postgresql://` are read as `postgresql+psycopg2://`. A
    bind on another database, such as SQLite, stays as it is.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        statement_seconds: float = 10.0,
        connect_seconds: float = 5.0,
        ping_after_idle_seconds: float = 15.0,
        breaker_limits: BreakerLimits | None = None,
        **options: Any,
    ) -> None:
        """Args:
        statement_seconds, connect_seconds, ping_after_idle_seconds: as `attach_engine` has them.
        breaker_limits: when a server's breaker opens and closes.
        options: as Flask-SQLAlchemy has them.
        """
        self._limits = breaker_limits
        self._deadlines = {
            "statement_seconds": statement_seconds,
            "connect_seconds": connect_seconds,
            "ping_after_idle_seconds": ping_after_idle_seconds,
        }
        self._breakers: WeakKeyDictionary[Flask, dict[object, Breaker]] = WeakKeyDictionary()
        super().__init__(app, **options)

    def init_app(self, app: Flask) -> None:
        """Raises UsageError for a PostgreSQL engine that cannot be guarded."""
        _use_psycopg2(app.config, "SQLALCHEMY_DATABASE_URI")
        _use_psycopg2(app.config.get("SQLALCHEMY_ENGINE_OPTIONS", {}), "url")
        binds = app.config.get("SQLALCHEMY_BINDS", {})
        for bind, value in binds.items():
            _use_psycopg2(*((value, "url") if isinstance(value, dict) else (binds, bind)))
        super().init_app(app)
        breakers = self._breakers[app] = {}
        with app.app_context():
            engines = dict(self.engines)
        for bind, engine in engines.items():
            if engine.dialect.name != "postgresql":
                continue
            server = _server_of(engine, bind)
            breaker = breakers.get(server)
            if breaker is None:
                breaker = breakers[server] = Breaker(
                    clock=time.monotonic, limits=self._limits, on_transition=log_transition
                )
            attach_engine(engine, breaker=breaker, **self._deadlines)

    def breaker(self, bind_key: str | None = None) -> Breaker:
        """The breaker of this app's server that the bind is on: its `snapshot()`, and `force_open()`, `disable()` and
        `reset()`. Needs the app's context, as `engines` does.
        """
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        return self._breakers[app][_server_of(self.engines[bind_key], bind_key)]


def _use_psycopg2(options: Any, name: Any) -> None:
    """SQLAlchemy 2.1 reads a scheme without a driver as psycopg 3's."""
    if options.get(name) is None:
        return
    url: URL = make_url(options[name])
    if url.drivername in {"postgres", "postgresql"}:
        options[name] = url.set(drivername=SCHEME)


def _server_of(engine: Engine, bind_key: str | None) -> object:
    """What is up and down as one. An engine by a `creator` does not say where that leads."""
    if engine.url.host is None and not engine.url.query:
        return bind_key
    return tuple(addresses(engine.url.render_as_string(hide_password=False)))
