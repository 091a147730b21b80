"""How an answer goes out and ends its job: send, remember what is out, finish; or keep it where Telegram is away.

Runs on the reply sender's event loop. Whatever talks to Redis or PostgreSQL does so from a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from html import unescape
from typing import TYPE_CHECKING, TypeVar

import redis
import structlog

from ballast.builtin.balances import AskAdjustment
from ballast.builtin.transfers import CreateTransfer
from ballast.chat.notices import asked_about
from ballast.chat.origins import perhaps_answered_in_private, private_chat_closed
from ballast.inbox import Answered, Claim, Note
from ballast.messages import Message, from_json, to_json
from ballast.queueing.envelope import Envelope
from ballast.queueing.kinds import TOLD_TO_WAIT
from ballast.telegram.errors import MISCONFIGURED_SECONDS, SendResult, SendStatus
from ballast.telegram.floods import refuse_chat
from ballast.telegram.presses import answer_press
from ballast.telegram.reply_sender import delete_message, send
from dbcore.errors import DatabaseAway
from dbcore.ledger import pending_adjustments, pending_transfers, users
from dbcore.ledger.balance_cache import BalanceSnapshot
from workers.failures import record_failure

if TYPE_CHECKING:
    from telegram import Bot

    from workers.context import WorkerContext

log = structlog.get_logger(__name__)

WRITE_ATTEMPTS_MAX = 300
WRITE_SECONDS = 0.2

HELD_FOR_TURN_SECONDS_MAX = 1.5
"""An answer that has to wait longer for the fleet's pace goes back to its job's record."""

READ_SOON_SECONDS = 60.0
"""Telegram notifies nobody of an edit. An answer that comes later than this after its command is a new message."""

RESTART_EXPIRY_SECONDS_MAX = 5.0

_RESTART_EXPIRY = {
    CreateTransfer.kind: pending_transfers.restart_expiry,
    AskAdjustment.kind: pending_adjustments.restart_expiry,
}
"""What gives a question its whole time again, by the kind of job that asks it."""

UNCERTAIN_SENDS_MAX = 4
"""Times that a message is sent whose arrival nobody knows: after 2, 8 and 32 s once more, then it counts as out."""

_GONE = {
    SendStatus.BLOCKED: users.UserStatus.BLOCKED,
    SendStatus.DEACTIVATED: users.UserStatus.DEACTIVATED,
}

_MAY_BE_READ = {SendStatus.DELIVERED, SendStatus.UNKNOWN}

_NO_BOT = SendResult(
    SendStatus.WAIT, MISCONFIGURED_SECONDS, description="this worker has no TELEGRAM_BOT_TOKEN"
)

T = TypeVar("T")


@dataclass(frozen=True)
class JobReply:
    """The messages that end a job, in order.

    balances -- what the job knows of them; kept for when the database is unavailable.
    """

    messages: list[Message]
    balances: tuple[BalanceSnapshot, ...] = ()

    @classmethod
    def kept(cls, reply: str) -> JobReply:
        """An answer that had to wait on its job's record. Its balances were noted when it began to wait."""
        return cls(from_json(reply))

    def to_json(self) -> str:
        return to_json(self.messages)


