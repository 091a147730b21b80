"""`python -m workers job REFERENCE`: where the job is that a user's reference stands for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import redis

from ballast.builtin.balances import AdjustBalance, AskAdjustment
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer
from ballast.inbox import Inbox
from ballast.messages import Message
from ballast.queueing import lookup
from ballast.queueing.envelope import Envelope, reference_of
from dbcore import failed_operations
from dbcore.breaker import override
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.stack import ROOT
from tests.conftest import MakeSettings


def asked(redis_url: str, database_url: str, reference: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name.upper() not in OPTIONS}
    return subprocess.run(
        [sys.executable, "-m", "workers", "job", reference],
        cwd=ROOT,
        env={**environment, "REDIS_URL": redis_url, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


OPTIONS = {option.upper() for option in Settings.model_fields}


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_command_says_where_a_job_is_and_what_it_waits_for(
    redis_url: str, database_url: str, client: redis.Redis, inbox: Inbox, make_settings: MakeSettings
) -> None:
    job = CreateTransfer(telegram_id=7, username="bob", recipient="@carol", amount=200, memo="secret")
    inbox.accept(Envelope.of(job, job_id="one", lane="user:7", chat_id=7))
    override.set_override(client, "open", "Nadia")
    found = told(asked(redis_url, database_url, f"Ref. {reference_of('one').lower()}"))
    assert (found["state"], found["kind"]) == ("held_back", "transactions.create")
    assert (found["telegram_id"], found["username"]) == (7, "bob")
    assert found["waits_for"] == "the end of the pause by Nadia"
    assert "secret" not in json.dumps(found)

    engine = GuardedEngine(make_settings(database_url=database_url))
    failed_operations.record(
        engine,
        job_id="two",
        kind="balances.adjust",
        reference=reference_of("two"),
        telegram_id=7,
        error="boom",
        payload={},
    )
    engine.dispose()
    failed = told(asked(redis_url, database_url, reference_of("two")))
    assert (failed["state"], failed["dead_letter"]["error"]) == ("failed", "boom")


def test_an_adjustment_is_of_the_admin_who_asked_for_it(
    redis_url: str, client: redis.Redis, inbox: Inbox
) -> None:
    for job_id, job in {
        "by_id": AskAdjustment(telegram_id=7, amount=500, admin_id=1001),
        "by_name": AskAdjustment(username="carol", amount=500, admin_id=1001),
        "operator": AdjustBalance(telegram_id=7, amount=500),
    }.items():
        inbox.accept(Envelope.of(job, job_id=job_id, lane=job_id))
    found = [lookup.find(client, reference_of(job_id), None) for job_id in ("by_id", "by_name", "operator")]
    assert [(job.telegram_id, job.username) for job in found if job is not None] == [
        (1001, None),
        (1001, None),
        (None, None),
    ]


@pytest.mark.parametrize("reference", ["AAAAAAAA", "no reference"])
def test_what_no_job_has_is_said_in_one_line(redis_url: str, database_url: str, reference: str) -> None:
    done = asked(redis_url, database_url, reference)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert reference in done.stderr


def test_it_finds_what_is_on_record_without_the_database(redis_url: str, inbox: Inbox) -> None:
    message = DeliverReply(messages=(Message(chat_id=7, text="hello"),))
    inbox.accept(Envelope.of(message, job_id="one", lane="one", chat_id=7))
    nowhere = f"postgresql://x@127.0.0.1:{free_port()}/x"
    assert told(asked(redis_url, nowhere, reference_of("one")))["state"] == "queued"
    inbox.finish("one")
    done = asked(redis_url, nowhere, reference_of("one"))
    assert told(done)["state"] == "finished"
    assert "failed jobs were not searched" in done.stderr


def test_a_job_is_found_among_many(client: redis.Redis, inbox: Inbox) -> None:
    client.zadd("ballast:inbox:all", {f"other-{number}": 1 for number in range(20_000)})
    job = CreateTransfer(telegram_id=7, recipient="@carol", amount=200)
    inbox.accept(Envelope.of(job, job_id="mine", lane="user:7", chat_id=7))
    found = lookup.find(client, reference_of("mine"), None)
    assert found is not None
    assert found.job_id == "mine"
