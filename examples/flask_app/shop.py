"""A small Flask app whose database is guarded.

The models and the queries are what they were with Flask-SQLAlchemy. What Ballast added: `GuardedSQLAlchemy`, the page's
default, and the error handler.
"""

from __future__ import annotations

import os

from flask import Flask, jsonify, render_template_string
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Mapped, mapped_column

from dbcore import DatabaseAway, GuardedSQLAlchemy, OutcomeUnknown, Unavailable

db = GuardedSQLAlchemy(statement_seconds=2.0, connect_seconds=2.0)


class User(db.Model):  # type: ignore[name-defined, misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    points: Mapped[int] = mapped_column(default=0)


PAGE = """<!doctype html><title>The shop</title>
<h1>The shop</h1>
<p>Our customers: {{ customers }}</p>
"""


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 5, "max_overflow": 0, "pool_timeout": 2}
    db.init_app(app)

    @app.cli.command("create-tables")
    def create_tables() -> None:
        db.create_all()

    @app.get("/")
    def front_page() -> str:
        try:
            customers = str(User.query.count())
        except Unavailable:
            customers = "many"  # the page is worth showing without the number
        return render_template_string(PAGE, customers=customers)

    @app.get("/users/<name>")
    def show(name: str) -> ResponseReturnValue:
        user = User.query.filter_by(name=name).first_or_404()
        return jsonify(name=user.name, points=user.points)

    @app.put("/users/<name>")
    def register(name: str) -> ResponseReturnValue:
        db.session.add(User(name=name))
        db.session.commit()
        return "", 201

    @app.post("/users/<name>/points")
    def earn(name: str) -> ResponseReturnValue:
        user = User.query.filter_by(name=name).with_for_update().first_or_404()
        user.points += 1
        db.session.commit()
        return jsonify(name=user.name, points=user.points)

    @app.errorhandler(DatabaseAway)
    def unavailable(error: DatabaseAway) -> ResponseReturnValue:
        if isinstance(error, OutcomeUnknown):
            said = "We could not confirm that this was saved. Look before you try again."
        else:
            said = "Nothing was changed. Try again in a moment."
        headers = {"Retry-After": str(max(1, round(error.retry_after_seconds)))}
        return jsonify(error=said), 503, headers

    return app
