"""How answers end their jobs, against the local Telegram: what a group is told, and which chat a message's id is of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
import redis
from celery import Celery
from telegram import Bot

from ballast.builtin.balances import AdjustBalance, AskAdjustment, ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer, DecideTransfer
from ballast.chat.notices import queued_notice
from ballast.chat.origins import Origin, answered_in_private, perhaps_answered_in_private, private_chat_closed
from ballast.inbox import Claim
from ballast.jobs import Job
from ballast.messages import Button, Message
from ballast.queueing import failed_jobs
from ballast.queueing.envelope import Envelope
from ballast.telegram.bot import make_bot
from dbcore.settings import Settings
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.servers import running_telegram
from workers.context import WorkerContext
from workers.failures import record_failure
from workers.replies import JobReply, deliver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path_factory.mktemp("telegram")) as process:
        yield process


@pytest.fixture
def settings(
    server: TelegramProcess, database_url: str, redis_url: str, make_settings: MakeSettings
) -> Settings:
    return make_settings(
        database_url=database_url,
        redis_url=redis_url,
        telegram_api_url=server.url,
        telegram_bot_token=TOKEN,
    )


@pytest.fixture
def worker(settings: Settings) -> Iterator[WorkerContext]:
    app = Celery("tests", broker=settings.redis_url, set_as_current=False)
    process = WorkerContext(settings, app, forked=False)
    yield process
    process.reply_sender.close(5)
    process.engine.dispose()
    app.close()


@dataclass(frozen=True)
class Group:
    """Ann's, with the bot in it."""

    telegram: TelegramControl
    bot: Bot
    worker: WorkerContext
    ann: int
    id: int

    @property
    def origin(self) -> Origin:
        return Origin(self.id, self.ann, 5)

    def claim(self, job: Job, job_id: str, *, lane: str = "user:1", callback_id: str | None = None) -> Claim:
        envelope = Envelope.of(job, job_id=job_id, lane=lane, origin=self.origin, callback_id=callback_id)
        self.worker.inbox.accept(envelope)
        return self.claim_again(job_id)

    def claim_again(self, job_id: str) -> Claim:
        claim = self.worker.inbox.claim(job_id, self.worker.owner)
        assert claim is not None
        return claim

    async def deliver(self, claim: Claim, messages: list[Message]) -> None:
        await deliver(self.bot, self.worker, claim, JobReply(messages))

    async def said(self, chat_id: int) -> list[str]:
        return [message.text for message in await self.telegram.messages(chat_id, from_bot=True)]

    async def refuse(
        self, chat_id: int, *, count: int | None = None, description: str = "TOPIC_CLOSED"
    ) -> None:
        await self.telegram.add_fault(
            "error",
            methods=["sendMessage"],
            chat_id=chat_id,
            count=count,
            description=f"Bad Request: {description}",
        )


@pytest_asyncio.fixture
async def group(server: TelegramProcess, settings: Settings, worker: WorkerContext) -> AsyncIterator[Group]:
    bot = make_bot(settings, connections=2)
    async with TelegramControl(server.url) as telegram:
        await telegram.reset(bot_settings=True)
        ann = (await telegram.create_user("Ann", started=True)).id
        group_id = (await telegram.create_group("Team", [ann], supergroup=True)).id
        yield Group(telegram, bot, worker, ann, group_id)
    await bot.request.shutdown()


def transfer(group: Group) -> CreateTransfer:
    return CreateTransfer(telegram_id=group.ann, recipient="@carol", amount=200)


async def notice_is_sent(group: Group, claim: Claim, settings: Settings) -> None:
    notice = queued_notice(claim.envelope, settings, paused=False)
    assert notice is not None
    group.worker.inbox.accept(notice)
    claimed = group.claim_again(notice.job_id)
    await group.deliver(claimed, list(DeliverReply.decode(claimed.envelope.fields).messages))


@pytest.mark.parametrize("is_question", [False, True])
async def test_a_notice_in_the_private_chat_costs_the_group_no_message(
    group: Group, settings: Settings, is_question: bool
) -> None:
    """Every chat counts its messages for itself: the notice's number is that of another message in the group."""
    claim = group.claim(transfer(group), "one")
    await group.refuse(group.id, count=1)
    await notice_is_sent(group, claim, settings)
    (told,) = await group.said(group.ann)
    assert "is saved" in told
    assert group.worker.inbox.notice_of("one") is None
    group.worker.inbox.release("one", group.worker.owner, delay_seconds=0)
    buttons = [[Button(text="Confirm", data="c:1")]] if is_question else []
    again = group.claim_again("one")
    again = replace(again, envelope=again.envelope.model_copy(update={"told_to_wait": True}))
    await group.deliver(again, [group.origin.publicly("an answer", buttons)])
    assert await group.said(group.id) == ["an answer"]
    requests = await group.telegram.requests(chat_id=group.id)
    assert {request.method for request in requests} == {"sendMessage"}


async def test_a_press_that_was_not_promised_an_answer_costs_no_message(
    group: Group, settings: Settings
) -> None:
    """Of several presses on one card while the database is unavailable, the first is said to be saved."""
    for name, is_promised in (("promised", True), ("repeated", False)):
        press = DecideTransfer(telegram_id=group.ann, token="card", confirm=True)
        claim = group.claim(press, name)
        if is_promised:
            await notice_is_sent(group, claim, settings)
        group.worker.inbox.release(name, group.worker.owner, delay_seconds=0)
        again = group.claim_again(name)
        again = replace(again, envelope=again.envelope.model_copy(update={"told_to_wait": True}))
        toast = group.origin.publicly(f"{name}: it was confirmed before")
        await group.deliver(again, [toast.model_copy(update={"toast": "query", "matters": False})])
    assert await group.said(group.id) == ["promised: it was confirmed before"]


