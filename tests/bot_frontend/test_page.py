"""Who sees the status page, who may act from it, and that nobody else can."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import structlog.testing

from ballast.builtin.status import OperatorAction
from ballast.queueing.envelope import Envelope
from bot_frontend.web.login_throttle import (
    SLOW_SECONDS,
    TRIES_MAX,
    TRIES_MAX_OF_PEER,
    TRIES_MAX_OF_PEER_IN_ALL,
    WAITING_MAX,
    LoginThrottle,
)
from bot_frontend.web.monitor import Monitor
from bot_frontend.web.page import PAGES
from dbcore.breaker import FleetStore, read_breaker
from dbcore.breaker.rules import BreakerState
from dbcore.settings import Settings
from devstack.stack import TOKEN
from tests.bot_frontend.test_web import beaten, serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

OPS_TOKEN = "sesame, open, sesame"
BY_BROWSER = {"Accept": "text/html,application/xhtml+xml"}
BEARER = {"Authorization": f"Bearer {OPS_TOKEN}"}


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(redis_url=redis_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN)


@asynccontextmanager
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def sign_in(http: aiohttp.ClientSession, url: str, token: str = OPS_TOKEN, **headers: str) -> int:
    form = {"token": token, "name": "Ada"}
    async with http.post(f"{url}/sign-in", data=form, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def status(http: aiohttp.ClientSession, url: str, **headers: str) -> dict[str, Any]:
    async with http.get(f"{url}/status.json", headers=headers) as answer:
        assert answer.status == 200
        page: dict[str, Any] = await answer.json()
        return page


async def order(
    http: aiohttp.ClientSession,
    url: str,
    headers: dict[str, str],
    action: str = "breaker.open",
    target: str = "",
    action_id: str | None = None,
) -> tuple[int, dict[str, Any]]:
    body = {"action": action, "target": target, "id": action_id or str(uuid.uuid4())}
    async with http.post(f"{url}/actions", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_browser_is_asked_to_sign_in_and_a_machine_for_the_token(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        async with http.get(url, headers=BY_BROWSER) as answer:
            assert (answer.status, answer.content_type) == (401, "text/html")
            assert 'action="/sign-in"' in await answer.text()
        async with http.get(f"{url}/sign-in", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
        for path in ("/", "/status.json", "/status/probes.json"):
            async with http.get(url + path) as answer:
                assert (answer.status, answer.content_type) == (401, "application/json")
        async with http.get(url, headers=BEARER) as answer:
            assert (await answer.json())["verdict"]["state"] == "degraded"


@pytest.mark.parametrize(
    ("asked", "led_to"),
    [
        ("/broadcasts/new", "/broadcasts/new"),
        ("/failed-jobs", "/failed-jobs"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/static/evil", "/"),
        ("", "/"),
    ],
)
async def test_a_sign_in_leads_to_the_page_that_was_asked_for_and_nowhere_else(
    settings: Settings, queueing: Queueing, asked: str, led_to: str
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        address, form = f"{url}/sign-in", {"token": OPS_TOKEN}
        for answer in (
            await http.post(address, data=form, params={"page": asked}, allow_redirects=False),
            await http.get(address, params={"page": asked}, allow_redirects=False),
        ):
            assert (answer.status, answer.headers["Location"]) == (303, led_to)


async def test_every_page_is_one_that_a_sign_in_leads_to(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        for page in PAGES:
            async with http.get(url + page, headers=BY_BROWSER) as answer:
                assert (answer.status, answer.content_type) == (401, "text/html")
                assert "/static/sign-in.js" in await answer.text()


async def test_who_signs_in_sees_the_page_and_may_act(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        assert await sign_in(http, url, token="wrong") == 401
        assert await sign_in(http, url) == 303
        async with http.get(url, headers=BY_BROWSER) as answer:
            assert answer.status == 200
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        actions = (await status(http, url))["actions"]
        assert (actions["allowed"], actions["signed_in_as"]) == (True, "Ada")
        assert (await order(http, url, {"X-CSRF-Token": actions["csrf"]}))[0] == 202
        (event,) = FleetStore(queueing.client).recent()
        assert event.by == "web:Ada (operator)"
        async with http.post(f"{url}/sign-out", headers=BY_BROWSER) as answer:
            assert answer.status == 401
        async with http.get(f"{url}/status.json") as answer:
            assert answer.status == 401


async def test_the_cookie_is_for_this_page_alone(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
            form = {"token": OPS_TOKEN}
            async with http.post(
                f"{url}/sign-in", data=form, headers=headers, allow_redirects=False
            ) as answer:
                cookie = answer.headers["Set-Cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert ("secure" in cookie) is secure
            assert OPS_TOKEN not in cookie


async def test_a_session_ends_when_the_token_changes(
    settings: Settings, make_settings: MakeSettings, queueing: Queueing
) -> None:
    async with browser() as http:
        async with serving(settings, queueing) as url:
            assert await sign_in(http, url) == 303
        async with serving(settings, queueing) as url:
            await status(http, url)  # cookies know no ports; the session holds on every frontend
        changed = make_settings(
            redis_url=queueing.redis_url, telegram_bot_token=TOKEN, ops_token="another-open-another"
        )
        async with serving(changed, queueing) as url, http.get(f"{url}/status.json") as answer:
            assert answer.status == 401


@pytest.fixture
def quicker_turns(monkeypatch: pytest.MonkeyPatch) -> float:
    """Those who guess are judged twice a second."""
    monkeypatch.setattr("bot_frontend.web.login_throttle.SLOW_SECONDS", 0.5)
    return 0.5


async def test_guesses_at_once_are_no_way_past_the_limit(
    settings: Settings, queueing: Queueing, quicker_turns: float
) -> None:
    """All headers come first, and no body before the last of them."""
    guesses = 60
    async with serving(settings, queueing) as url:
        port = int(url.rpartition(":")[2])
        body = b"token=guess"
        connections = []
        for _ in range(guesses):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body))
            connections.append((reader, writer))
        for _, writer in connections:
            await writer.drain()
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health/live"):
            pass  # one after the other: by now all headers were read
        began = time.monotonic()
        for _, writer in connections:
            writer.write(body)
        answers = [(await reader.read()).split(b" ", 2)[1] for reader, _ in connections]
        for _, writer in connections:
            writer.close()
    judged = answers.count(b"401")
    assert judged <= TRIES_MAX + WAITING_MAX + 1 + (time.monotonic() - began) / quicker_turns
    assert answers.count(b"429") == guesses - judged


async def test_the_right_token_gets_in_where_others_guess(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        for guess in range(TRIES_MAX + 2):
            if guess % 2:
                assert await sign_in(http, url, token="guess") == 401
            else:
                async with http.get(url, headers={"Authorization": "Bearer guess"}) as answer:
                    assert answer.status == 401
        assert await sign_in(http, url) == 303
        await status(http, url, **BEARER)


@pytest.mark.usefixtures("quicker_turns")
async def test_guesses_by_bearer_are_limited_and_logged(settings: Settings, queueing: Queueing) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(settings, queueing) as url, browser() as http:

            async def guess() -> int:
                async with http.get(url, headers={"Authorization": "Bearer guess"}) as answer:
                    return answer.status

            answers = await asyncio.gather(*(guess() for _ in range(80)))
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 2 * (TRIES_MAX + WAITING_MAX)
    events = [line["event"] for line in logs]
    assert events.count("token_refused") == answers.count(401)
    assert events.count("tokens_guessed") == 1


async def test_each_visitor_of_a_trusted_proxy_has_tries_of_their_own(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        for _ in range(TRIES_MAX):
            assert await sign_in(http, url, token="guess", **{"X-Forwarded-For": "192.0.2.1"}) == 401
        seconds = []
        for visitor in range(2, 5):
            other = {
                "X-Forwarded-For": f"192.0.2.1, 192.0.2.{visitor}"
            }  # what a proxy appends counts, not what came to it
            began = time.monotonic()
            assert await sign_in(http, url, token="guess", **other) == 401
            seconds.append(time.monotonic() - began)
        assert min(seconds) < SLOW_SECONDS  # who had to wait for the first one's turns would each time


@pytest.mark.usefixtures("quicker_turns")
async def test_the_right_token_gets_in_where_addresses_guess_behind_the_same_proxy(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:

        async def guess(number: int) -> int:
            headers = {"X-Forwarded-For": f"192.0.2.{number % 20}", "Authorization": "Bearer guess"}
            async with http.get(url, headers=headers) as answer:
                return answer.status

        answers = await asyncio.gather(*(guess(number) for number in range(400)))
        # The rest: a slow machine answers one that waited, and takes another in its place.
        assert answers.count(429) >= (400 - TRIES_MAX_OF_PEER - WAITING_MAX) / 2
        guesses = [asyncio.ensure_future(guess(number)) for number in range(400)]
        refused = 0
        for answer in asyncio.as_completed(guesses):  # a slow machine answers one that waited in between
            refused += await answer == 429
            if refused == 100:  # all places to wait in are taken
                break
        assert refused == 100
        assert await sign_in(http, url, token="mistyped", **{"X-Forwarded-For": "192.0.2.99"}) == 401
        assert await sign_in(http, url, **{"X-Forwarded-For": "192.0.2.99"}) == 303
        assert not all(one.done() for one in guesses)
        await asyncio.gather(*guesses)


@pytest.mark.usefixtures("quicker_turns")
async def test_made_up_addresses_share_a_limit() -> None:
    tries = LoginThrottle()

    async def guess(number: int) -> bool:
        return await tries.turn(f"2001:db8::{number:x}", "192.0.2.1") is not None

    count = TRIES_MAX_OF_PEER_IN_ALL + 200
    answers = await asyncio.gather(*(guess(number) for number in range(count)))
    assert answers.count(False) >= (200 - WAITING_MAX) / 2


async def test_who_is_no_trusted_proxy_speaks_for_nobody(
    make_settings: MakeSettings, redis_url: str, queueing: Queueing
) -> None:
    settings = make_settings(
        redis_url=redis_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN, trusted_proxies="192.0.2.0/24"
    )
    with structlog.testing.capture_logs() as logs:
        async with serving(settings, queueing) as url, browser() as http:
            assert await sign_in(http, url, token="guess", **{"X-Forwarded-For": "192.0.2.9"}) == 401
    assert [line["address"] for line in logs if line["event"] == "sign_in_refused"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {OPS_TOKEN}"}, 401),
        ({**BEARER, "Origin": "https://evil.example"}, 403),
        ({**BEARER, "Origin": "null"}, 403),
    ],
)
async def test_nobody_else_acts(
    settings: Settings, queueing: Queueing, headers: dict[str, str], expected: int
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        assert (await order(http, url, headers))[0] == expected
    assert read_breaker(queueing.client).state is BreakerState.CLOSED
    assert queueing.inbox.size() == 0


async def test_a_session_acts_by_its_own_page_alone(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        assert await sign_in(http, url, Origin="https://evil.example") == 403
        assert await sign_in(http, url) == 303
        csrf = {"X-CSRF-Token": (await status(http, url))["actions"]["csrf"]}
        for headers in (
            {},
            {"X-CSRF-Token": "wrong"},
            {**csrf, "Origin": "https://evil.example"},
            {**csrf, "Origin": url.replace("127.0.0.1", "localhost")},
        ):
            assert (await order(http, url, headers))[0] == 403
        assert read_breaker(queueing.client).state is BreakerState.CLOSED
        assert (await order(http, url, {**csrf, "Origin": url}))[0] == 202
        assert read_breaker(queueing.client).state is BreakerState.FORCED_OPEN


async def test_without_a_token_set_nobody_acts(
    make_settings: MakeSettings, redis_url: str, queueing: Queueing
) -> None:
    settings = make_settings(redis_url=redis_url, telegram_bot_token=TOKEN)
    async with serving(settings, queueing) as url, browser() as http:
        assert (await status(http, url))["actions"]["allowed"] is False
        answer = await order(http, url, BEARER)
        assert answer == (403, {"error": "Set OPS_TOKEN and sign in to act from here."})
        assert await sign_in(http, url) == 401


async def test_an_order_that_comes_twice_is_obeyed_once(settings: Settings, queueing: Queueing) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        opened = str(uuid.uuid4())
        for _ in range(2):
            code, answer = await order(http, url, BEARER, action_id=opened)
            assert (code, answer["state"], answer["id"]) == (202, "done", opened)
        await order(http, url, BEARER, "breaker.auto")
        code, _ = await order(http, url, BEARER, action_id=opened)  # a copy that took its time
        assert code == 202
        assert read_breaker(queueing.client).state is BreakerState.CLOSED
        assert len(FleetStore(queueing.client).recent()) == 2
        code, answer = await order(http, url, BEARER, "breaker.close", action_id=opened)
        assert code == 409
        letter = str(uuid.uuid4())
        for _ in range(2):
            code, answer = await order(http, url, BEARER, "dead_letter.retry", "7F3KQ2MA", letter)
            assert (code, answer["state"]) == (202, "queued")
    record = queueing.client.hget(f"ballast:inbox:job:action-{letter}", "envelope")
    assert isinstance(record, bytes)
    job = OperatorAction.decode(Envelope.model_validate_json(record).fields)
    assert (job.actor, job.action, job.target) == ("token", "dead_letter.retry", "7F3KQ2MA")
    assert queueing.inbox.size() == 3  # two words for the books, one letter


@pytest.mark.parametrize(
    ("action", "target"),
    [
        ("breaker.explode", ""),
        ("breaker.open", "x"),
        ("dead_letter.retry", ""),
        ("dead_letter.retry", "7F3KQ2MA\n"),
        ("broadcast.pause", "-1"),
        ("broadcast.pause", "1; DROP TABLE users"),
    ],
)
async def test_an_order_that_makes_no_sense_gets_a_clear_error(
    settings: Settings, queueing: Queueing, action: str, target: str
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        code, answer = await order(http, url, BEARER, action, target)
        assert code == 400
        assert answer["error"].startswith("workers.health.act: ")
        assert (await order(http, url, BEARER, action_id="not-a-uuid"))[0] == 400
        for body in (b"", b"[]", b'{"id": 1}', b"[" * 4000, b" " * 5000):
            async with http.post(f"{url}/actions", data=body, headers=BEARER) as refused:
                assert refused.status == 400
    assert queueing.inbox.size() == 0


async def test_an_order_while_redis_hangs_is_honestly_refused_and_no_page_waits_for_it(
    make_settings: MakeSettings, silent_redis: Queueing
) -> None:
    settings = make_settings(redis_url=silent_redis.redis_url, telegram_bot_token=TOKEN, ops_token=OPS_TOKEN)
    async with serving(settings, silent_redis) as url, browser() as http:
        ordering = [asyncio.create_task(order(http, url, BEARER)) for _ in range(10)]
        page = await status(http, url, **BEARER)
        assert page["verdict"]["state"] == "down"
        assert not any(each.done() for each in ordering), "a page is there before Redis's second is over"
        for code, answer in await asyncio.gather(*ordering):
            assert code == 503
            assert "Redis does not answer" in answer["error"]


async def test_the_pages_files_are_open_and_nothing_beside_them_is(
    settings: Settings, queueing: Queueing
) -> None:
    async with serving(settings, queueing) as url, browser() as http:
        async with http.get(f"{url}/static/status.js") as answer:
            assert (answer.status, answer.content_type) == (200, "text/javascript")
            assert answer.headers["Cache-Control"] == "no-cache"
            etag = answer.headers["ETag"]
        async with http.get(f"{url}/static/status.js", headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
        for path in ("/static/", "/static/nothing.js", "/static/..%2fapp.py", "/static/%2e%2e/app.py"):
            async with http.get(url + path) as answer:
                assert answer.status == 404, path


async def test_a_worker_is_asked_for_the_board_only_while_somebody_watches(
    settings: Settings, queueing: Queueing
) -> None:
    asked: list[float] = []
    monitor = Monitor(queueing.client, settings, ask_for_board=lambda: asked.append(time.monotonic()))
    beaten(queueing, "host:1:aa", {"queues": ["health"]})

    async def looks(count: int) -> None:
        for _ in range(count):
            before = monitor.latest.seen_at
            while monitor.latest.seen_at == before:
                await asyncio.sleep(0.02)

    monitor.start()
    try:
        await looks(3)
        assert asked == []
        monitor.watched()
        await looks(3)
        assert len(asked) == 1
        monitor.watched()
        await looks(3)
        assert len(asked) == 1, "nobody answered yet, and another message would not help"
    finally:
        await asyncio.to_thread(monitor.stop)
