"""The API answers as its OpenAPI document says, whatever is asked of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope
from dbcore import failed_operations
from dbcore.broadcasts import broadcasts
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import holds, ledger, users
from dbcore.ledger.audit import audit
from dbcore.ledger.pending_adjustments import Limits
from dbcore.people import approvals
from dbcore.people.acts import Act
from dbcore.settings import Settings
from tests.bot_frontend.api.conftest import OPS_TOKEN
from tests.bot_frontend.test_web import serving
from tests.harness.queueing import Queueing

OPTIONS = (
    "--include-path-regex=^/api/v1/",
    "--seed=1",
    "--max-examples=4",
    "--phases=fuzzing",
    "--exclude-checks=ignored_auth",  # test_callers.py tries each path without a key and with others
    "--no-color",
    "--generation-database=none",
    "--wait-for-schema=30",
    f"--header=Authorization: Bearer {OPS_TOKEN}",
)


def have_something(engine: GuardedEngine) -> None:
    """People, money, a failed job and a draft, under the smallest numbers."""
    for number in (1, 2):
        users.get_or_create(engine, profile=users.Profile(number, f"user{number}", "Ann"))
    ledger.adjust(engine, key="seed", target=users.UserRef(telegram_id=1), amount=900, memo="", actor="t")
    ledger.transfer(engine, key="t", sender_telegram_id=1, recipient_telegram_id=2, amount=5, memo="")
    holds.hold(engine, key="h", owner=users.UserRef(telegram_id=1), amount=5, memo="", actor="t")
    envelope = Envelope.of(ShowBalance(telegram_id=1), job_id="j", lane="user:1")
    failed_operations.record(
        engine,
        job_id="j",
        kind=envelope.kind,
        reference="ABCDEFGH",
        telegram_id=1,
        error="boom",
        payload=envelope.model_dump(mode="json"),
    )
    approvals.adjust(
        engine,
        Act("a", "telegram:3", "x", 0.0),
        operator_id=3,
        target_id=1,
        amount=9,
        limits=Limits(once=1),
    )
    broadcasts.create(engine, key="b", payload={"text": "x"}, segment={}, actor="t")


async def test_a_fuzzer_finds_nothing_that_the_document_does_not_say(
    settings: Settings, queueing: Queueing, engine: GuardedEngine, tmp_path: Path, database_url: str
) -> None:
    have_something(engine)
    report = {"node": "main@host", "name": "main", "pid": 7, "queues": ["balances"], "doing": []}
    queueing.inbox.beat("host:7:a", report)
    unbounded = settings.model_copy(update={"api_requests_per_minute": 1_000_000})
    async with serving(unbounded, queueing) as url:
        fuzzer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *OPTIONS),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, said.decode()
    assert all(finding.ok for finding in audit(database_url))
