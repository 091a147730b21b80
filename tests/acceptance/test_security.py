"""What those get who forge, and that secrets stay secret. docs/security.md says who is trusted with what."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any

from devstack.ports import free_port
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import all_settled, assert_audit_passes, balances, register, say


def on_record(stack: Stack, job_id: str, kind: str, envelope: str) -> None:
    """A record as the inbox writes it, put there past the inbox."""
    queue = kind.partition(".")[0]
    record = {"lane": job_id, "queue": queue, "kind": kind, "envelope": envelope}
    stack.redis.hset(f"ballast:inbox:job:{job_id}", mapping=record)  # type: ignore[arg-type]  # a dict of str is one
    stack.redis.rpush(f"ballast:inbox:lane:{job_id}", job_id)
    stack.redis.zadd("ballast:inbox:all", {job_id: 1})
    stack.redis.zadd("ballast:inbox:due", {job_id: 1})


def forged(job_id: str, kind: str, **fields: Any) -> str:
    return json.dumps({"job_id": job_id, "lane": job_id, "kind": kind, "fields": fields})


def message(task: str, body: Any, *, task_id: str = "forged", **headers: Any) -> bytes:
    """A message as Celery puts it on a queue."""
    return json.dumps(
        {
            "body": b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": task_id, "root_id": task_id, **headers},
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "balances"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": f"tag-{task_id}",
            },
        }
    ).encode()


async def test_forged_jobs_are_refused_and_kept_and_end_no_worker(
    stack: Stack, telegram: TelegramControl
) -> None:
    (alice,) = await register(telegram, "Alice")
    on_record(stack, "forged-1", "balances.adjust", forged("forged-1", "balances.adjust", amount="5"))
    on_record(stack, "forged-2", "balances.adjust", forged("forged-2", "balances.adjust", amount=5))
    on_record(stack, "forged-3", "transactions.create", forged("forged-3", "transactions.create"))
    on_record(stack, "forged-4", "balances.show", "no JSON at all")
    on_record(stack, "forged-5", "balances.show", forged("forged-5", "balances.show", telegram_id=2**60))
    on_record(
        stack,
        "forged-6",
        "balances.adjust",
        forged("forged-6", "balances.adjust", telegram_id=alice, amount=5, x=1),
    )

    def letters() -> set[str]:
        return {row[0] for row in stack.query("SELECT job_id FROM failed_operations")}

    forgeries = {f"forged-{number}" for number in range(1, 7)}
    await asyncio.to_thread(stack.wait_until, lambda: letters() >= forgeries, "each has its dead letter")

    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    adjust = "workers.balances.adjust"
    for each in (
        message(adjust, [[alice, 500], {}, embed], task_id="message-1"),
        message(adjust, [[], {"telegram_id": alice, "amount": "500"}, embed], task_id="message-2"),
        message(adjust, [[], {"job_id": 5}, embed], task_id="message-3"),
        message(adjust, [[], {"job_id": "nobody-has-it", "place": "x"}, embed], task_id="message-4"),
        message("os.system", [["true"], {}, embed], task_id="message-5"),
        message(adjust, {"neither": "args"}, task_id="message-6"),
        message(adjust, [[]], task_id="message-7"),
        b"no JSON at all",
        b"{}",
        b"[]",
    ):
        stack.redis.lpush("balances", each)
    await asyncio.to_thread(
        stack.wait_until,
        lambda: letters() >= forgeries | {"message-1", "message-2", "message-3"},
        "what was called with wrong arguments has its dead letter",
    )
    assert "0.00" in (await say(telegram, alice, "/balance")).text
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 0
    assert all(stack.alive(name) for name in ("frontend", "main", "light"))
    assert_audit_passes(stack)


async def test_no_secret_is_in_a_log_a_page_or_flower(
    make_stack: MakeStack, telegram: TelegramControl, database_url: str, redis_url: str
) -> None:
    """Also where things go wrong, for errors like to quote what they were given."""
    secrets = {
        "OPS_TOKEN": "marked-ops-token",
        "FLOWER_BASIC_AUTH": "ops:marked-flower-password",
        "TELEGRAM_WEBHOOK_SECRET": "marked-webhook-secret",
    }
    port = free_port()
    stack = make_stack(
        FLOWER_PORT=str(port),
        database_url=database_url.replace("://ballast@", "://ballast:marked-database-password@"),
        **secrets,
    )
    assert "marked-database-password" in stack.database_url
    stack.redis.acl_setuser(
        "marked",
        enabled=True,
        passwords=["+marked-redis-password"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
    )
    stack.env["REDIS_URL"] = redis_url.replace("://", "://marked:marked-redis-password@")
    stack.start("frontend", "main", "light", "flower")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    await say(telegram, alice, "/send @nobody 5 marked-memo-of-alice")

    def asked(url: str, **headers: str) -> tuple[int, str]:
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310  our own http addresses
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    frontend, flower = f"http://127.0.0.1:{stack.ops_port}", f"http://127.0.0.1:{port}"
    token = {"Authorization": "Bearer marked-ops-token"}
    login = {"Authorization": "Basic " + b64encode(b"ops:marked-flower-password").decode()}
    wrong = {"Authorization": "Basic " + b64encode(b"ops:guessed").decode()}

    def flower_listens() -> bool:
        try:
            return (
                "celery@" in asked(f"{flower}/api/workers?refresh=1", **login)[1]
                or "main@" in asked(f"{flower}/api/workers", **login)[1]
            )
        except OSError:
            return False

    await asyncio.to_thread(stack.wait_until, flower_listens, "Flower sees the workers")
    for path in ("/", "/api/workers", "/api/tasks", "/tasks", "/broker"):
        assert asked(flower + path)[0] == 401, path
        assert asked(flower + path, **wrong)[0] == 401, path
    assert asked(f"{frontend}/db-status")[0] == 401
    await say(telegram, alice, "/send @nobody 5 marked-memo-of-alice")

    # Redis that no longer lets us in, and a Telegram that is not there, make the clients complain.
    stack.redis.acl_setuser("marked", enabled=False)
    stack.redis.client_kill_filter(user="marked")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: "rescuer_without_redis" in stack.log("main"),
        "the worker complains of Redis",
    )
    stack.redis.acl_setuser("marked", enabled=True)
    shown = [
        asked(frontend + path, **token)[1]
        for path in ("/", "/health", "/db-status", "/db-stability", "/metrics")
    ]
    shown += [
        asked(flower + path, **login)[1] for path in ("/", "/tasks", "/api/tasks", "/api/workers", "/broker")
    ]
    shown += [stack.log(name) for name in ("frontend", "main", "light", "flower")]
    stack.redis.acl_deluser("marked")
    bot_secret = stack.env["TELEGRAM_BOT_TOKEN"].partition(":")[2]
    for told in shown:
        assert "marked-" not in told, told[max(0, told.index("marked-") - 300) :][:400]
        assert f":{bot_secret}" not in told, told[max(0, told.index(f":{bot_secret}") - 300) :][:400]
