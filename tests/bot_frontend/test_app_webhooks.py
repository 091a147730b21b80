"""What a provider sends to an app is a job on record before it is answered, asked over HTTP of a real server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from typing import Any

import aiohttp
import pytest
import structlog.testing
from pydantic import BaseModel

from ballast import App, Job, JobContext, Received, Refuse, UsageError, WebhookRequest
from ballast.apps.discovery import Registry, registry
from ballast.apps.installed import INSTALLED
from ballast.inbox.limits import LANE_LENGTH_MAX
from bot_frontend.web.app_webhooks import BODY_BYTES_MAX, RETRY_AFTER_SECONDS, THREADS
from dbcore.settings import Settings
from devstack.redis import EmbeddedRedis
from devstack.stack import ROOT, TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, queueing_at

SECRETIVE = "4111 1111 1111 1111"


class TopUp(Job, kind="kiosk.top_up"):
    telegram_id: int
    minor: int
    card: str = ""


class KioskSettings(BaseModel):
    secret: str = "kiosk's own"


app = App("kiosk", settings=KioskSettings)
STUCK_SECONDS: float | None = 60.0
stuck, let_go = threading.Semaphore(0), threading.Event()


@app.job(TopUp)
def top_up(ctx: JobContext, job: TopUp) -> None: ...


@app.webhook("/payments/v1")
def paid(request: WebhookRequest) -> Received | None:
    secret = request.app_settings(KioskSettings).secret
    if not hmac.compare_digest(signature(request.body, secret), request.headers.get("X-SIGNATURE", "")):
        raise Refuse("wrong signature")
    event = request.json()
    match event["type"]:
        case "ping":
            return None
        case "refund":
            raise ValueError(f"nobody expected {event}")
        case "stuck":
            stuck.release()
            let_go.wait(STUCK_SECONDS)
    return Received(TopUp(telegram_id=7, minor=event["minor"], card=SECRETIVE), key=event["id"])


@app.webhook("/odd")
async def odd(request: WebhookRequest) -> Any:
    await asyncio.sleep(0)
    match answer := request.query["answer"]:
        case "exit":
            sys.exit("an app's own words")
        case "nothing":
            return next(iter(()))
        case "hang":
            await asyncio.Event().wait()
    return answer


def signature(body: bytes, secret: str = KioskSettings().secret) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr("dbcore.settings.reading._of_apps", set())
    monkeypatch.setitem(INSTALLED.handlers, TopUp.kind, app.jobs[TopUp])
    return registry((app,))


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(redis_url=redis_url, telegram_bot_token=TOKEN, ops_token="0123456789abcdef")


class Provider:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = f"{url}/apps/kiosk"
        self.http = http

    async def sends(self, event: Any, **headers: str) -> tuple[int, str, str]:
        """Status, error and Retry-After."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        headers = {"X-Signature": signature(body), **headers}
        async with self.http.post(f"{self.url}/payments/v1", data=body, headers=headers) as answer:
            said = await answer.text()
            return (
                answer.status,
                json.loads(said)["error"] if said else "",
                answer.headers.get("Retry-After", ""),
            )


def paid_event(number: int) -> dict[str, Any]:
    return {"type": "paid", "id": f"evt {number} / 2026", "minor": number}


async def test_an_event_is_one_job_on_record_and_whatever_is_not_genuine_is_none(
    settings: Settings, queueing: Queueing, apps: Registry
) -> None:
    async with serving(settings, queueing, apps) as url, aiohttp.ClientSession() as http:
        provider = Provider(url, http)
        with structlog.testing.capture_logs() as logs:
            for _ in range(15):  # a provider's own token is no wrong one of ours
                assert (await provider.sends(paid_event(5), Authorization="Bearer theirs"))[0] == 200
            assert await provider.sends({"type": "ping"}) == (200, "", "")
            assert await provider.sends(paid_event(6), **{"X-Signature": "0"}) == (400, "wrong signature", "")
            assert await provider.sends(b"{") == (400, "expected JSON", "")
            assert await provider.sends(b"[" * 200_000) == (400, "expected JSON", "")
            assert await provider.sends({"type": "refund", "card": SECRETIVE}) == (
                500,
                "this cannot be processed",
                "",
            )
            for odd_answer in ("yes", "exit", "nothing"):
                async with http.post(f"{provider.url}/odd?answer={odd_answer}", data=b"x") as answer:
                    assert (answer.status, await answer.json()) == (
                        500,
                        {"error": "this cannot be processed"},
                    )
            status, error, _ = await provider.sends(b" " * (BODY_BYTES_MAX + 1))
            assert (status, error) == (413, "more than 262144 bytes")
            for path, expected in (("payments/v1", 405), ("nothing", 404)):
                async with http.get(f"{provider.url}/{path}") as answer:
                    assert answer.status == expected
    assert queueing.inbox.size() == 1
    (name,) = queueing.client.keys("ballast:inbox:job:*")
    record = queueing.client.hgetall(name)
    assert record[b"lane"] == b"user:7"
    assert json.loads(record[b"envelope"])["fields"] == {"telegram_id": 7, "minor": 5, "card": SECRETIVE}
    assert queueing.client.llen("transactions") == 1
    said = str(logs)
    assert "ValueError (test_app_webhooks.py, line " in said
    assert SECRETIVE not in said


