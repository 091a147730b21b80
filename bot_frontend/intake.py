"""Durable intake: an update is on record in the inbox before Telegram is told "got it".

What Telegram was told is gone there; what is on record here survives the death of any process. In between stands
one atomic step in Redis, so an update that comes again, after a crash on either side, is recognised by its id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import redis
import structlog

from bot_frontend import texts
from bot_frontend.callbacks import PressReply
from bot_frontend.commands import interpret, is_for_another_bot
from bot_frontend.dialogue import Dialogue
from bot_frontend.updates import (
    ButtonPress,
    MembershipChange,
    Payment,
    Reading,
    TextMessage,
    UpdateUnreadable,
    read,
)
from dbcore.redis_condition import RedisCondition
from dbcore.settings import Settings, bot_id_of
from workers.broadcasts.albums import Albums
from workers.inbox import Acceptance, DialogueStep, Inbox, Publisher, Receipt, dialogue_key
from workers.inbox.inbox import SIZE_MAX
from workers.jobs import (
    DATABASE_QUEUES,
    READING_KINDS,
    DeliverReply,
    Envelope,
    Job,
    Quarantine,
    ShowBalance,
    job_id_of_update,
    queue_of,
)
from workers.notices import TOLD_TO_WAIT, balance_from_memory, queued_notice
from workers.ownership import WrongBot

log = structlog.get_logger(__name__)

DIALOGUE_RACES_MAX = 10
"""Times an intake is decided again because another update of the same dialogue came in between (webhooks only)."""

RAW_KEPT_MAX = 8192


class IntakeFull(Exception):
    """Nothing can be recorded that will be kept, not even a refusal. Telegram must not be told "got it"."""


class Intake:
    """Synchronous, and bounded by the inbox's time-outs: called from a thread. Raises redis.RedisError where an
    update could not be recorded, and IntakeFull where there is no room: Telegram must then not be told "got it".
    """

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        publisher: Publisher,
        albums: Albums,
        database_is_away: Callable[[], bool],
        username: Callable[[], str | None] = lambda: None,
        database_is_readable: Callable[[], bool] = lambda: False,
        database_is_paused: Callable[[], bool] = lambda: False,
        redis_condition: Callable[[], RedisCondition] = RedisCondition,
        claim_redis: Callable[[], None] = lambda: None,
        on_taken: Callable[[Envelope], None] = lambda _: None,
    ) -> None:
        """database_is_away -- what is known of it, without asking: then people are told at once that they wait.
        username -- the bot's own, where it is known by now.
        database_is_readable -- though it is away: it is full or read-only, and no more than that.
        database_is_paused -- it is away by an operator's word.
        redis_condition -- as it was seen last.
        claim_redis -- takes Redis for our bot, once it answers; raises WrongBot.
        on_taken -- called with each job that a worker is to do soon.
        """
        self._redis_condition = redis_condition
        self._settings = settings
        self._database_is_away = database_is_away
        self._database_is_readable = database_is_readable
        self._database_is_paused = database_is_paused
        self._username = username
        self._inbox = inbox
        self._publisher = publisher
        self._albums = albums
        self._bot_id = bot_id_of(settings.require("telegram_bot_token"))
        self._claim_redis: Callable[[], None] | None = claim_redis
        self._on_taken = on_taken

    def take(self, raw: Any) -> PressReply | None:
        """Record one update and publish its job. Returns what is to be done about the press, where it is one."""
        try:
            reading = read(raw)
        except UpdateUnreadable as error:
            self._quarantine(raw, str(error))
            return None
        if reading is None or is_for_another_bot(reading, self._username()):
            log.info("update_not_for_us", update_id=_update_id(raw))
            return None
        by_worker = False
        try:
            self._note_album(reading)
            by_worker = self._record(reading)
        except (redis.RedisError, IntakeFull):
            raise
        except Exception as error:  # the edge: an update that trips a defect must not be polled for ever
            log.exception("update_tripped", update_id=reading.update_id)
            self._quarantine(
                raw, f"{type(error).__name__}: {error}", chat_id=getattr(reading, "chat_id", None)
            )
        return PressReply(reading.callback_id, by_worker) if isinstance(reading, ButtonPress) else None

    def _record(self, reading: Reading) -> bool:
        """Whether a worker is to answer it soon."""
        job_id = job_id_of_update(self._bot_id, reading.update_id, reading.date)
        chat_id = getattr(reading, "chat_id", reading.sender.telegram_id)
        key = dialogue_key(chat_id, reading.sender.telegram_id)
        # Only bare words are read as an answer. For the rest nobody is taken to be in a dialogue, which spares a look;
        # where that is wrong the inbox says so.
        before = self._inbox.dialogue(key) if _may_answer_a_question(reading) else None
        for _ in range(DIALOGUE_RACES_MAX):
            intention = interpret(
                reading,
                Dialogue.model_validate_json(before) if before else None,
                self._settings,
                self._username(),
            )
            if intention is None:
                return False
            after = intention.dialogue.model_dump_json() if intention.dialogue else None
            away = self._database_is_away()
            reads = away and intention.job.kind in READING_KINDS and self._database_is_readable()
            job = intention.job
            if away and not reads:
                job = self._answer_from_memory(job, reading)
            told_to_wait = away and not reads and job.kind in TOLD_TO_WAIT
            lane = "user"
            if reads or (away and queue_of(job.kind) not in DATABASE_QUEUES):
                # Or it would wait behind the user's queued commands, though it needs not what they wait for.
                lane = "replies"
            envelope = _envelope(job, reading, job_id, lane, told_to_wait=told_to_wait)
            # Money has moved: of a payment there is no "try again later", so it goes past every queue.
            receipt = self._accept(
                envelope, DialogueStep(key, before, after), bounded=not isinstance(reading, Payment)
            )
            if receipt.status is Acceptance.CONFLICT:
                before = receipt.dialogue
                continue
            if receipt.status in {Acceptance.FULL, Acceptance.CROWDED}:
                self._refuse(reading, job_id, receipt.status)
            elif told_to_wait and receipt.status is Acceptance.ACCEPTED:
                self._say_queued(envelope)
            is_soon = receipt.status is Acceptance.ACCEPTED and not told_to_wait
            if is_soon:
                self._on_taken(envelope)
            return is_soon
        # Ten others of the same person within one step: taken without the dialogue rather than not at all.
        log.warning("dialogue_contended", update_id=reading.update_id)
        receipt = self._accept(envelope, None, bounded=not isinstance(reading, Payment))
        if receipt.status in {Acceptance.FULL, Acceptance.CROWDED}:
            self._refuse(reading, job_id, receipt.status)
        return False

    def _note_album(self, reading: Reading) -> None:
        """An album comes piece by piece, and an admin's /broadcast names one piece: the others are noted for then."""
        if not isinstance(reading, TextMessage) or reading.posting is None or reading.posting.album is None:
            return
        if reading.is_private and reading.sender.telegram_id in self._settings.admin_ids:
            self._albums.note(reading.chat_id, reading.posting.album, reading.posting.message_id)

    def _accept(
        self,
        envelope: Envelope,
        step: DialogueStep | None,
        failure: str | None = None,
        *,
        bounded: bool = True,
    ) -> Receipt:
        """bounded -- False for what is owed whatever the load: payments, and the word that there is no room."""
        if self._claim_redis is not None:
            try:
                self._claim_redis()
            except WrongBot as error:
                raise IntakeFull(str(error)) from error
            self._claim_redis = None
        condition = self._redis_condition()
        if condition.stops_intake is not None:
            raise IntakeFull(condition.stops_intake.words)
        size_max = SIZE_MAX if bounded else 2 * SIZE_MAX
        if bounded and condition.is_short_of_memory:
            size_max = 0
        receipt = self._inbox.accept(envelope, dialogue=step, failure=failure, size_max=size_max)
        log.info(
            "taken",
            job_id=envelope.job_id,
            update_id=envelope.update_id,
            kind=envelope.kind,
            how=receipt.status,
        )
        if not bounded and receipt.status is Acceptance.CROWDED:
            raise IntakeFull(f"more than {2 * SIZE_MAX} jobs are waiting")
        if receipt.ticket is not None:
            self._publisher.publish(receipt.ticket)
        return receipt

    def _answer_from_memory(self, job: Job, reading: Reading) -> Job:
        """A balance that is known is told at once, with its time; everything else stays what it is."""
        if not isinstance(job, ShowBalance) or isinstance(reading, MembershipChange):
            return job
        asked = Envelope.of(job, job_id="", lane="", origin=reading.origin)
        messages = balance_from_memory(
            asked, self._inbox.balances, self._settings, paused=self._database_is_paused()
        )
        return job if messages is None else DeliverReply(messages=messages)

    def _say_queued(self, envelope: Envelope) -> None:
        """Best effort: the promise is the job's own record."""
        notice = queued_notice(envelope, self._settings, paused=self._database_is_paused())
        if notice is not None:
            self._accept(notice, None, bounded=False)

    def _refuse(self, reading: Reading, job_id: str, why: Acceptance) -> None:
        """There is no room for the job: say so, past the lane. If even that is full, they were told already."""
        if isinstance(reading, MembershipChange):
            return  # nobody asked for anything
        text = texts.TOO_MANY_WAITING if why is Acceptance.FULL else texts.TOO_MANY_IN_ALL
        refusal = DeliverReply(messages=(reading.origin.publicly(text),))
        lane = f"full:{reading.sender.telegram_id}"
        self._accept(
            Envelope.of(
                refusal, job_id=job_id, lane=lane, origin=reading.origin, update_id=reading.update_id
            ),
            None,
            bounded=False,
        )

    def _quarantine(self, raw: Any, error: str, *, chat_id: int | None = None) -> None:
        """An unreadable update becomes a dead letter and is passed; Telegram would send it for ever otherwise."""
        text = _as_json(raw)[:RAW_KEPT_MAX]
        known_id = _update_id(raw)
        job_id = f"{self._bot_id}-unreadable-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        job = Quarantine(raw=text, error=error[:2000])
        log.warning("update_unreadable", job_id=job_id, update_id=known_id, error=error)
        envelope = Envelope.of(job, job_id=job_id, lane=job_id, chat_id=chat_id, update_id=known_id)
        self._accept(envelope, None, failure=f"unreadable update: {error}"[:2000], bounded=False)


