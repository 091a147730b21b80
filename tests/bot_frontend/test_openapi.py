"""The endpoints answer as their OpenAPI document says, whatever is asked of them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from ballast.alerts import active
from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope
from ballast.status import board, probe_results
from dbcore.breaker import override
from dbcore.moving import record
from dbcore.moving.record import Move, MoveState
from dbcore.redis_client import redis_time
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

OPTIONS = (
    "--seed=1",
    "--max-examples=20",
    "--no-color",
    "--generation-database=none",
    "--wait-for-schema=30",
)


def have_something_to_tell(queueing: Queueing) -> None:
    """A fleet at work, as it leaves its records in Redis."""
    client, now = queueing.client, redis_time(queueing.client)
    engine = {"state": "closed", "failed_operations": 0, "failed_operations_total": 1, "calls_total": 9}
    report = {
        "name": "main",
        "host": "h",
        "pid": 7,
        "queues": ["users"],
        "doing": [{"kind": "balances.show", "seconds": 0.2}],
        "database": {**engine, "answered_ago_seconds": 0.1},
    }
    queueing.inbox.beat("h:7:aa", report, {"answers|users|50": 3})
    client.persist("ballast:worker:h:7:aa")
    queueing.inbox.accept(Envelope.of(ShowBalance(telegram_id=9), job_id="c", lane="user:9"))
    probe_results.keep(
        client,
        {
            "ok": True,
            "by": "statement",
            "probed_at": now,
            "latency_ms": 1.5,
            "server_version": "18.4",
            "connections": 3,
            "max_connections": 100,
            "database_bytes": 9_000_000,
            "open_dead_letters": 1,
        },
    )
    record.write(client, Move("m", MoveState.SWITCHED, "f", "old/b", "new/b", "", "dump", now, now, now))
    record.note_followed(client, "h:7:aa")
    override.set_override(client, "open", "somebody")
    override.set_override(client, "auto", "somebody")
    client.hset(active.KEY, "breaker", active.Event("e", now).to_json())
    client.hset("ballast:connections", "h:7:aa", f"2 1 {now:.3f}")
    letter = {"reference": "7F3KQ2MA", "kind": "balances.show", "at": now, "error": "boom"}
    broadcast = {
        "id": 7,
        "status": "sending",
        "audience": 100,
        "sent": 1,
        "blocked": 0,
        "failed": 0,
        "unknown": 0,
        "rate": 12.5,
        "eta_seconds": 8.0,
        "halted_reason": None,
        "scheduled_for": None,
    }
    booked = {
        "action_id": "x",
        "at": now,
        "actor": "a",
        "action": "broadcast.pause",
        "target": "7",
        "outcome": "done",
    }
    board.keep(
        client,
        {
            "at": now,
            "work": 1,
            "dead_letters": {"open": 1, "items": [letter]},
            "approvals": {"waiting": 1},
            "broadcasts": [broadcast],
            "broadcasts_mark": "0" * 32,
            "actions": [booked],
        },
    )


async def test_a_fuzzer_finds_nothing_that_the_document_does_not_say(
    make_settings: MakeSettings, queueing: Queueing, tmp_path: Path
) -> None:
    settings = make_settings(
        redis_url=queueing.redis_url,
        telegram_bot_token="123456:LOCAL",
        ops_token="sesame, open, sesame",
        public_status=True,
    )
    have_something_to_tell(queueing)
    async with serving(settings, queueing) as url:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/openapi.json") as answer:
            paths = (await answer.json())["paths"]
        fuzzer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{url}/openapi.json",
            "--exclude-path-regex=^/api/",  # which has a fuzzer of its own
            *OPTIONS,
            "--header=Authorization: Bearer sesame, open, sesame",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, said.decode()
    operations = sum(len(methods) for path, methods in paths.items() if not path.startswith("/api/"))
    assert f"Tested: {operations}\n" in said.decode(), said.decode()
