"""The pages, asked over HTTP of a real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import redis

from ballast.apps.discovery import Registry
from ballast.apps.installed import INSTALLED
from ballast.broadcasts.albums import Albums
from ballast.builtin.balances import ShowBalance
from ballast.builtin.transfers import CreateTransfer
from ballast.queueing.envelope import Envelope, reference_of
from ballast.queueing.queues import QUEUES
from ballast.status import probe_results
from ballast.telegram.bot import make_bot
from ballast.telegram.presses import Presses
from ballast.telegram.rate_limiter import RateLimiter
from bot_frontend.callbacks import CallbackAnswers
from bot_frontend.checkouts import Checkouts
from bot_frontend.intake import Intake
from bot_frontend.intake_health import Receiver
from bot_frontend.web import reports
from bot_frontend.web.actions import Actions
from bot_frontend.web.app import make_app
from bot_frontend.web.app_webhooks import SECONDS_MAX, AppWebhooks
from bot_frontend.web.jobs import Jobs
from bot_frontend.web.lazy_api import LazyApi
from bot_frontend.web.metrics import exposition
from bot_frontend.web.monitor import Monitor
from bot_frontend.web.server import make_server
from bot_frontend.web.snapshot import FRESH_SECONDS, StatusSnapshot
from bot_frontend.web.webhook import BODY_BYTES_MAX, SECRET_HEADER, Webhook
from dbcore.breaker import override
from dbcore.redis_client import redis_time
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.stack import TOKEN
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

SECRET = "s3cret"
UPDATE = {
    "update_id": 5,
    "message": {
        "message_id": 3,
        "date": 1_700_000_000,
        "chat": {"id": 8, "type": "private"},
        "from": {"id": 8, "is_bot": False, "first_name": "Bob"},
        "text": "/balance",
    },
}


@asynccontextmanager
async def serving(
    settings: Settings,
    queueing: Queueing,
    apps: Registry = INSTALLED,
    *,
    app_webhook_seconds_max: float = SECONDS_MAX,
) -> AsyncIterator[str]:
    """The frontend's web server with its monitor, at the URL given."""
    port = free_port()
    receiver = Receiver("webhook")
    monitor = Monitor(queueing.client, settings, receiver.now)
    bot = make_bot(settings, connections=2)
    intake = Intake(
        settings,
        queueing.inbox,
        queueing.publisher,
        Albums(queueing.client),
        lambda: monitor.latest.database_is_away,
    )
    callbacks = CallbackAnswers(bot, RateLimiter(queueing.client), Presses(queueing.client))
    webhook = Webhook(SECRET, intake, callbacks, receiver, Checkouts(bot, settings))
    actions = Actions(queueing.client, queueing.inbox, queueing.publisher)
    app_webhooks = AppWebhooks(apps, intake, seconds_max=app_webhook_seconds_max)
    api = LazyApi(settings, queueing.client, queueing.inbox, queueing.publisher)
    app = make_app(settings, monitor, webhook, actions, Jobs(queueing.client), app_webhooks, api)
    server = make_server(app, "127.0.0.1", port)
    served = asyncio.create_task(server.serve())
    monitor.start()
    while not server.started or (
        not monitor.latest.seen_at and monitor.latest.redis_error == "not looked yet"
    ):
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await served
        await asyncio.to_thread(monitor.stop)
        await api.close()
        await bot.request.shutdown()


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(
        redis_url=redis_url, telegram_bot_token=TOKEN, telegram_webhook_url="https://bot.example/hook"
    )


async def test_a_webhook_without_the_secret_is_turned_away(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for headers in ({}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: ""}, {SECRET_HEADER: SECRET + "x"}):
            async with http.post(f"{url}/hook", json=UPDATE, headers=headers) as answer:
                assert answer.status == 401
    assert queueing.inbox.size() == 0


async def test_a_webhook_update_is_on_record_when_telegram_is_told_so(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for _ in range(2):  # Telegram repeats what it is not sure of
            async with http.post(f"{url}/hook", json=UPDATE, headers={SECRET_HEADER: SECRET}) as answer:
                assert answer.status == 200
    assert queueing.inbox.size() == 1


async def test_a_malformed_webhook_body_gets_a_clear_error(settings: Settings, queueing: Queueing) -> None:
    headers = {SECRET_HEADER: SECRET}
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        async with http.post(f"{url}/hook", data=b"{", headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]) == (400, "expected JSON")
        for body in (b"\xff", b"[" * 200_000, b"9" * 5000):
            async with http.post(f"{url}/hook", data=body, headers=headers) as answer:
                assert answer.status == 400
        async with http.post(f"{url}/hook", data=b"[]", headers=headers) as answer:
            assert answer.status == 400
        async with http.post(f"{url}/hook", data=b" " * (BODY_BYTES_MAX + 1), headers=headers) as answer:
            assert answer.status == 413
    assert queueing.inbox.size() == 0