async def test_a_notice_in_the_private_chat_that_comes_after_the_answer_is_taken_back(
    group: Group, settings: Settings
) -> None:
    claim = group.claim(transfer(group), "one")
    notice = queued_notice(claim.envelope, settings, paused=False)
    assert notice is not None
    group.worker.inbox.accept(notice)
    claimed = group.claim_again(notice.job_id)
    group.worker.inbox.finish("one")
    await group.refuse(group.id)
    await group.deliver(claimed, list(DeliverReply.decode(claimed.envelope.fields).messages))
    assert await group.said(group.ann) == []
    assert len(await group.telegram.messages(group.ann, from_bot=True, include_deleted=True)) == 1


async def test_a_notice_of_a_group_that_moved_is_not_noted_under_its_old_id(
    group: Group, settings: Settings
) -> None:
    old = await group.telegram.create_group("Old", [group.ann])
    new = await group.telegram.upgrade_group(old.id)
    moved = Group(group.telegram, group.bot, group.worker, group.ann, old.id)
    await notice_is_sent(moved, moved.claim(transfer(group), "one"), settings)
    assert "is saved" in (await group.said(new.id))[0]
    assert group.worker.inbox.notice_of("one") is None


async def test_a_flood_in_the_private_chat_does_not_hold_up_the_group(group: Group) -> None:
    await group.refuse(group.id)
    await group.telegram.add_fault("flood", chat_id=group.ann, retry_after=600)
    await group.deliver(group.claim(transfer(group), "one"), [group.origin.publicly("an answer")])
    assert group.worker.rate_limiter.interactive(group.ann) > 0
    assert group.worker.rate_limiter.interactive(group.id) == 0


async def test_a_toast_stays_a_toast_though_the_lane_waited(group: Group) -> None:
    """An outage marks the whole lane. Whoever pressed somebody else's button was not told to wait."""
    (press,) = await group.telegram.press(group.ann, 1, "x", chat_id=group.id, force=True)
    shown = group.origin.publicly("not yours").model_copy(
        update={"toast": press.callback_query_id, "matters": False}
    )
    claim = group.claim(DeliverReply(messages=(shown,)), "one", callback_id=press.callback_query_id)
    told = replace(claim, envelope=claim.envelope.model_copy(update={"told_to_wait": True}))
    await group.deliver(told, [shown])
    assert await group.said(group.id) == []
    answer = (await group.telegram.callback_query(press.callback_query_id)).answer
    assert answer is not None
    assert answer["text"] == "not yours"


async def test_a_late_toast_that_does_not_matter_is_not_sent(group: Group, client: redis.Redis) -> None:
    shown = group.origin.publicly("not yours").model_copy(update={"toast": "999", "matters": False})
    claim = group.claim(DeliverReply(messages=(shown,)), "one", callback_id="999")
    told = replace(claim, envelope=claim.envelope.model_copy(update={"told_to_wait": True}))
    await group.deliver(told, [shown])
    assert await group.said(group.id) == []
    assert client.zcard("ballast:inbox:all") == 0


async def test_what_a_dead_worker_may_not_have_sent_is_not_claimed_to_be_sent(group: Group) -> None:
    """It died between noting the private message, which may have been refused, and telling the group."""
    messages = group.origin.privately("5.00 CREDIT", opens="balance")
    group.claim(ShowBalance(telegram_id=group.ann), "one")
    group.worker.inbox.note_sent("one", 1)
    group.worker.inbox.release("one", group.worker.owner, delay_seconds=0)
    await group.deliver(group.claim_again("one"), messages)
    (line,) = await group.telegram.messages(group.id, from_bot=True)
    assert line.text == perhaps_answered_in_private()
    assert "start=balance" in str(line.message["reply_markup"])


@pytest.mark.parametrize("description", ["TOPIC_CLOSED", "can't parse entities"])
async def test_what_the_private_chat_refused_is_not_said_to_be_there(group: Group, description: str) -> None:
    await group.refuse(group.ann, description=description)
    messages = group.origin.privately("5.00 CREDIT", opens="balance")
    await group.deliver(group.claim(ShowBalance(telegram_id=group.ann), "one"), messages)
    (line,) = await group.telegram.messages(group.id, from_bot=True)
    assert line.text == private_chat_closed()
    assert "start=balance" in str(line.message["reply_markup"])


async def test_the_group_is_told_where_the_answer_is(group: Group) -> None:
    messages = group.origin.privately("5.00 CREDIT", opens="balance")
    await group.deliver(group.claim(ShowBalance(telegram_id=group.ann), "one"), messages)
    assert await group.said(group.ann) == ["5.00 CREDIT"]
    assert await group.said(group.id) == [answered_in_private()]


@pytest.mark.parametrize(
    ("job", "whose"),
    [
        (AskAdjustment(telegram_id=7, amount=500, admin_id=1001), 1001),
        (AdjustBalance(telegram_id=7, amount=500), None),
        (ShowBalance(telegram_id=7), 7),
    ],
)
def test_a_failed_adjustment_is_of_who_asked_for_it(
    worker: WorkerContext, job: Job, whose: int | None
) -> None:
    record_failure(worker, Envelope.of(job, job_id="one", lane="one"), "boom")
    (letter,) = failed_jobs.open_ones(worker.engine, 10)
    assert letter.telegram_id == whose