def _as_json(raw: Any) -> str:
    try:
        return json.dumps(raw)
    except RecursionError:
        return '"nested too deep to be kept"'


def _update_id(raw: Any) -> int | None:
    update_id = raw.get("update_id") if isinstance(raw, dict) else None
    return update_id if type(update_id) is int else None


def _may_answer_a_question(reading: Reading) -> bool:
    if not isinstance(reading, TextMessage) or reading.text.startswith("/"):
        return False
    return reading.is_private or reading.replied_to is not None


def _envelope(job: Job, reading: Reading, job_id: str, lane: str, *, told_to_wait: bool) -> Envelope:
    return Envelope.of(
        job,
        job_id=job_id,
        lane=_lane(reading, lane),
        origin=None if isinstance(reading, MembershipChange) else reading.origin,
        message_id=reading.message_id if isinstance(reading, ButtonPress) else None,
        update_id=reading.update_id,
        told_to_wait=told_to_wait,
        callback_id=reading.callback_id if isinstance(reading, ButtonPress) else None,
    )


def _lane(reading: Reading, lane: str) -> str:
    """A payment has one of its own: it neither waits for what its payer ordered nor counts against how much may."""
    if isinstance(reading, Payment):
        return f"payment:{reading.sender.telegram_id}:{reading.update_id}"
    return f"{lane}:{reading.sender.telegram_id}"