async def deliver(bot: Bot | None, worker: WorkerContext, claim: Claim, reply: JobReply) -> None:
    """Send what is still to be sent, then finish the job. Runs on the reply sender's loop."""
    envelope = claim.envelope
    pressing: asyncio.Task[bool] | None = None
    try:
        if bot is None and len(reply.messages) > claim.sent:
            await _until_written(partial(asyncio.to_thread, _requeue, worker, claim, reply, _NO_BOT))
            return
        if _was_told_to_wait(envelope) and claim.sent == 0 and _can_take_place(envelope, reply):
            reply = await asyncio.to_thread(_in_place_of_notice, worker, envelope, reply)
        question = _question_that_closes(claim, reply)
        messages = _as_new_messages(envelope, reply) if _is_late(claim) else reply.messages
        if bot is not None and not any(message.toast for message in messages):
            pressing = _end_spinner(bot, worker, envelope)
        # Whether the message before is in its chat. None: a run of this job that died knew it.
        reached = True if claim.sent == 0 else None
        message_ids: list[int] = []
        turn_in = envelope.chat_id if time.monotonic() < claim.turn_until else None
        for position, message in enumerate(messages[claim.sent :], start=claim.sent + 1):
            assert bot is not None  # noqa: S101  without one there is nothing left to send here
            if message.opens is not None and not reached:
                # Or known before it had to wait.
                closed = reached is False or message.text == private_chat_closed()
                text = private_chat_closed() if closed else perhaps_answered_in_private()
                message = message.model_copy(update={"text": text})
                reply = replace(reply, messages=[*messages[: position - 1], message, *messages[position:]])
            verdict = await _shown_to_presser(bot, worker, envelope, message) or await _send_in_turn(
                bot, worker, message, reached=bool(reached), has_turn=message.chat_id == turn_in
            )
            must_wait = verdict.meaning is SendStatus.WAIT or (
                verdict.meaning is SendStatus.UNKNOWN and claim.uncertain + 1 < UNCERTAIN_SENDS_MAX
            )
            # The asker has the answer in private. What the group is told of it must not hold up their next command.
            if must_wait and not (message.opens is not None and reached):
                await _until_written(partial(asyncio.to_thread, _requeue, worker, claim, reply, verdict))
                return
            reached = verdict.meaning in _MAY_BE_READ
            if verdict.message_id is not None:
                message_ids.append(verdict.message_id)
            if verdict.meaning is not SendStatus.DELIVERED:
                await asyncio.to_thread(_note_undelivered, worker, claim, message, verdict)
            elif notice_of := envelope.fields.get("notice_of"):
                await _note_notice(bot, worker, envelope, notice_of, verdict)
            if position < len(messages):
                next_chat = messages[position].chat_id
                note = Note(envelope.job_id, "sent", position, next_chat)
                noted = await _until_written(partial(worker.noting.do, note))
                turn_in = next_chat if noted is not None and noted.has_turn else None
        if _was_read_late(claim, reply) and not await _until_written(
            partial(asyncio.to_thread, _restart_expiry, worker, claim, reply)
        ):
            return
        answered = Answered(envelope.job_id, reply.balances, claim.claimed_at_ms)
        finish = await _until_written(partial(worker.finishing.do, answered))
        notice = None if finish is None else finish.notice
        log.info("job_done", job_id=envelope.job_id, kind=envelope.kind, message_ids=message_ids)
        replaced = {message.edit_message_id for message in messages}
        if bot is not None and question is not None:
            await send(bot, question)
        if bot is not None and notice is not None and notice not in replaced and envelope.chat_id is not None:
            await delete_message(
                bot, worker.rate_limiter, envelope.chat_id, notice, waits=worker.method_waits
            )
    finally:
        worker.in_flight.drop(envelope.job_id)
        if pressing is not None:
            await pressing


def _end_spinner(bot: Bot, worker: WorkerContext, envelope: Envelope) -> asyncio.Task[bool] | None:
    """Answer the press, if the job is one, beside the messages. Who was told to wait was answered by the frontend."""
    if envelope.callback_id is None or _was_told_to_wait(envelope):
        return None
    return asyncio.create_task(answer_press(bot, worker.presses, worker.rate_limiter, envelope.callback_id))


def _was_told_to_wait(envelope: Envelope) -> bool:
    """A lane that waits is marked as a whole. Nobody is told so of what needs no database, such as a button's toast."""
    return envelope.told_to_wait and envelope.kind in TOLD_TO_WAIT


async def _shown_to_presser(
    bot: Bot, worker: WorkerContext, envelope: Envelope, message: Message
) -> SendResult | None:
    """Show a toast. None if the message is to be sent: it is no toast, or one that matters and cannot be shown, or its
    asker was promised an answer in a message.
    """
    if message.toast is None:
        return None
    if _was_told_to_wait(envelope):  # the frontend answered the press
        has_notice = await asyncio.to_thread(worker.inbox.notice_of, envelope.job_id) is not None
        if has_notice or message.matters:
            # Pressed over and over, a card that is settled would be told of as often.
            first = await asyncio.to_thread(
                worker.inbox.is_first_to_tell, asked_about(envelope), envelope.job_id
            )
            if has_notice or first:
                return None
        return SendResult(SendStatus.DELIVERED)
    text = unescape(message.text)
    if (
        await answer_press(bot, worker.presses, worker.rate_limiter, message.toast, text)
        or not message.matters
    ):
        return SendResult(SendStatus.DELIVERED)
    return None


async def _until_written(step: Callable[[], Awaitable[T]]) -> T | None:
    """Have a step written down although Redis may be away: a message is out, and forgotten it would go out again."""
    for attempt in range(WRITE_ATTEMPTS_MAX):
        try:
            return await step()
        except redis.RedisError as error:
            log.warning("redis_away_after_sending", attempt=attempt, error=type(error).__name__)
            await asyncio.sleep(WRITE_SECONDS)
    return None