async def test_what_cannot_be_recorded_is_asked_for_again(
    make_settings: MakeSettings, own_redis: EmbeddedRedis, apps: Registry
) -> None:
    settings = make_settings(redis_url=own_redis.url, telegram_bot_token=TOKEN)
    again = (503, "cannot record this now", str(RETRY_AFTER_SECONDS))
    with queueing_at(own_redis.url) as queueing:
        async with serving(settings, queueing, apps) as url, aiohttp.ClientSession() as http:
            provider = Provider(url, http)
            assert (await provider.sends(paid_event(1)))[0] == 200
            await asyncio.to_thread(own_redis.stop)
            assert await provider.sends(paid_event(2)) == again
            assert (await provider.sends({"type": "ping"}))[0] == 200
            await asyncio.to_thread(own_redis.start)
            async with asyncio.timeout(30):
                while (await provider.sends(paid_event(2)))[0] != 200:
                    await asyncio.sleep(0.05)
            assert (await provider.sends(paid_event(1)))[0] == 200  # on record since before
            assert queueing.inbox.size() == 2
            queueing.client.rpush("ballast:inbox:lane:outbox:7", *range(LANE_LENGTH_MAX))
            assert (await provider.sends(paid_event(3)))[:2] == (503, "too much is waiting")


async def test_a_function_that_does_not_return_keeps_nobody_else_waiting(
    settings: Settings, queueing: Queueing, apps: Registry
) -> None:
    try:
        limited = serving(settings, queueing, apps, app_webhook_seconds_max=1.5)
        async with limited as url, aiohttp.ClientSession() as http:
            provider = Provider(url, http)
            event = {**paid_event(1), "type": "stuck"}
            late = [asyncio.create_task(provider.sends(event)) for _ in range(THREADS - 1)]
            for _ in late:
                assert await asyncio.to_thread(stuck.acquire, timeout=30)
            assert (await provider.sends(paid_event(2)))[0] == 200
            assert [status for status, _, _ in await asyncio.gather(*late)] == [503] * len(late)
            async with http.get(f"{url}/health/live") as answer:
                assert answer.status == 200
            assert queueing.inbox.size() == 1
            let_go.set()
    finally:
        let_go.set()


async def test_coroutines_that_do_not_return_give_their_threads_back(
    settings: Settings, queueing: Queueing, apps: Registry
) -> None:
    limited = serving(settings, queueing, apps, app_webhook_seconds_max=1.0)
    async with limited as url, aiohttp.ClientSession() as http:

        async def hangs() -> int:
            async with http.post(f"{url}/apps/kiosk/odd?answer=hang", data=b"x") as answer:
                return answer.status

        assert await asyncio.gather(*(hangs() for _ in range(THREADS))) == [503] * THREADS
        async with asyncio.timeout(30):
            while (await Provider(url, http).sends({"type": "ping"}))[0] != 200:
                await asyncio.sleep(0.05)


FRONTEND_WITH_A_STUCK_FUNCTION = """
import asyncio, sys, aiohttp
from dbcore.settings import Settings
from tests.bot_frontend import test_app_webhooks as kiosk
from tests.harness.queueing import queueing_at

async def main(queueing):
    settings = Settings(_env_file=None, redis_url=queueing.redis_url, telegram_bot_token=kiosk.TOKEN)
    limited = kiosk.serving(settings, queueing, kiosk.registry((kiosk.app,)), app_webhook_seconds_max=1.0)
    async with limited as url, aiohttp.ClientSession() as http:
        kept = asyncio.create_task(kiosk.Provider(url, http).sends({"type": "stuck"}))
        assert await asyncio.to_thread(kiosk.stuck.acquire, timeout=30)
        kept.cancel()

kiosk.STUCK_SECONDS = None
with queueing_at(sys.argv[1]) as queueing:
    asyncio.run(main(queueing))
print("ended")
"""


def test_a_function_that_never_returns_keeps_no_frontend_from_ending(redis_url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FRONTEND_WITH_A_STUCK_FUNCTION, redis_url],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
    )
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["ended"]), ended.stderr


@pytest.mark.parametrize("path", ["payments", "/", "/a//b", "/a/../b", "/{x}", "/a?b", "/" + "x" * 61])
def test_a_path_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="expected a path such as '/payments'"):
        App("shop").webhook(path)


def test_a_webhook_is_refused_where_it_cannot_work() -> None:
    shop = App("shop")
    shop.webhook("/payments")(paid)
    with pytest.raises(UsageError, match="/payments is registered already: paid"):
        shop.webhook("/payments")
    with pytest.raises(UsageError, match=r"its function is called as \(request\)"):
        shop.webhook("/refunds")(lambda: None)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="the event's id, a text of 1 to 500 characters"):
        Received(TopUp(telegram_id=7, minor=1), key="")
