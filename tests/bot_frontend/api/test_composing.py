"""Broadcasts that are drawn up over the API: as a page or a program does it, and refused where they cannot be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ballast.broadcasts import trial_results
from dbcore import admin_actions
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.settings import Settings
from tests.bot_frontend.api.conftest import Client
from tests.harness.queueing import Queueing

ADMIN = 4242


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"admin_ids": frozenset({ADMIN})})


def person(engine: GuardedEngine, number: int, balance: int = 0, language: str | None = None) -> None:
    users.get_or_create(engine, profile=users.Profile(number, None, "Ann", language))
    if balance:
        target = users.UserRef(telegram_id=number)
        ledger.adjust(engine, key=f"of-{number}", target=target, amount=balance, memo="", actor="t")


async def counted(api: Client, segment: dict[str, Any]) -> int:
    shown = await api.post("/broadcasts/preview?count=true", {"text": "x", "segment": segment})
    assert shown.status == 200, shown.body
    return int(shown.body["audience"])


async def test_a_preview_shows_the_text_as_telegram_would_and_how_many_get_it(
    api: Client, engine: GuardedEngine
) -> None:
    person(engine, 1)
    shown = await api.post(
        "/broadcasts/preview?count=true",
        {
            "text": ' <b>Hi <i>all</i></b>, see <a href="https://example.org/?a=1&amp;b=2">this</a> ',
            "paid": True,
            "stars_max": 5,
        },
    )
    assert shown.body["text"] == [
        {"text": "Hi ", "looks": ["bold"], "url": None},
        {"text": "all", "looks": ["bold", "italic"], "url": None},
        {"text": ", see ", "looks": [], "url": None},
        {"text": "this", "looks": ["link"], "url": "https://example.org/?a=1&b=2"},
    ]
    assert (shown.body["audience"], shown.body["stars"], shown.body["other"]) == (1, 1, None)
    plain = {"text": "😀 <b>bold</b>", "entities": [{"type": "bold", "offset": 3, "length": 11}]}
    shown = await api.post("/broadcasts/preview", plain)
    assert [(each["text"], each["looks"]) for each in shown.body["text"]] == [
        ("😀 ", []),
        ("<b>bold</b>", ["bold"]),
    ]
    assert shown.body["audience"] is None
    refused = await api.post("/broadcasts/preview", {"text": "<b>Hi</i>"})
    assert (refused.status, refused.kind) == (409, "unsendable")
    assert "line 1, character 6" in refused.body["detail"]


async def test_a_broadcast_is_drawn_up_once_and_sent_when_it_is_started(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    person(engine, 1)
    body = {
        "text": "<b>News</b>",
        "other": {"text": "Novelties"},
        "media": {"type": "photo", "file_id": "AgAC-1"},
        "buttons": [[{"text": "Look", "url": "https://example.org"}, {"text": "Later", "data": "later"}]],
        "segment": {"active_days": 30},
        "canary": 5,
        "canary_rule": {"failures_max": 10},
    }
    for replayed in (None, "true"):
        made = await api.post("/broadcasts", body, once="news-1")
        assert (made.status, made.body["status"], made.body["text"]) == (200, "draft", "News"), made.body
        assert made.headers.get("idempotency-replayed") == replayed
    number = made.body["id"]
    assert (
        await api.post("/broadcasts", {**body, "canary": 6}, once="news-1")
    ).kind == "idempotency-key-reused"
    kept = broadcasts.require(engine, number)
    assert kept.payload == {
        "text": "<b>News</b>",
        "other": {"text": "Novelties"},
        "media": {"type": "photo", "file_id": "AgAC-1"},
        "buttons": body["buttons"],
    }
    assert (kept.actor, kept.canary, kept.canary_rule) == ("api:owner", 5, {"failures_max": 10.0})
    assert (await api.post(f"/broadcasts/{number}/start")).body["status"] == "sending"
    actions = [(each.action, each.target) for each in reversed(admin_actions.recent(engine, 10))]
    assert actions == [("broadcast.create", str(number)), ("broadcast.start", str(number))]
    variants = (await api.get(f"/broadcasts/{number}/variants")).body["items"]
    assert [(each["name"], each["text"]) for each in variants] == [("a", "News"), ("b", "Novelties")]
    assert sum(each["audience"] for each in variants) == 1
    report = await api.get(f"/broadcasts/{number}/recipients.csv")
    assert report.body == "telegram_id,status,error,sent_at\n1,pending,,\n"


async def test_a_scheduled_one_waits_for_its_time(api: Client, engine: GuardedEngine) -> None:
    time = datetime.now(UTC) + timedelta(hours=1)
    made = await api.post("/broadcasts", {"text": "x", "scheduled_for": time.isoformat()})
    assert made.body["status"] == "draft"
    started = await api.post(f"/broadcasts/{made.body['id']}/start")
    assert (started.body["status"], started.body["audience"]) == ("scheduled", None)
    past = await api.post("/broadcasts", {"text": "x", "scheduled_for": "2020-01-01T00:00:00Z"})
    assert (past.status, past.kind) == (409, "unsendable") and "a time to come" in past.body["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "<b>"},
        {"text": "x" * 4097},
        {"text": "x" * 1025, "media": {"type": "photo", "file_id": "a"}},
        {"other": {"text": "b"}, "media": {"type": "photo", "file_id": "a"}},
        {"text": "x", "other": {"text": "<i>"}},
        {"text": "x", "buttons": [[{"text": "a"}]]},
        {"text": "x", "segment": {"balance_min": 5, "balance_max": 4}},
        {"text": "x", "paid": True},
    ],
)
async def test_what_telegram_would_refuse_is_refused_before(api: Client, body: dict[str, Any]) -> None:
    refused = await api.post("/broadcasts", body)
    assert (refused.status, refused.kind) == (409, "unsendable"), refused.body


async def test_each_part_of_a_segment_chooses_whom_it_says(api: Client, engine: GuardedEngine) -> None:
    person(engine, 1, 100, "de")
    person(engine, 2, 500, "en")
    person(engine, 3)
    now = datetime.now(UTC)
    soon, before = (now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).isoformat()
    for segment, people in (
        ({}, 3),
        ({"language": "de"}, 1),
        ({"balance_min": 100}, 2),
        ({"balance_max": 100}, 2),
        ({"balance_min": 1, "balance_max": 499}, 1),
        ({"active_days": 1}, 3),
        ({"seen_until": soon}, 3),
        ({"seen_until": before}, 0),
        ({"joined_since": before}, 3),
        ({"joined_since": soon}, 0),
        ({"telegram_ids": [2, 3, 9]}, 2),
        ({"sql": "SELECT telegram_id FROM ballast.users WHERE telegram_id > 1; "}, 2),
        ({"sql": "SELECT 3, 'beside' -- a word", "telegram_ids": [2, 3]}, 1),
        ({"sql": "SELECT 3 WHERE false"}, 0),
    ):
        assert await counted(api, segment) == people, segment


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM ballast.users",
        "SELECT 1; DELETE FROM ballast.users",
        "SELECT 1) AS own (id)) AS few; DELETE FROM ballast.users; SELECT (SELECT (SELECT 1",
        "WITH gone AS (DELETE FROM ballast.users RETURNING telegram_id) SELECT * FROM gone",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT nextval('ballast.users_id_seq')",
        "SELECT 'no number'",
        "SELEC 1",
        "SELECT n FROM generate_series(1, 1000001) AS n",
        "",
    ],
)
async def test_a_query_can_only_read_a_list_of_ids(api: Client, engine: GuardedEngine, query: str) -> None:
    person(engine, 1)
    refused = await api.post(
        "/broadcasts/preview?count=true", {"text": "x", "segment": {"sql": query or " "}}
    )
    assert (refused.status, refused.kind) == (409, "conflict"), refused.body
    assert await counted(api, {}) == 1
    assert (await api.get("/broadcasts")).status == 200, "and the breaker was told of no failure"


async def test_a_query_is_for_an_owner_alone(api: Client) -> None:
    body = {"text": "x", "segment": {"sql": "SELECT 1"}}
    key = api.key_for("broadcasts:write")
    for path in ("/broadcasts", "/broadcasts/preview"):
        assert (await api.post(path, body, key=key)).kind == "forbidden"
    assert (await api.post("/broadcasts", body)).status == 200


async def test_a_segment_that_no_app_has_sends_to_nobody(api: Client, engine: GuardedEngine) -> None:
    person(engine, 1)
    made = await api.post("/broadcasts", {"text": "x", "segment": {"app": "shop.regulars"}})
    refused = await api.post(f"/broadcasts/{made.body['id']}/start")
    assert refused.kind == "conflict" and "no app has the segment shop.regulars" in refused.body["detail"]
    assert broadcasts.require(engine, made.body["id"]).status is BroadcastStatus.DRAFT


async def test_a_test_goes_to_an_admin_and_is_one_job(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    number = (await api.post("/broadcasts", {"text": "x"})).body["id"]
    assert (await api.post(f"/broadcasts/{number}/test", {"telegram_id": 7})).kind == "conflict"
    for _ in range(2):
        answer = await api.post(f"/broadcasts/{number}/test", {"telegram_id": ADMIN}, once="try-1")
        assert answer.status == 200, answer.body
    assert queueing.inbox.size() == 1
    told = await api.get(f"/broadcasts/{number}/tests")
    assert told.body["items"] == [{"telegram_id": ADMIN, "sent": None, "error": None}]
    trial_results.end(queueing.client, number, ADMIN, "of-another-order", "x")
    trial_results.end(queueing.client, number, ADMIN, "api-try-1-test", "Bad Request: no")
    told = await api.get(f"/broadcasts/{number}/tests")
    assert told.body["items"] == [{"telegram_id": ADMIN, "sent": False, "error": "Bad Request: no"}]
    options = await api.get("/broadcasts/options")
    assert options.body == {"apps": [], "admins": [ADMIN]}


async def test_what_is_malformed_is_invalid_and_what_contradicts_itself_is_unsendable(api: Client) -> None:
    malformed = {"text": "x", "scheduled_for": 5}
    assert (await api.post("/broadcasts", malformed)).kind == "invalid"
    segment = {"balance_min": 5, "balance_max": 4}
    for both in ({**malformed, "segment": segment}, {**malformed, "text": "<b>"}):
        assert (await api.post("/broadcasts", both)).kind == "invalid"
    for contradiction in ({"text": "x", "segment": segment}, {"text": "<b>"}):
        assert (await api.post("/broadcasts", contradiction)).kind == "unsendable"
