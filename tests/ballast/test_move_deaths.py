"""`ballast move` is killed at each of its steps: one database is in charge, and the next run finishes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ballast.backups.making import Surroundings
from ballast.moving.mover import Mover
from ballast.texts import speaking
from ballast.texts.catalogues import use_folder
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import Profile, UserRef, get_or_create
from dbcore.moving import record, whereabouts
from dbcore.moving.errors import MoveFailed
from dbcore.moving.record import MoveState
from dbcore.settings import Settings
from devstack.postgres import ROLE, EmbeddedPostgres, programs_folder, query
from tests.ballast.cli.test_languages import hard_wired
from tests.conftest import MakeSettings
from tests.harness.bots_database import run_as_admin
from tests.harness.servers import running_postgres
from tests.texts import pseudo

BEFORE_THE_SWITCH = ("copying", "held", "compared")
AFTER_THE_COMMIT = "redis hears of the switch"
LEFT = (
    "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication), "
    "(SELECT count(*) FROM pg_stat_subscription)"
)


class DyingRedis(redis.Redis):
    """Its process is killed in place of telling Redis that the new database is in charge."""

    def set(self, name: Any, value: Any, *arguments: Any, **options: Any) -> Any:
        if name == record.KEY and json.loads(value)["state"] == MoveState.SWITCHED:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().set(name, value, *arguments, **options)


@pytest.fixture
def old(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """One that can be replicated from."""
    with running_postgres(servers_folder, durable=False, options={"wal_level": "logical"}) as server:
        run_as_admin(server, "postgres", f"ALTER ROLE {ROLE} REPLICATION")
        yield server


@pytest.fixture
def new_url(postgres_server: EmbeddedPostgres, empty_database_url: str) -> Iterator[str]:
    run_as_admin(postgres_server, "postgres", f"GRANT pg_create_subscription TO {ROLE}")
    yield empty_database_url
    run_as_admin(postgres_server, "postgres", f"REVOKE pg_create_subscription FROM {ROLE}")


@pytest.fixture
def settings(make_settings: MakeSettings, old: EmbeddedPostgres, redis_url: str) -> Iterator[Settings]:
    yield make_settings(database_url=old.url, redis_url=redis_url)
    whereabouts._moved.clear()


def mover(
    settings: Settings, target: str, say: Callable[[str], None], client: redis.Redis, *, agrees: bool = True
) -> Mover:
    around = Surroundings(
        release="test", own_checks=(), redis=client, embedded_programs=programs_folder(), say=say
    )
    return Mover(
        settings=settings, target=target, around=around, method="replication", confirm=lambda _: agrees
    )


def finish(settings: Settings, target: str) -> list[str]:
    """Run it to its end; what it says."""
    said: list[str] = []
    with redis.Redis.from_url(settings.require("redis_url")) as client:
        mover(settings, target, said.append, client).move()
    return said


def kill(settings: Settings, target: str, at: str) -> None:
    """A run that is killed as it says that."""

    def say(line: str) -> None:
        if line.startswith(at):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            of = DyingRedis if at == AFTER_THE_COMMIT else redis.Redis
            mover(settings, target, say, of.from_url(settings.require("redis_url"))).move()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"it was not killed at {at!r}: exit status {status}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def credit(engine: GuardedEngine, key: str) -> None:
    target = UserRef(telegram_id=1)
    ledger.adjust(engine, key=key, target=target, amount=100, memo="", actor="test")


def credits_in(url: str) -> list[str]:
    return [
        key
        for (key,) in query(
            url, "SELECT idempotency_key FROM transfers WHERE kind = 'credit' ORDER BY created_at"
        )
    ]


@pytest.mark.timeout(300)
def test_killed_at_any_step_one_database_is_in_charge_and_the_next_run_finishes(
    settings: Settings, old: EmbeddedPostgres, new_url: str, postgres_server: EmbeddedPostgres
) -> None:
    engine = GuardedEngine(settings)
    get_or_create(engine, profile=Profile(1, "alice", "Alice"))

    said: list[str] = []
    with redis.Redis.from_url(settings.require("redis_url")) as client:
        with pytest.raises(MoveFailed, match="nothing was changed"):
            mover(settings, new_url, said.append, client, agrees=False).move()
        assert record.read(client) is None
    assert [line.split()[0] for line in said] == ["checked", "method", "plan"]
    assert query(old.url, LEFT) == query(new_url, LEFT) == [(0, 0, 0)]

    for step in BEFORE_THE_SWITCH:
        kill(settings, new_url, step)
        credit(engine, f"after {step}")  # nobody holds it any more
    assert credits_in(old.url) == [f"after {step}" for step in BEFORE_THE_SWITCH]

    kill(settings, new_url, AFTER_THE_COMMIT)
    with redis.Redis.from_url(settings.require("redis_url")) as client:
        known = record.read(client)
    assert known is not None and known.state is MoveState.HOLDING
    credit(engine, "after the switch")
    assert credits_in(new_url) == [*credits_in(old.url), "after the switch"]

    kill(settings, new_url, "switched")
    said = finish(settings, new_url)
    assert "by an earlier run" in said[0]
    assert [line.split()[0] for line in said[-2:]] == ["audited", "audited"]
    credit(engine, "after the end")
    engine.dispose()
    assert credits_in(new_url)[-2:] == ["after the switch", "after the end"]
    assert len(credits_in(old.url)) == len(BEFORE_THE_SWITCH)
    assert query(old.url, LEFT) == query(new_url, LEFT) == [(0, 0, 0)]

    with pytest.raises(MoveFailed, match=r"was moved to .* already"):
        finish(settings, postgres_server.url_of("another"))


@pytest.mark.timeout(300)
def test_each_step_is_said_in_the_language_of_whoever_moves(
    settings: Settings, old: EmbeddedPostgres, new_url: str, tmp_path: Path
) -> None:
    pseudo.write(tmp_path)
    use_folder(tmp_path)
    places = " ".join(map(whereabouts.place_of, (old.url, new_url)))
    same = {"PostgreSQL", *pseudo.plain_words(places)}
    try:
        with speaking(pseudo.LANGUAGE):
            lines = finish(settings, new_url)
            lines += finish(settings, new_url)
    finally:
        use_folder(None)
    assert len(lines) > len(BEFORE_THE_SWITCH)
    for line in lines:
        assert line.startswith("⟦") and hard_wired(line, same) == [], line
