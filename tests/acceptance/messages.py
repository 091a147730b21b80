"""Messages in Celery's queues, good and bad."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from typing import Any


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


def poison(task: str, body: object) -> list[bytes]:
    """Messages that Celery acts on without checking them."""

    def with_properties(**properties: object) -> bytes:
        whole = json.loads(message(task, body, task_id="properties"))
        whole["properties"].update(properties)
        return json.dumps(whole).encode()

    def with_body(data: bytes, **changes: object) -> bytes:
        whole = json.loads(message(task, body, task_id="body"))
        return json.dumps({**whole, "body": b64encode(data).decode(), **changes}).encode()

    decimal = {"__type__": "decimal", "__value__": "x"}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return [
        *(
            message(task, body, task_id=f"limits-{limits}", timelimit=limits)
            for limits in (
                [None, "60s"],
                ["a", "b"],
                [-5, -5],
                [0, 0],
                [5],
                5,
                [None, float("inf")],
                [True, True],
                [10**400, 10**400],
                [None, 10**400],
            )
        ),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        with_body(b"[" * 200_000),
        with_body(b"x" * 1_000_001),
        with_body(b"\xff\xfe"),
        # More of them than the workers have processes: one that is dropped too late keeps its place.
        *(with_body(b'[[], {"telegram_id": ' + b"[" * 900 + b"]" * 900 + b"}, {}]") for _ in range(8)),
        with_body(
            b"-" + b"a" * 120_000, **{"content-type": "application/text", "content-encoding": "punycode"}
        ),
        with_body(b"[[], {}, {}]", **{"content-encoding": "nope"}),
        with_body(b"[[], {}, {}]", **{"content-encoding": {"a": 1}}),
        with_body(json.dumps([[], {"amount": decimal}, embed]).encode()),
        with_body(
            zlib.compress(b"0" * 9), headers={"task": task, "id": "zip", "compression": "application/x-gzip"}
        ),
        message(task, body, task_id="decimal-eta", eta=decimal),
        message(task, body, task_id="decimal-expires", expires={"__type__": "decimal", "__value__": "5"}),
        message(
            task, body, task_id="naive", expires={"__type__": "datetime", "__value__": "2099-01-01T00:00:00"}
        ),
        message(task, body, task_id="i" * 1_000_000),
        message(task, body, task_id="nul\0"),
        message(task, body, task_id="half\ud800"),
        message(task, body, task_id=""),
        message(task, [[], {}, {**embed, "errbacks": 5}], task_id="errbacks"),
        message(task, [[], {}, {**embed, "callbacks": [{"task": "x"}]}], task_id="callbacks"),
        message(task, [[], {}, {**embed, "chord": {"a": 1}}], task_id="chord"),
        message(task, [[], {}, 5], task_id="embed"),
        with_properties(delivery_info={"exchange": {"a": 1}, "routing_key": "balances"}),
        with_properties(delivery_info=5),
        with_properties(delivery_tag="\ud800"),
    ]


def command(
    method: object,
    *,
    clock: object = 1,
    reply_to: object = None,
    pattern: str | None = None,
    matcher: str | None = None,
    **arguments: object,
) -> str:
    body = {"method": method, "arguments": arguments, "destination": None, "reply_to": reply_to}
    whole = json.loads(message("x", {**body, "pattern": pattern, "matcher": matcher}))
    return json.dumps({**whole, "headers": {"clock": clock, "expires": None}})


def bad_commands(secret: str) -> list[str]:
    """What a worker is told by Flower or `celery control`, none of it usable."""
    show = "workers.balances.show"
    return [
        "[" * 200_000,
        secret,
        "{}",
        "5",
        command("ping", clock="x"),
        command("ping", clock=10**4300 - 1),
        command({"a": 1}),
        command("nobody_knows"),
        command("ping", unknown=1),
        command("ping", reply_to={"exchange": {"a": 1}}),
        command("pool_grow", n="x"),
        command("pool_grow", n=10**9),
        command("pool_grow", n=64),
        command("pool_shrink", n=2),
        command("ping", pattern=".?" * 70 + "!", matcher="pcre"),
        command("revoke", task_id=[secret + " " * 300_000]),
        command("revoke_by_stamped_headers", headers={"a": ["b"]}),
        command(secret),
        command("ping", clock=2**63 - 1),
        command("pool_shrink", n={"a": 1}),
        command("autoscale", max="x"),
        command("rate_limit", task_name=show, rate_limit="x/y/z"),
        command("rate_limit", task_name=show, rate_limit={"a": 1}),
        command("rate_limit", task_name=show, rate_limit="nan/s"),
        command("rate_limit", task_name={"a": 1}, rate_limit="5/s"),
        command("revoke", task_id={"a": 1}),
        command("revoke", task_id=[[1], {"a": 1}]),
        command("add_consumer", queue={"a": 1}),
        command("add_consumer", queue=[]),
        command("add_consumer", queue="nobody's", exchange_type="nope"),
        command("add_consumer", queue="nobody's", exchange={"a": 1}, routing_key=5),
        command("add_consumer", queue="balances", unknown={"a": 1}),
        command("add_consumer"),
        command("cancel_consumer", queue={"a": 1}),
        command("cancel_consumer", queue=None),
        command("time_limit", task_name=show, soft="60s", hard=["a"]),
        command("time_limit", task_name={"a": 1}, soft=5),
    ]