async def test_an_update_that_cannot_be_read_is_quarantined_and_passed(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        broken = {"update_id": 6, "message": {"text": "\ud800"}}
        async with http.post(f"{url}/hook", json=broken, headers={SECRET_HEADER: SECRET}) as answer:
            assert answer.status == 200
    assert queueing.inbox.size() == 1


async def test_with_redis_away_the_webhook_asks_telegram_to_come_again(
    make_settings: MakeSettings, queueing_without_redis: Queueing
) -> None:
    settings = make_settings(
        redis_url=queueing_without_redis.redis_url,
        telegram_bot_token=TOKEN,
        telegram_webhook_url="https://bot.example/hook",
    )
    async with serving(settings, queueing_without_redis) as url, aiohttp.ClientSession() as http:
        async with http.post(f"{url}/hook", json=UPDATE, headers={SECRET_HEADER: SECRET}) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
        async with http.get(f"{url}/health") as answer:
            assert answer.status == 200
            health = await answer.json()
            assert health["status"] == "down"
            assert health["redis"] == {"ok": False, "error": "ConnectionError", "troubles": []}
        async with http.get(f"{url}/health/ready") as answer:
            assert answer.status == 503
            assert (await answer.json())["reason"] == "Redis does not answer (ConnectionError)"
        async with http.get(f"{url}/health/live") as answer:
            assert answer.status == 200


async def test_the_pages_say_what_they_do_not_know_and_how_old_they_are(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}/health") as answer:
            health = await answer.json()
        assert health["status"] == "degraded"  # nobody works
        assert health["workers"] == {"alive": 0, "lost_to_one_job": 0}
        assert health["database"] == {"state": "unknown", "breaker": "unknown"}
        assert 0 <= health["age_seconds"] < 60
        async with http.get(f"{url}/db-status") as answer:
            assert (await answer.json())["probe"] is None
        async with http.get(f"{url}/db-stability") as answer:
            stability = await answer.json()
        assert stability["breaker"]["state"] == "unknown"
        assert stability["failed_operations"] is None


async def test_details_need_the_token_where_one_is_set(
    make_settings: MakeSettings, redis_url: str, queueing: Queueing
) -> None:
    settings = make_settings(redis_url=redis_url, telegram_bot_token=TOKEN, ops_token="t0ken-t0ken-t0ken")
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for path in ("/db-status", "/db-stability"):
            async with http.get(url + path) as answer:
                assert answer.status == 401
            async with http.get(url + path, headers={"Authorization": "Bearer wrong"}) as answer:
                assert answer.status == 401
            async with http.get(url + path, headers={"Authorization": "Bearer t0ken-t0ken-t0ken"}) as answer:
                assert answer.status == 200
        async with http.get(f"{url}/health") as answer:
            assert answer.status == 200


async def test_details_are_not_for_those_who_come_by_a_proxy_on_this_host(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=203.0.113.7"}):
            async with http.get(f"{url}/db-status", headers=headers) as answer:
                assert answer.status == 401
        async with http.get(f"{url}/db-status") as answer:
            assert answer.status == 200


async def test_details_are_not_for_those_who_ask_for_another_name(
    settings: Settings, queueing: Queueing
) -> None:
    """As behind a proxy that says for nobody whom it asks, or in a browser that was led here under another name."""
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        for host in ("bot.example", "evil.example:8080", "127.0.0.1.evil.example", "203.0.113.7", "[::1", ""):
            async with http.get(f"{url}/db-status", headers={"Host": host}) as answer:
                assert answer.status == 401, host
        for host in ("localhost", "localhost:8080", "127.0.0.1", "127.0.0.2:80", "[::1]:8080"):
            async with http.get(f"{url}/db-status", headers={"Host": host}) as answer:
                assert answer.status == 200, host


def beaten(queueing: Queueing, owner: str, report: dict[str, Any]) -> None:
    """A process's report that does not go, however slow the test is."""
    queueing.inbox.beat(owner, report)
    queueing.client.persist(f"ballast:worker:{owner}")


async def seen(url: str, http: aiohttp.ClientSession, path: str, told: Callable[[Any], bool]) -> Any:
    """The page's JSON once it says so; the monitor looks twice a second."""
    while True:
        async with http.get(url + path) as answer:
            assert answer.status == 200
            page = await answer.json()
        if told(page):
            return page
        await asyncio.sleep(0.05)


async def test_one_failed_probe_is_outweighed_by_the_next_answer_of_any_process(
    settings: Settings, queueing: Queueing
) -> None:
    probe_results.keep(
        queueing.client, {"ok": False, "by": "statement", "probed_at": redis_time(queueing.client)}
    )
    engine = {"state": "closed", "answered_ago_seconds": 60.0}
    beaten(queueing, "host:1:aa", {"queues": [], "database": engine})
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        page = await seen(url, http, "/db-status", lambda page: page["probe"] is not None)
        assert page["state"] == "unavailable"
        beaten(queueing, "host:1:aa", {"queues": [], "database": engine | {"answered_ago_seconds": 0.0}})
        page = await seen(url, http, "/db-status", lambda page: page["state"] != "unavailable")
        assert page["state"] == "ok"
        assert page["probe_age_seconds"] < 60


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ballast:breaker", '{"state": "resting"}'),
        ("ballast:breaker", '{"state": "open", "reason": "weather", "since": 1, "until": 2}'),
        ("ballast:probe:last", "no JSON"),
        ("ballast:worker:host:1:aa", "[]"),
    ],
)
async def test_what_this_release_cannot_read_in_redis_ends_no_page(
    settings: Settings, queueing: Queueing, key: str, value: str
) -> None:
    queueing.inbox.beat("host:1:aa", {"queues": []})
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        queueing.client.set(key, value)
        health = await seen(url, http, "/health", lambda page: page["redis"]["error"] is not None)
        assert health["redis"]["error"].startswith("unreadable: ")
        assert health["status"] == "degraded"
        async with http.get(f"{url}/health/ready") as answer:
            assert answer.status == 200  # jobs can be taken
        for path in ("/db-status", "/db-stability"):
            async with http.get(url + path) as answer:
                assert answer.status == 200
        queueing.client.delete(key)
        await seen(url, http, "/health", lambda page: page["redis"]["error"] is None)