def _is_late(claim: Claim) -> bool:
    """Whether the user may have closed the chat since, and hears of a new message alone."""
    return claim.envelope.kind in TOLD_TO_WAIT and claim.waited_ms > 1000 * READ_SOON_SECONDS


def _as_new_messages(envelope: Envelope, reply: JobReply) -> list[Message]:
    """What was to replace a message of this chat comes below it instead."""
    return [
        message.model_copy(update={"edit_message_id": None})
        if message.chat_id == envelope.chat_id
        else message
        for message in reply.messages
    ]


def _question_that_closes(claim: Claim, reply: JobReply) -> Message | None:
    """The edit that takes the buttons off the question that was pressed, where its result comes as a new message."""
    if not _is_late(claim) or claim.envelope.message_id is None:
        return None
    first = reply.messages[0] if reply.messages else None
    closes = first is not None and first.edit_message_id == claim.envelope.message_id and not first.buttons
    return first if closes else None


def _was_read_late(claim: Claim, reply: JobReply) -> bool:
    """Whether the answer is a question that had to wait for Telegram."""
    return (
        claim.reply is not None
        and claim.envelope.kind in _RESTART_EXPIRY
        and any(message.buttons for message in reply.messages)
    )


def _restart_expiry(worker: WorkerContext, claim: Claim, reply: JobReply) -> bool:
    """The time in which a question can be answered begins now that it can be read. False where the database does not
    answer: nothing is left of the job but this, and what its user presses meanwhile waits behind it.
    """
    job_id, messages = claim.envelope.job_id, len(reply.messages)
    try:
        _RESTART_EXPIRY[claim.envelope.kind](worker.engine, key=job_id)
    except DatabaseAway as away:
        log.warning("question_expires_early", job_id=job_id, kind=away.kind)
        worker.inbox.note_sent(job_id, messages)
        worker.inbox.release(
            job_id,
            worker.owner,
            delay_seconds=min(away.retry_after_seconds, RESTART_EXPIRY_SECONDS_MAX),
            count_delivery=False,
        )
        return False
    return True


def _can_take_place(envelope: Envelope, reply: JobReply) -> bool:
    """Whether the answer can take the place of the message that told the user that their command is saved; not one that
    asks for something, for Telegram notifies nobody of an edit.
    """
    first = reply.messages[0] if reply.messages else None
    return (
        first is not None
        and not first.buttons
        and not first.is_question
        and first.edit_message_id is None
        and first.chat_id == envelope.chat_id
    )


def _in_place_of_notice(worker: WorkerContext, envelope: Envelope, reply: JobReply) -> JobReply:
    first, *others = reply.messages
    in_place = first.model_copy(update={"edit_message_id": worker.inbox.notice_of(envelope.job_id)})
    return replace(reply, messages=[in_place, *others])


async def _note_notice(
    bot: Bot, worker: WorkerContext, envelope: Envelope, job_id: str, verdict: SendResult
) -> None:
    """ "Queued" is out: its job's answer will find it. Where the answer was quicker, it is untrue and goes."""
    if verdict.message_id is None or verdict.chat_id is None:
        return
    # The answer looks in the chat of the command, where the message of another chat's number is somebody else's.
    if verdict.chat_id == envelope.chat_id:
        is_true = (await worker.noting.do(Note(job_id, "notice", verdict.message_id))).is_on_record
    else:
        is_true = await asyncio.to_thread(worker.inbox.awaits_notice, job_id)
    if not is_true:
        await delete_message(
            bot, worker.rate_limiter, verdict.chat_id, verdict.message_id, waits=worker.method_waits
        )


async def _send_in_turn(
    bot: Bot, worker: WorkerContext, message: Message, *, reached: bool = True, has_turn: bool = False
) -> SendResult:
    """Send it when the fleet's pace lets it. What has to wait for long waits on its job's record.

    has_turn -- it was counted already, and may go at once.
    """
    if has_turn:
        return await _send_now(bot, worker, message, reached=reached)
    if await _is_clear(worker, message.chat_id):
        counted = asyncio.create_task(_turn(worker, message.chat_id))
        try:
            return await _send_now(bot, worker, message, reached=reached)
        finally:
            await counted
    held_seconds = 0.0
    while wait_seconds := await _turn(worker, message.chat_id):
        held_seconds += wait_seconds
        if held_seconds > HELD_FOR_TURN_SECONDS_MAX:
            return SendResult(SendStatus.WAIT, wait_seconds, description="it is not this chat's turn yet")
        await asyncio.sleep(wait_seconds)
    return await _send_now(bot, worker, message, reached=reached)


