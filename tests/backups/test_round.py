"""A backup is restored before it counts, and brings everything back on another database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Inbox
from ballast.queueing.envelope import Envelope
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import UserRef
from tests.backups.conftest import BALANCES, Ballast, kept, listed, recipient
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Sql, statements_on


@pytest.mark.parametrize("sealed", [False, True])
def test_a_backup_is_proven_and_restores_into_an_empty_database(
    ballast: Ballast,
    people: None,
    empty_database_url: str,
    sql: Sql,
    scratches: Callable[[], list[str]],
    tmp_path: Path,
    identity: Path,
    make_settings: MakeSettings,
    sealed: bool,
) -> None:
    options = {"BACKUP_RECIPIENT": recipient(identity)} if sealed else {}
    made = ballast("backup", **options)
    assert made.exit_code == 0, made.output
    assert "34 of 34 checks passed" in made.stdout
    assert scratches() == []
    (backup,) = listed(ballast)
    assert backup["note"]["sealed"] is sealed
    assert (b"user1" in kept(tmp_path / "kept")[0].read_bytes()) is False  # compressed or sealed

    key = ["--identity", str(identity)] if sealed else []
    restored = ballast("restore", "latest", "--into", empty_database_url, *key)
    assert restored.exit_code == 0, restored.output
    with statements_on(empty_database_url) as there:
        assert there(BALANCES) == sql(BALANCES)
    assert ballast("audit", DATABASE_URL=empty_database_url).exit_code == 0
    again = GuardedEngine(make_settings(database_url=empty_database_url))
    ledger.adjust(again, key="k1", target=UserRef(telegram_id=1), amount=100, memo="", actor="test")
    again.dispose()
    with statements_on(empty_database_url) as there:
        assert there(BALANCES) == sql(BALANCES)  # what was done before the backup is known to be done


def test_a_backup_of_a_schema_of_its_own_brings_that_back(
    ballast: Ballast, bots_database_url: str, empty_database_url: str
) -> None:
    options = {"DATABASE_URL": bots_database_url, "BALLAST_SCHEMA": "bots_ballast"}
    made = ballast("backup", **options, BACKUP_SCHEMAS="bots_ballast")
    assert made.exit_code == 0, made.output
    refused = ballast("restore", "latest", "--into", empty_database_url)
    assert "BALLAST_SCHEMA is unset: set it as it was" in refused.stderr
    restored = ballast("restore", "latest", "--into", empty_database_url, BALLAST_SCHEMA="bots_ballast")
    assert restored.exit_code == 0, restored.output
    with statements_on(empty_database_url) as there:
        assert there("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^(pg_|info)'") == [
            ("bots_ballast",)
        ]


def test_a_stored_backup_can_be_proven_again(
    ballast: Ballast, people: None, scratches: Callable[[], list[str]]
) -> None:
    assert ballast("backup").exit_code == 0
    checked = ballast("restore", "latest", "--check")
    assert checked.exit_code == 0, checked.output
    assert "34 of 34 checks passed" in checked.stdout
    assert scratches() == []


def test_a_database_that_is_not_empty_is_replaced_only_by_a_flag(
    ballast: Ballast, people: None, sql: Sql
) -> None:
    before = sql(BALANCES)
    assert ballast("backup").exit_code == 0
    sql("UPDATE users SET first_name = 'changed since'")
    refused = ballast("restore", "latest")
    assert refused.exit_code == 1
    assert "the database is not empty" in refused.stderr
    assert sql("SELECT DISTINCT first_name FROM users") == [("changed since",)]
    replaced = ballast("restore", "latest", "--overwrite")
    assert replaced.exit_code == 0, replaced.output
    assert sql(BALANCES) == before
    assert sql("SELECT DISTINCT first_name FROM users") == [("A name with ' and <b>",)]


def test_a_running_process_stops_a_restore(
    ballast: Ballast, people: None, sql: Sql, make_settings: MakeSettings, database_url: str
) -> None:
    assert ballast("backup").exit_code == 0
    engine = GuardedEngine(make_settings(database_url=database_url))
    engine.fetch_row("SELECT 1", (), name="test")
    refused = ballast("restore", "latest", "--overwrite")
    engine.dispose()
    assert refused.exit_code == 1
    assert "processes of Ballast are connected (ballast): stop them first" in refused.stderr


def test_a_broadcast_that_was_being_sent_is_paused_by_a_restore(
    ballast: Ballast, people: None, sql: Sql, empty_database_url: str
) -> None:
    sql(
        "INSERT INTO broadcasts (idempotency_key, status, payload, segment, actor, paid, canary, audience, started_at) "
        "VALUES ('b', 'sending', '{}', '{}', 'test', false, 0, 5, now())"
    )
    assert ballast("backup").exit_code == 0
    restored = ballast("restore", "latest", "--into", empty_database_url)
    assert restored.exit_code == 0, restored.output
    assert "paused    broadcast 1: whom it reached after the backup is not known" in restored.stdout
    with statements_on(empty_database_url) as there:
        assert there("SELECT status FROM broadcasts") == [("paused",)]


def test_only_as_many_as_are_to_be_kept_stay(ballast: Ballast, people: None, tmp_path: Path) -> None:
    for _ in range(3):
        assert ballast("backup", BACKUP_KEEP="2").exit_code == 0
    assert len(listed(ballast)) == 2
    assert len(list((tmp_path / "kept").iterdir())) == 4  # two backups with their notes, and nothing else


def test_a_backup_without_redis_is_made_and_says_so(
    ballast: Ballast, people: None, empty_database_url: str
) -> None:
    made = ballast("backup", REDIS_URL="redis://127.0.0.1:1/0")
    assert made.exit_code == 0, made.output
    assert "the backup is without the inbox" in made.stdout
    assert listed(ballast)[0]["note"]["inbox"] is None
    restored = ballast("restore", "latest", "--into", empty_database_url, REDIS_URL="redis://127.0.0.1:1/0")
    assert restored.exit_code == 0, restored.output


def test_jobs_come_back_into_redis_unless_they_are_left_out(
    ballast: Ballast, people: None, empty_database_url: str, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        inbox = Inbox(client)
        job = Envelope.of(ShowBalance(telegram_id=1), job_id="a", lane="user:1", chat_id=1)
        inbox.accept(job)
        assert "1 job on record" in ballast("backup").stdout
        client.flushdb()
        inbox.beat("host:1:aa", None)
        into = ["restore", "latest", "--into", empty_database_url]
        assert "workers are running: stop all processes first" in ballast(*into).stderr
        assert "Redis does not answer" in ballast(*into, REDIS_URL="redis://127.0.0.1:1/0").stderr
        inbox.leave("host:1:aa")
        assert ballast(*into, "--no-inbox").exit_code == 0
        assert inbox.size() == 0
        assert "1 job is on record again" in ballast(*into, "--overwrite").stdout
        assert inbox.size() == 1


def test_a_direct_address_is_backed_up_where_the_bot_has_another(
    ballast: Ballast, people: None, database_url: str
) -> None:
    made = ballast(
        "backup", DATABASE_URL="postgresql://u:p@127.0.0.1:1/pooler", BACKUP_DATABASE_URL=database_url
    )
    assert made.exit_code == 0, made.output
    assert listed(ballast)[0]["note"] is not None
