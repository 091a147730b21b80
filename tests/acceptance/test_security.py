"""What those get who forge, and that secrets stay secret. docs/security.md says who is trusted with what."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2

from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.logins import as_admin
from tests.harness.people import register, say


@contextmanager
def watched_role(stack: Stack, server: EmbeddedPostgres, password: str) -> Iterator[Callable[[], object]]:
    """A role of its own for the stack's processes, which then log in by its password. Calling it shuts them out."""
    admin = psycopg2.connect(as_admin(stack.database_url, server.admin_url_of("postgres")))
    admin.autocommit = True

    def tell(*statements: str) -> None:
        with admin.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    tell(f"CREATE ROLE watched LOGIN PASSWORD '{password}' IN ROLE ballast")
    stack.env["DATABASE_URL"] = stack.database_url.replace(server.login, f"watched:{password}")
    assert password in stack.env["DATABASE_URL"]
    end_sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watched'"
    try:
        yield lambda: tell("ALTER ROLE watched NOLOGIN", end_sessions)
    finally:
        stack.stop_all()
        tell("DROP ROLE watched")
        admin.close()


def asked(url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str]:
    """Status and text; status 0 while nobody listens."""
    try:
        request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  our own http addresses
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return 0, ""


async def test_no_secret_is_in_a_log_a_page_or_flower(
    make_stack: MakeStack,
    telegram: TelegramControl,
    redis_url: str,
    postgres_server: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
) -> None:
    """Also where things go wrong, for errors like to quote what they were given."""
    port = free_port()
    stack = make_stack(
        FLOWER_PORT=str(port),
        OPS_TOKEN="marked-ops-token",
        FLOWER_BASIC_AUTH="ops:marked-flower-password",
        TELEGRAM_WEBHOOK_SECRET="marked-webhook-secret",
        HEALTH_PROBE_SECONDS="1",
    )
    frontend, flower = f"http://127.0.0.1:{stack.ops_port}", f"http://127.0.0.1:{port}"
    stack.env["TELEGRAM_WEBHOOK_URL"] = f"{frontend}/telegram"
    stack.redis.acl_setuser(
        "marked",
        enabled=True,
        passwords=["+marked-redis-password"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
    )
    stack.env["REDIS_URL"] = redis_url.replace(f"{redis_server.login}@", "marked:marked-redis-password@")
    token = {"Authorization": "Bearer marked-ops-token"}
    login = {"Authorization": "Basic " + b64encode(b"ops:marked-flower-password").decode()}
    processes = ("frontend", "main", "bulk", "light", "beat", "flower")

    async def logged(event: str, name: str = "main") -> None:
        await asyncio.to_thread(stack.wait_until, lambda: event in stack.log(name), f"{name} says {event}")

    with watched_role(stack, postgres_server, "marked-database-password") as shut_out_of_the_database:
        stack.start(*processes)
        stack.wait_ready(processes=4)
        (alice,) = await register(telegram, "Alice")
        await say(telegram, alice, "/send @nobody 5 marked-memo-of-alice")
        await asyncio.to_thread(
            stack.wait_until,
            lambda: "main@" in asked(f"{flower}/api/workers?refresh=1", login)[1],
            "Flower sees the workers",
        )

        for headers in ({}, {"Authorization": "Basic " + b64encode(b"ops:guessed").decode()}):
            for path in ("/", "/api/workers", "/api/tasks", "/tasks", "/broker"):
                assert asked(flower + path, headers)[0] == 401, path
        for headers in ({}, {"Authorization": "Bearer guessed"}):
            for path in ("/db-status", "/db-stability", "/metrics"):
                assert asked(frontend + path, headers)[0] == 401, path
        for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guessed"}):
            assert asked(f"{frontend}/telegram", headers, b"{}")[0] == 401

        # Redis that no longer lets us in makes the clients complain.
        stack.redis.acl_setuser("marked", enabled=False)
        stack.redis.client_kill_filter(user="marked")
        await logged("rescuer_without_redis")
        stack.redis.acl_setuser("marked", enabled=True)

        # So does a Telegram that hangs up, and has a trouble of its own: errors of requests know their address.
        for trouble in ("reset", "internal"):
            await telegram.add_fault(trouble, methods=["sendMessage"], count=1)
        await say(telegram, alice, "/balance")
        assert [fault for fault in await telegram.faults() if not fault.hits] == []

        # So does a database that refuses us.
        shut_out_of_the_database()
        await telegram.send_text(alice, "/history")
        await logged("breaker_transition")

        shown = []
        for path in ("/health", "/db-status", "/db-stability", "/metrics"):
            status, text = asked(frontend + path, token)
            assert status == 200, path
            shown.append(text)
        for path in ("/", "/tasks", "/api/tasks", "/api/workers", "/broker"):
            status, text = asked(flower + path, login)
            assert status == 200, path
            shown.append(text)
        shown += [stack.log(name) for name in processes]
    stack.redis.acl_deluser("marked")
    bot_secret = stack.env["TELEGRAM_BOT_TOKEN"].partition(":")[2]
    for told in shown:
        assert told
        assert "marked-" not in told, told[max(0, told.index("marked-") - 300) :][:400]
        assert f":{bot_secret}" not in told, told[max(0, told.index(f":{bot_secret}") - 300) :][:400]
