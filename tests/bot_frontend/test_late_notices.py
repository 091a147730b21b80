"""Whoever waits for long is told so once, and is not told what is untrue by then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from telegram import Bot

from ballast.apps.buttons import job_id_of_button
from ballast.builtin.balances import AskAdjustment, ShowBalance
from ballast.builtin.jobs import UserJob
from ballast.builtin.replies import PressAppButton
from ballast.builtin.transfers import CreateTransfer
from ballast.chat.origins import Origin
from ballast.queueing.envelope import Envelope, reference_of
from ballast.telegram.bot import make_bot
from ballast.telegram.rate_limiter import RateLimiter
from bot_frontend.late_notices import AT_ONCE_MAX, LATE_SECONDS, TOLD_AGAIN_SECONDS, LateNotices
from dbcore.settings import Settings
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing
from tests.harness.servers import running_telegram


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path_factory.mktemp("telegram")) as process:
        yield process


@pytest_asyncio.fixture
async def telegram(server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(server.url) as control:
        yield control


@pytest.fixture
def settings(server: TelegramProcess, make_settings: MakeSettings) -> Settings:
    return make_settings(telegram_api_url=server.url, telegram_bot_token=TOKEN)


@pytest_asyncio.fixture
async def bot(settings: Settings) -> AsyncIterator[Bot]:
    made = make_bot(settings, connections=4)
    yield made
    await made.request.shutdown()


class Waiting:
    """Somebody whose commands nobody carries out."""

    def __init__(self, queueing: Queueing, notices: LateNotices, clock: Clock, user_id: int) -> None:
        self._queueing = queueing
        self._notices = notices
        self._clock = clock
        self.user_id = user_id

    def asks(self, job_id: str, job: UserJob | AskAdjustment, chat_id: int | None = None) -> Envelope:
        origin = Origin(chat_id or self.user_id, self.user_id)
        envelope = Envelope.of(job, job_id=job_id, lane=f"user:{self.user_id}", origin=origin)
        self._queueing.inbox.accept(envelope)
        self._notices.watch(envelope)
        return envelope

    async def after(self, seconds: float) -> None:
        self._clock.now += seconds
        await self._notices.look()


@pytest_asyncio.fixture
async def bob(telegram: TelegramControl, bot: Bot, settings: Settings, queueing: Queueing) -> Waiting:
    clock = Clock()
    notices = LateNotices(bot, queueing.inbox, RateLimiter(queueing.client), settings, clock=clock)
    user = await telegram.create_user("Bob")
    await telegram.send_text(user.id, "/start")
    return Waiting(queueing, notices, clock, user.id)


async def texts(telegram: TelegramControl, user_id: int) -> list[str]:
    return [message.text for message in await telegram.messages(user_id) if message.from_bot]


async def test_who_waits_for_longer_than_five_seconds_is_told_once_what_is_saved(
    bob: Waiting, telegram: TelegramControl, queueing: Queueing
) -> None:
    job = CreateTransfer(telegram_id=bob.user_id, first_name="Bob", recipient="@carol", amount=200)
    envelope = bob.asks("late-1", job)
    await bob.after(LATE_SECONDS - 0.1)
    assert await texts(telegram, bob.user_id) == []
    await bob.after(0.2)
    (told,) = await texts(telegram, bob.user_id)
    assert told == (
        "This is taking longer than usual. Your transfer of 2.00 CREDIT to @carol is saved, and I'll ask you here to "
        f"confirm it as soon as I can. (Ref. {reference_of(envelope.job_id)})"
    )
    bob.asks("late-2", job)
    await bob.after(2 * LATE_SECONDS)
    assert len(await texts(telegram, bob.user_id)) == 1, "one chat is not told again at once"
    bob.asks("late-3", job)
    await bob.after(TOLD_AGAIN_SECONDS)
    assert len(await texts(telegram, bob.user_id)) == 2
    assert queueing.inbox.notice_of("late-1") is not None, "the answer takes its place"


async def test_a_group_is_told_neither_what_an_admin_does_nor_to_whom(
    bob: Waiting, telegram: TelegramControl, queueing: Queueing
) -> None:
    group = (await telegram.create_group("Team", [bob.user_id], supergroup=True)).id
    job = AskAdjustment(username="eve", amount=-7_700, reason="secret", admin_id=bob.user_id)
    reference = reference_of(bob.asks("late-4", job, group).job_id)
    await bob.after(2 * LATE_SECONDS)
    late = "This is taking longer than usual."
    assert await texts(telegram, group) == [
        f"{late} Your command is saved, and I'll answer you in our private chat as soon as I can. (Ref. {reference})"
    ]
    assert await texts(telegram, bob.user_id) == [
        f"{late} Your debit of 77.00 CREDIT from @eve is saved, and I'll ask you here to confirm it as soon as I can. "
        f"(Ref. {reference})"
    ]
    noted = queueing.inbox.notice_of("late-4")
    (in_group,) = [message for message in await telegram.messages(group) if message.from_bot]
    assert noted == in_group.message_id, "the answer finds the group's"


async def test_who_has_the_answer_or_was_told_otherwise_is_not_told(
    bob: Waiting, telegram: TelegramControl, queueing: Queueing
) -> None:
    job = ShowBalance(telegram_id=bob.user_id, first_name="Bob")
    bob.asks("done", job)
    assert queueing.inbox.claim("done", "somebody") is not None
    queueing.inbox.finish("done")
    bob.asks("told", job)
    queueing.client.hset("ballast:inbox:job:told", "told", 1)
    await bob.after(2 * LATE_SECONDS)
    assert await texts(telegram, bob.user_id) == []


async def test_who_waits_is_not_found_behind_hundreds_who_have_their_answer(
    bob: Waiting, telegram: TelegramControl, queueing: Queueing
) -> None:
    for number in range(1, 301):
        envelope = bob.asks(
            f"done-{number}", ShowBalance(telegram_id=number, first_name="Eve"), chat_id=5_000 + number
        )
        queueing.inbox.claim(envelope.job_id, "somebody")
        queueing.inbox.finish(envelope.job_id)
    job = CreateTransfer(telegram_id=bob.user_id, first_name="Bob", recipient="@carol", amount=200)
    bob.asks("late-6", job)
    bob.asks("late-7", job)
    await bob.after(2 * LATE_SECONDS)
    (told,) = await texts(telegram, bob.user_id)
    assert reference_of("late-6") in told, "the first of his, and one of his"


async def test_no_more_than_some_are_told_at_once_and_nobody_is_forgotten(
    bob: Waiting, telegram: TelegramControl
) -> None:
    people = await telegram.create_users(AT_ONCE_MAX + 3, first_id=70_000)
    for each in people:
        job = CreateTransfer(telegram_id=each, first_name="P", recipient="@carol", amount=200)
        bob.asks(f"late-{each}", job, chat_id=each)

    async def told() -> list[int]:
        return [each for each in people if await texts(telegram, each)]

    await bob.after(2 * LATE_SECONDS)
    assert await told() == [*people][:AT_ONCE_MAX]
    await bob.after(0.5)
    assert await told() == [*people]


async def test_who_pressed_an_apps_button_is_told_of_the_job_that_it_stands_for(
    bob: Waiting, telegram: TelegramControl, queueing: Queueing
) -> None:
    token = "0" * 32
    press = PressAppButton(telegram_id=bob.user_id, first_name="Bob", token=token)
    bob.asks("late-5", press)
    queueing.inbox.claim("late-5", "host:1:aa")
    job_id = job_id_of_button(token)
    origin = Origin(bob.user_id, bob.user_id)
    job = CreateTransfer(telegram_id=bob.user_id, first_name="Bob", recipient="@carol", amount=200)
    queueing.inbox.accept(
        Envelope.of(job, job_id=job_id, lane=f"outbox:{bob.user_id}", origin=origin), after="late-5"
    )
    queueing.inbox.finish("late-5")
    await bob.after(2 * LATE_SECONDS)
    (told,) = await texts(telegram, bob.user_id)
    assert f"(Ref. {reference_of(job_id)})" in told