async def test_a_report_of_another_release_is_shown_as_far_as_it_goes(
    settings: Settings, queueing: Queueing
) -> None:
    beaten(queueing, "host:1:aa", {"queues": ["users"]})
    beaten(queueing, "host:2:bb", {"database": {"state": "resting"}})
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        page = await seen(url, http, "/db-stability", lambda page: page["engines"])
        assert page["engines"] == {"host:2:bb": {"state": "resting"}}
        assert (page["breaker"]["state"], page["total_operations"]) == ("closed", 0)
        async with http.get(f"{url}/health") as answer:
            assert (await answer.json())["database"]["breaker"] == "closed"
        async with http.get(f"{url}/metrics") as answer:
            assert answer.status == 200


def test_a_look_that_does_not_end_takes_no_jobs() -> None:
    look = StatusSnapshot(looked_at=100.0, redis_ok=True, seen_at=100.0)
    assert look.takes_jobs(100.0 + FRESH_SECONDS)
    assert not look.takes_jobs(101.0 + FRESH_SECONDS)
    health = reports.health(look, 101.0 + FRESH_SECONDS)
    assert (health["status"], health["redis"]["ok"]) == ("down", False)


def test_without_a_worker_nobody_knows_how_the_database_is() -> None:
    worker = {"beat_at": 299.0, "database": {"state": "closed"}}
    look = StatusSnapshot(
        looked_at=300.0,
        redis_ok=True,
        seen_at=300.0,
        probe={"ok": True, "probed_at": 290.0},
        processes={"a": worker},
    )
    for seen, state in (
        (look, "ok"),
        (replace(look, processes={}), "unknown"),
        (replace(look, looked_at=472.0), "unknown"),
        (replace(look, looked_at=472.0, probe_seconds=3600), "ok"),
    ):
        assert reports.health(seen, seen.looked_at)["database"]["state"] == state
        assert reports.database_status(seen, seen.looked_at)["state"] == state
        assert ("\nballast_database_away " in exposition(seen, seen.looked_at).decode()) is (state == "ok")


async def test_health_says_when_updates_do_not_reach_us(settings: Settings, queueing: Queueing) -> None:
    for number in range(2):
        beaten(queueing, f"host:{number}:aa", {"queues": []})
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        health = await seen(url, http, "/health", lambda page: page["workers"]["alive"] == 2)
        nothing = dict.fromkeys(("ok", "error", "age_seconds", "pending"))
        assert health["telegram"] == {"mode": "webhook", **nothing}
        async with http.post(f"{url}/hook", json=UPDATE, headers={SECRET_HEADER: SECRET}) as answer:
            assert answer.status == 200
        health = await seen(url, http, "/health", lambda page: page["telegram"]["ok"] is not None)
        assert health["telegram"]["ok"] is True
        assert health["telegram"]["age_seconds"] < 60
        queueing.client.set("ballast:totals", "not a hash")  # no update can be recorded so
        async with http.post(
            f"{url}/hook", json=UPDATE | {"update_id": 9}, headers={SECRET_HEADER: SECRET}
        ) as answer:
            assert answer.status == 503
        async with http.get(f"{url}/health") as answer:
            assert (await answer.json())["telegram"]["ok"] is False


