"""Messages and remote commands that are none, and forged jobs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.messages import bad_commands, command, message, poison
from tests.harness.people import all_settled, assert_audit_passes, balances, register, say


async def test_no_remote_command_ends_a_worker_or_is_logged(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    channel = f"/{stack.redis.connection_pool.connection_kwargs['db']}.celery.pidbox"
    reply_queue = "replies-to-test"
    stack.redis.sadd("_kombu.binding.reply.test", f"test\x06\x16\x06\x16{reply_queue}")
    ping = command("ping", reply_to={"exchange": "reply.test", "routing_key": "test"})
    workers = ("main", "light")

    for number, bad in enumerate(bad_commands(secret := "nobody's business"), start=1):
        assert stack.redis.publish(channel, bad) == len(workers)
        assert stack.redis.publish(channel, ping) == len(workers)

        def both_answer(number: int = number) -> bool:
            return bool(stack.redis.llen(reply_queue) >= number * len(workers))

        await asyncio.to_thread(stack.wait_until, both_answer, f"both workers answer after {bad[:400]}")

    assert "0.00" in (await say(telegram, alice, "/balance")).text
    for name in workers:
        assert stack.alive(name)
        assert "Unrecoverable error" not in stack.log(name)
        assert secret not in stack.log(name)


async def test_no_message_ends_a_worker_stays_or_is_logged(stack: Stack, telegram: TelegramControl) -> None:
    (alice,) = await register(telegram, "Alice")
    await all_settled(stack, telegram)
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    secret = "nobody's business"
    before = {name: len(stack.log(name)) for name in ("main", "light")}

    def logged() -> str:
        """By either: a remote command may have had both take from this queue."""
        return "".join(stack.log(name)[length:] for name, length in before.items())

    body = [[], {"telegram_id": alice, "amount": 5, "memo": secret}, embed]
    adjust = "workers.balances.adjust"

    def changed(number: int, **changes: object) -> bytes:
        whole = json.loads(message(adjust, body, task_id=f"changed-{number}"))
        whole["properties"].update(changes.pop("properties", {}))
        return json.dumps({**whole, **changes}).encode()

    for each in (
        changed(1, properties={"body_encoding": "nope"}),
        changed(2, properties={"delivery_tag": {"a": 1}}),
        changed(3, headers=None),
        changed(4, headers={"task": {"a": 1}, "id": "x"}),
        changed(5, headers=[secret]),
        changed(6, body=secret),
        changed(7, **{"content-type": "application/x-nobody-knows"}),
        message(adjust, body, task_id={"a": 1}),  # type: ignore[arg-type]
        message(adjust, body, task_id="eta", eta="2099-01-01T00:00:00+00:00"),
        message(adjust, body, task_id="bad-eta", eta=secret),
        message(adjust, body, task_id="expires", expires=secret),
        message(secret, body, task_id="unknown"),
        message(adjust, body, task_id="compressed", compression="nope"),
        *poison(adjust, body),
    ):
        stack.redis.lpush("balances", each)
    await asyncio.to_thread(
        stack.wait_until,
        lambda: not stack.redis.llen("balances") and not stack.redis.hlen("unacked"),
        "all are taken, and none is kept",
    )
    assert "0.00" in (await say(telegram, alice, "/balance")).text
    assert stack.alive("main")
    assert stack.alive("light")
    ends = ("message_refused", "message_dropped", "arguments_refused")

    def each_has_its_line() -> bool:
        log = logged()
        return sum(log.count(f'"{end}"') for end in ends) >= 13 + len(poison(adjust, body))

    await asyncio.to_thread(stack.wait_until, each_has_its_line, "each has its line in the log")
    log = logged()
    assert "Unrecoverable error" not in log
    assert f'memo": "{secret}' not in log
    assert secret not in log.replace(f'"task": "{secret}"', "")


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
