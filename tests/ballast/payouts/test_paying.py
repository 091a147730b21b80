"""Payouts by Crypto Pay's adapter and a local stand-in that loses answers, answers late and refuses: each is paid once,
or its money is back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from decimal import Decimal

import psycopg2
import pytest
import pytest_asyncio

from ballast.builtin.withdrawals import notices
from ballast.payouts import chat_texts, paying
from ballast.payouts.adapter import PayoutAdapter
from ballast.payouts.manual import Manual
from ballast.providers.crypto_pay import CryptoPay
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users, withdrawals
from dbcore.ledger.audit import audit
from dbcore.ledger.users import Profile, UserRef
from dbcore.ledger.withdrawals import Limits, Payout, WithdrawalState
from dbcore.outcomes import RejectionReason
from dbcore.settings import Settings
from devstack.providers import CRYPTO_PAY_TOKEN, LocalProviders
from tests.conftest import MakeSettings

OWNER = Profile(7_300_001, "owner", "Owner")
RULE = Limits(None, None, 10_000, None)
_keys = itertools.count(1)


@pytest.fixture
def engine(database_url: str, make_settings: MakeSettings) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url, db_deadline_seconds=30))
    users.get_or_create(made, profile=OWNER)
    target = UserRef(telegram_id=OWNER.telegram_id)
    ledger.adjust(made, key="fund", target=target, amount=10_000, memo="", actor="t")
    yield made
    made.dispose()
    assert not [finding for finding in audit(database_url) if not finding.ok]


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[LocalProviders]:
    async with LocalProviders() as made:
        yield made


@pytest_asyncio.fixture
async def adapter(provider: LocalProviders) -> AsyncIterator[CryptoPay]:
    made = CryptoPay(CRYPTO_PAY_TOKEN, asset="USDT", rate=Decimal(1), url=provider.url)
    yield made
    await made.close()


def approved(engine: GuardedEngine, amount: int = 500) -> str:
    card = withdrawals.create(
        engine,
        key=f"ask-{next(_keys)}",
        telegram_id=OWNER.telegram_id,
        amount=amount,
        payout=Payout("crypto_pay", str(OWNER.telegram_id), amount * 10_000, "USDT"),
        limits=RULE,
    )
    withdrawals.decide(
        engine,
        key=f"decide-{next(_keys)}",
        token=card.token,
        telegram_id=OWNER.telegram_id,
        confirm=True,
        limits=RULE,
        notice=lambda state: notices(card.token, state),
    )
    return card.token


async def run(engine: GuardedEngine, token: str, by: PayoutAdapter) -> paying.Result:
    """As a worker does."""
    turn = await asyncio.to_thread(paying.begin, engine, token)
    return await paying.pay_out(engine, token, turn, by)


async def minutes_later(engine: GuardedEngine) -> None:
    past = "UPDATE {} SET attempt_at = attempt_at - interval '1 hour' WHERE ended_at IS NULL RETURNING 1"
    await asyncio.to_thread(engine.fetch_rows, past.format("ballast.withdrawals"), (), name="test.later")


def state(engine: GuardedEngine, token: str) -> WithdrawalState:
    found = withdrawals.find(engine, token=token)
    assert found is not None
    return found.state


def available(engine: GuardedEngine) -> int:
    return users.get_or_create(engine, profile=OWNER).available


def test_both_adapters_are_adapters(adapter: CryptoPay) -> None:
    assert isinstance(adapter, PayoutAdapter)
    assert isinstance(Manual("CREDIT", 2), PayoutAdapter)


async def test_paid_once_however_often_the_job_is_delivered(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    await asyncio.gather(*(run(engine, token, adapter) for _ in range(5)))
    assert state(engine, token) is WithdrawalState.PAID
    assert [(each["amount"], each["user_id"]) for each in provider.transfers.values()] == [
        ("5", OWNER.telegram_id)
    ]
    assert await adapter.balance() == 995_000_000


async def test_an_answer_that_is_lost_is_found_by_asking_and_nothing_is_paid_again(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    provider.loses = 1
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAYING
    await run(engine, token, adapter)  # not before all that was sent has settled
    assert provider.asked.count("POST /api/getTransfers") == 0
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID
    assert provider.asked.count("POST /api/transfer") == 1


async def test_killed_before_the_request_it_is_paid_by_the_next_worker(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    await asyncio.to_thread(paying.begin, engine, token)
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID
    assert len(provider.transfers) == 1


async def test_a_frozen_worker_that_wakes_after_the_next_one_paid_pays_nothing(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    frozen = await asyncio.to_thread(paying.begin, engine, token)
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert not (await paying.pay_out(engine, token, frozen, adapter)).is_paid_twice
    assert state(engine, token) is WithdrawalState.PAID
    assert len(provider.transfers) == 1
    assert available(engine) == 9_500


async def test_refused_the_money_is_back_unless_a_frozen_request_may_still_arrive(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    provider.available = "1"
    token = approved(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.RETURNED
    assert available(engine) == 10_000

    other = approved(engine)
    frozen = await asyncio.to_thread(withdrawals.begin, engine, token=other)
    await minutes_later(engine)
    await run(engine, other, adapter)
    assert state(engine, other) is WithdrawalState.PAYING
    provider.available = "1000"
    assert not (await paying.pay_out(engine, other, frozen, adapter)).is_paid_twice
    assert state(engine, other) is WithdrawalState.PAID
    assert available(engine) == 9_500


async def test_killed_while_the_provider_takes_its_time_it_is_paid_once(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    provider.late_seconds = 1.0
    doing = asyncio.create_task(run(engine, token, adapter))
    async with asyncio.timeout(30):
        while "POST /api/transfer" not in provider.asked:
            await asyncio.sleep(0.01)
    doing.cancel()
    provider.late_seconds = 0.0
    await minutes_later(engine)
    await run(engine, token, adapter)
    async with asyncio.timeout(30):
        while not provider.transfers:
            await asyncio.sleep(0.01)
    assert len(provider.transfers) == 1
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID


async def test_a_provider_that_is_away_is_asked_again_and_nothing_is_concluded(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    provider.answers = False
    for _ in range(3):
        await run(engine, token, adapter)
        await minutes_later(engine)
    assert state(engine, token) is WithdrawalState.PAYING
    assert available(engine) == 9_500
    provider.answers = True
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID


@pytest.mark.parametrize(
    "lie",
    [
        {"amount": "500"},
        {"amount": "4.999999"},
        {"asset": "TON"},
        {"user_id": 1},
        {"status": "failed"},
        {"transfer_id": None},
        {"spend_id": "ballast-other"},
    ],
)
async def test_an_answer_that_is_not_of_this_payout_settles_nothing(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay, lie: dict[str, object]
) -> None:
    token = approved(engine)
    provider.lies = lie
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAYING
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAYING
    assert available(engine) == 9_500
    provider.lies = {}
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID
    assert len(provider.transfers) == 1


async def test_a_key_that_is_used_and_whose_transfer_is_not_listed_yet_settles_nothing(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    await adapter.pay(paying.key_of(token), 5_000_000, str(OWNER.telegram_id))
    provider.hides_transfers = True
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAYING
    provider.hides_transfers = False
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID
    assert len(provider.transfers) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"[]",
        b"null",
        b'"ok"',
        b'{"ok": true}',
        b'{"ok": true, "result": null}',
        b'{"ok": true, "result": {"items": ["x"]}}',
        b'{"ok": true, "result": {"items": [null], "transfer_id": Infinity}}',
        b'{"ok": false, "error": "busy"}',
        b'{"ok": true, "result"',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_is_none_settles_nothing(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay, garbage: bytes
) -> None:
    token = approved(engine)
    provider.garbage = garbage
    for _ in range(2):
        await run(engine, token, adapter)
        await minutes_later(engine)
    assert state(engine, token) is WithdrawalState.PAYING
    assert available(engine) == 9_500
    provider.garbage = None
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID
    assert len(provider.transfers) == 1


async def test_a_worker_that_wakes_too_late_sends_no_request_at_all(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    token = approved(engine)
    turn = await asyncio.to_thread(paying.begin, engine, token)
    late = dataclasses.replace(turn, begun=turn.begun - paying.SENT_WITHIN_SECONDS)
    assert not (await paying.pay_out(engine, token, late, adapter)).is_paid_twice
    assert provider.asked == []
    assert state(engine, token) is WithdrawalState.PAYING
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID


async def test_a_refusal_is_told_to_its_user_without_the_providers_words(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay
) -> None:
    provider.available = "1"
    token = approved(engine)
    await run(engine, token, adapter)
    found = withdrawals.find(engine, token=token)
    assert found is not None
    assert found.reason == RejectionReason.REFUSED_BY_PROVIDER
    settings = Settings(_env_file=None, bot_token="1:x")
    assert "refused it" in chat_texts.ended(found, settings)


async def test_paid_and_not_noted_because_the_row_is_locked_the_next_look_notes_it(
    engine: GuardedEngine, provider: LocalProviders, adapter: CryptoPay, database_url: str
) -> None:
    token = approved(engine)
    turn = await asyncio.to_thread(paying.begin, engine, token)
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM withdrawals WHERE token = %s FOR UPDATE", (token,))
        with pytest.raises(DatabaseAway):
            await paying.pay_out(engine, token, turn, adapter)
        other.rollback()
    assert len(provider.transfers) == 1
    assert state(engine, token) is WithdrawalState.PAYING
    await minutes_later(engine)
    await run(engine, token, adapter)
    assert state(engine, token) is WithdrawalState.PAID
    assert provider.asked.count("POST /api/transfer") == 1