async def test_pages_answer_at_once_while_redis_hangs(
    make_settings: MakeSettings, silent_redis: Queueing
) -> None:
    settings = make_settings(redis_url=silent_redis.redis_url, telegram_bot_token=TOKEN)
    async with serving(settings, silent_redis) as url, aiohttp.ClientSession() as http:
        for path in ("/health", "/db-status", "/db-stability", "/health/live"):

            async def seconds(path: str = path) -> float:
                before = time.perf_counter()
                async with http.get(url + path) as answer:
                    await answer.json()
                return time.perf_counter() - before

            # The client gives a silent Redis a second: a page that waited for it would take as long every time.
            assert min([await seconds() for _ in range(5)]) < 1.0, path
    assert isinstance(silent_redis.client, redis.Redis)


async def test_health_is_degraded_once_a_job_that_nobody_holds_back_waits_for_fifteen_seconds(
    settings: Settings, queueing: Queueing
) -> None:
    """The workers beat and take nothing."""
    beaten(queueing, "host:1:aa", {"queues": list(QUEUES)})
    client = queueing.client
    queueing.inbox.accept(Envelope.of(ShowBalance(telegram_id=9), job_id="young", lane="user:9", chat_id=9))
    queueing.inbox.accept(Envelope.of(ShowBalance(telegram_id=8), job_id="old", lane="user:8", chat_id=8))
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        health = await seen(url, http, "/health", lambda page: page["inbox"]["size"] == 2)
        assert (health["status"], health["inbox"]["overdue_seconds"]) == ("ok", None)
        client.zincrby("ballast:inbox:all", -20_000, "old")
        client.hincrby("ballast:inbox:job:old", "ready_at", -20_000)
        health = await seen(url, http, "/health", lambda page: page["inbox"]["overdue_seconds"])
        assert (health["status"], health["inbox"]["overdue_queue"]) == ("degraded", "balances")
        assert 15 <= health["inbox"]["overdue_seconds"] < health["inbox"]["oldest_seconds"] + 1
        assert queueing.inbox.claim("old", "host:1:aa") is not None
        await seen(url, http, "/health", lambda page: page["status"] == "ok")


async def test_a_job_is_found_by_the_reference_that_its_user_was_told(
    settings: Settings, queueing: Queueing
) -> None:
    inbox = queueing.inbox
    transfer = CreateTransfer(telegram_id=7, username="bob", recipient="@carol", amount=200, memo="secret")
    for job_id in ("first", "second"):
        inbox.accept(Envelope.of(transfer, job_id=job_id, lane="user:7", chat_id=7))
    inbox.accept(Envelope.of(ShowBalance(telegram_id=8), job_id="done", lane="user:8", chat_id=8))
    inbox.finish("done")
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:

        async def asked(reference: str) -> tuple[int, dict[str, Any]]:
            async with http.get(f"{url}/jobs/{reference}") as answer:
                assert "secret" not in await answer.text()
                return answer.status, await answer.json()

        code, first = await asked(reference_of("first").lower())
        assert (code, first["state"], first["job_id"]) == (200, "queued", "first")
        assert (first["kind"], first["telegram_id"], first["username"]) == ("transactions.create", 7, "bob")
        assert first["age_seconds"] < 60
        code, second = await asked(reference_of("second"))
        assert (code, second["state"]) == (200, "behind")
        assert reference_of("first") in second["waits_for"]
        override.set_override(queueing.client, "open", "web:Nadia")
        await seen(url, http, "/status.json", lambda page: page["breaker"]["paused_by"] == "Nadia")
        assert (await asked(reference_of("first")))[1]["state"] == "held_back"
        assert (await asked(reference_of("done")))[1]["state"] == "finished"
        assert (await asked(reference_of("never")))[0] == 404
        assert (await asked("short"))[0] == 400


def test_a_frontend_starts_without_what_only_the_api_or_another_language_needs() -> None:
    program = "import bot_frontend.__main__, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "starlette" in loaded.stdout.split()
    assert {"fastapi", "sqlalchemy", "babel"}.isdisjoint(loaded.stdout.split())