async def _send_now(bot: Bot, worker: WorkerContext, message: Message, *, reached: bool) -> SendResult:
    verdict = await send_one(bot, message, reached=reached)
    if verdict.flood:
        refused_id = message.chat_id if verdict.chat_id is None else verdict.chat_id
        await refuse_chat(worker.rate_limiter, refused_id, verdict.retry_after_seconds)
    return verdict


async def _is_clear(worker: WorkerContext, chat_id: int) -> bool:
    try:
        return await worker.clearings.do(chat_id)
    except redis.RedisError:
        return False


async def _turn(worker: WorkerContext, chat_id: int) -> float:
    try:
        return await worker.turns.do((chat_id, 1))
    except redis.RedisError:
        return 0.0  # an answer is owed, and the pace is only politeness until Telegram says otherwise


async def send_one(bot: Bot, message: Message, *, reached: bool = True) -> SendResult:
    """Send it; where the message to edit is gone, as a new one, and where the group became a supergroup, there. What a
    group does not take goes to the private chat.

    reached -- the message before it was taken by the private chat.
    """
    verdict = await send(bot, message, reached=reached)
    if verdict.meaning is SendStatus.UNKNOWN and message.edit_message_id is not None:
        return replace(verdict, meaning=SendStatus.WAIT)  # the same edit twice is one edit
    if verdict.meaning is SendStatus.EDIT_IMPOSSIBLE:
        message = message.model_copy(update={"edit_message_id": None})
        verdict = await send(bot, message, reached=reached)
    elif verdict.meaning is SendStatus.MIGRATED:
        # Its messages and topics have other ids there, or none.
        message = message.model_copy(
            update={
                "chat_id": verdict.migrated_to,
                "edit_message_id": None,
                "quotes": None,
                "thread_id": None,
            }
        )
        verdict = await send(bot, message, reached=reached)
    if verdict.meaning in {SendStatus.REFUSED, SendStatus.CHAT_GONE} and message.private_chat_id is not None:
        log.info("group_refused", meaning=verdict.meaning, why=verdict.description)
        verdict = await send(bot, message.to_private_chat())
    return verdict


def _requeue(worker: WorkerContext, claim: Claim, reply: JobReply, verdict: SendResult) -> None:
    """Telegram did not take it, or nobody knows: the answer waits on the record, and goes on as a reply, which needs
    no database. What may have arrived is sent again after ever longer waits, and not forever.
    """
    uncertain = claim.uncertain + (verdict.meaning is SendStatus.UNKNOWN)
    log.warning(
        "answer_waits",
        job_id=claim.envelope.job_id,
        meaning=verdict.meaning,
        uncertain=uncertain,
        why=verdict.description,
    )
    worker.inbox.release(
        claim.envelope.job_id,
        worker.owner,
        delay_seconds=verdict.retry_after_seconds * 4 ** max(0, uncertain - 1),
        reply=reply.to_json(),
        uncertain=uncertain,
        count_delivery=False,
        balances=reply.balances,
        seen_at_ms=claim.claimed_at_ms,
    )


def _note_undelivered(worker: WorkerContext, claim: Claim, message: Message, verdict: SendResult) -> None:
    """The message is given up. Somebody who is gone is marked; anything else is a dead letter for an operator."""
    log.warning(
        "answer_undeliverable", job_id=claim.envelope.job_id, meaning=verdict.meaning, why=verdict.description
    )
    try:
        status = _GONE.get(verdict.meaning)
        if status is not None and verdict.chat_id is not None and verdict.chat_id > 0:
            users.set_status(worker.engine, telegram_id=verdict.chat_id, status=status)
        elif message.opens is not None:
            pass  # the answer itself is in the private chat
        elif verdict.meaning in {SendStatus.BAD_PAYLOAD, SendStatus.REFUSED, SendStatus.UNKNOWN}:
            reason = f"the answer may not have arrived: {verdict.meaning}, {verdict.description}"
            record_failure(worker, claim.envelope, reason)
    except DatabaseAway:
        # The job itself is done, and its log line stands above; the mark is set by the next refusal.
        log.warning("undelivered_not_recorded", job_id=claim.envelope.job_id)
