"""What the API says of people beside their money, and who may ask as the page does."""

from __future__ import annotations

import csv
import io

import pytest

from dbcore import outbox
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_transfers, users
from dbcore.ledger.users import Profile, UserRef
from tests.bot_frontend.api.conftest import OPS_TOKEN, Client

ANN = Profile(11, "ann", "=Ann")


@pytest.fixture
def people(engine: GuardedEngine) -> None:
    users.get_or_create(engine, profile=ANN)
    users.get_or_create(engine, profile=Profile(12, "bob", "Bob"))
    ledger.adjust(
        engine, key="people", target=UserRef(telegram_id=11), amount=1000, memo="=1+1", actor="a test"
    )
    for number, amount in enumerate((5_000, 5)):
        pending_transfers.create(
            engine, key=f"p{number}", sender=ANN, recipient=UserRef(telegram_id=12), amount=amount, memo=""
        )


@pytest.mark.usefixtures("people")
async def test_what_failed_and_what_waits_for_somebody_is_told_in_words(api: Client) -> None:
    (failure,) = (await api.get("/users/11/failures")).body["items"]
    assert (failure["amount"], failure["why"]) == (5_000, "There was not enough money.")
    (waiting,) = (await api.get("/users/11/waiting")).body["items"]
    assert (waiting["what"], waiting["amount"], waiting["counterparty"]["username"]) == (
        "confirmation",
        5,
        "bob",
    )
    assert (await api.get("/users/11/broadcasts")).body["items"] == []
    for path in ("failures", "waiting", "broadcasts"):
        assert (await api.get(f"/users/404404/{path}")).kind == "not-found"
        assert (await api.get(f"/users/11/{path}", key=api.key_for("jobs:read"))).status == 403


@pytest.mark.usefixtures("people")
async def test_somebody_is_written_to_once_and_their_data_is_erased(
    api: Client, engine: GuardedEngine
) -> None:
    for _ in range(2):
        assert (await api.post("/users/12/message", {"text": "Hello"}, once="m")).body == {"telegram_id": 12}
    (told,) = outbox.first(engine, 10)
    assert (told.kind, told.telegram_id) == ("replies.tell_user", 12)
    assert (await api.post("/users/12/erase", {"reason": "asked by letter"})).status == 200
    erased = (await api.get("/users/12")).body
    assert (erased["username"], erased["first_name"]) == (None, "")
    assert (await api.post("/users/404404/erase", {"reason": "x"})).kind == "not-found"


@pytest.mark.usefixtures("people")
async def test_lists_are_streamed_as_csv_in_which_nothing_is_run(api: Client) -> None:
    for path, wanted in (
        ("/users.csv", ("first_name", "'=Ann")),
        ("/users/11/movements.csv", ("memo", "'=1+1")),
        ("/transfers.csv", ("memo", "'=1+1")),
    ):
        answer = await api.get(path)
        assert answer.headers["content-type"].startswith("text/csv")
        rows = [*csv.DictReader(io.StringIO(answer.body))]
        assert wanted[1] in {row[wanted[0]] for row in rows}
        assert (await api.get(path, key=api.key_for("jobs:read"))).status == 403
    for path in (
        "/users.csv?balance_min=999999999",
        "/users/11/movements.csv?kind=nothing",
        "/transfers.csv?status=rejected&until=2001-01-01T00:00:00Z",
    ):
        answer = await api.get(path)
        assert (answer.status, len(answer.body.splitlines())) == (200, 1), path


@pytest.mark.usefixtures("people")
async def test_a_session_of_the_page_reads_and_acts_only_with_its_own_token(api: Client) -> None:
    root = api.url.removesuffix("/api/v1")
    async with api.http.post(
        f"{root}/sign-in", data={"token": OPS_TOKEN, "name": "Nadia"}, allow_redirects=False
    ) as signed_in:
        assert signed_in.status == 303
        cookie = signed_in.headers["Set-Cookie"].partition(";")[0]
    async with api.http.get(f"{root}/status.json", headers={"Cookie": cookie}) as status:
        csrf = (await status.json())["actions"]["csrf"]
    assert (await api.get("/users/11", key=None, Cookie=cookie)).body["first_name"] == "=Ann"
    order = {"reason": "taken over"}
    for headers in (
        {},
        {"X-CSRF-Token": "guessed"},
        {"X-CSRF-Token": csrf, "Origin": "https://elsewhere.example"},
    ):
        refused = await api.post("/users/11/freeze", order, key=None, Cookie=cookie, **headers)
        assert (refused.status, refused.kind) == (403, "forbidden")
    done = await api.post("/users/11/freeze", order, key=None, Cookie=cookie, **{"X-CSRF-Token": csrf})
    assert done.body["sending_frozen"]
    assert not done.body["receiving_frozen"]
    assert (await api.get("/users/11", key=None, Cookie=cookie.replace("=", "=x", 1))).status == 401
