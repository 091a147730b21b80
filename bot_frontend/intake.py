"""Durable intake: an update is on record in the inbox before Telegram is told "got it".

What Telegram was told is gone there; what is on record here survives the death of any process. In between stands
one atomic step in Redis, so an update that comes again, after a crash on either side, is recognised by its id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from ballast.broadcasts.albums import Albums
from ballast.builtin.balances import ShowBalance
from ballast.builtin.languages import ChooseLanguage, ChooseTimeZone
from ballast.builtin.replies import DeliverReply, PressAppButton
from ballast.builtin.users import Quarantine
from ballast.chat.notices import answer_without_database, queued_notice, waits_for_the_database
from ballast.inbox import Acceptance, DialogueStep, Inbox, Offer, Publisher, Receipt, dialogue_key
from ballast.inbox.limits import APP_QUESTION_TTL_SECONDS, DIALOGUE_TTL_SECONDS, OFFERS_MAX, SIZE_MAX
from ballast.jobs import Job
from ballast.operators.permissions import Permission, may
from ballast.process.ownership import WrongBot
from ballast.queueing.envelope import Envelope, job_id_of_update, lane_by_field, queue_of
from ballast.queueing.kinds import READING_KINDS, TOLD_TO_WAIT, AppCommand
from ballast.queueing.queues import DATABASE_QUEUES
from ballast.texts import speaking
from bot_frontend import texts
from bot_frontend.callbacks import PressReply
from bot_frontend.conversation import Conversation
from bot_frontend.handlers import AppHandlers
from bot_frontend.router import is_for_another_bot, is_ours, route
from bot_frontend.updates import (
    ButtonPress,
    MembershipChange,
    ParsedUpdate,
    Payment,
    RenewalChange,
    StarSpending,
    TextMessage,
    UpdateUnreadable,
    payment_in,
    read,
)
from dbcore.redis_condition import RedisCondition
from dbcore.settings import Settings, bot_id_of

log = structlog.get_logger(__name__)

DIALOGUE_RACES_MAX = 10
"""Times an intake is decided again because another update of the same conversation came in between (webhooks only)."""

GUESSED_MAX = 4
"""Updates at most whose dialogues are guessed and not looked up: each wrong guess costs a step more than the look."""

RAW_KEPT_MAX = 8192


class IntakeFull(Exception):
    """Nothing can be recorded that will be kept, not even a refusal. Telegram must not be told "got it"."""


Taken = PressReply | redis.RedisError | IntakeFull | None
"""What became of an update: what is to be done about the press, where it is one; or why it could not be recorded."""


class _Arrival:
    """An update on its way to the inbox."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.reading: ParsedUpdate | None = None
        self.wrong: str | None = None
        """Why it cannot be taken for what it says."""
        self.payment, self.payer_id = False, None
        """Whether what cannot be read is a payment, and who paid."""
        self.language: str | None = None
        self.time_zone: str | None = None
        """Of whoever sent it; None for that of TIMEZONE."""
        self.races = 0
        """How often another update of the same conversation came in between."""
        try:
            self.reading = read(raw)
        except UpdateUnreadable as error:
            self.wrong = str(error)
            self.payment, self.payer_id = payment_in(raw)

    def press_reply(self, *, by_worker: bool) -> PressReply | None:
        """by_worker -- whether a worker is to answer it soon."""
        return (
            PressReply(self.reading.callback_id, by_worker) if isinstance(self.reading, ButtonPress) else None
        )


@dataclass(frozen=True)
class _Decision:
    """What is to be recorded.

    bounded -- False for what is owed whatever the load: payments, and the word that there is no room.
    told_to_wait -- its user is told that it is queued.
    """

    envelope: Envelope
    failure: str | None = None
    conversation: DialogueStep | None = None
    bounded: bool = True
    told_to_wait: bool = False


class Intake:
    """Synchronous, and bounded by the inbox's time-outs: called from threads."""

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
        self._handlers = AppHandlers(settings, self._bot_id, username)

    def take_many(self, raws: Sequence[Any]) -> list[Taken]:
        """Record updates in the order they came and publish their jobs, as many as there is room for in one step.

        Returns what became of each. An update that could not be recorded has the error instead: Telegram must not be
        told "got it".
        """
        arrivals = [_Arrival(raw) for raw in raws]
        taken: list[Taken] = []
        known: dict[str, str | None] | None = None
        at_once = OFFERS_MAX
        while waiting := arrivals[len(taken) :]:
            batch = waiting[:at_once]
            try:
                if known is None:
                    known = self._known_dialogues(waiting)
                    self._note_languages(waiting)
                settled = self._record(batch, known)
            except (redis.RedisError, IntakeFull) as error:
                return [*taken, *(error for _ in waiting)]
            except Exception as error:  # the edge: an update that trips a defect must not be polled forever
                if len(batch) == 1 and batch[0].wrong is not None:
                    raise
                log.exception("update_tripped", update_ids=[_update_id(arrival.raw) for arrival in batch])
                if len(batch) == 1:
                    batch[0].wrong = f"{type(error).__name__}: {error}"
                at_once = max(1, len(batch) // 2)  # it hurts itself alone: the others go on without it
                continue
            taken += settled
            at_once = min(2 * at_once, OFFERS_MAX)
            full = next((one for one in settled if isinstance(one, IntakeFull)), None)
            if full is not None:  # or a later update of the same person might be recorded before theirs
                return [*taken, *(full for _ in arrivals[len(taken) :])]
        return taken

    def take_jobs(self, envelopes: Sequence[Envelope]) -> list[Acceptance | redis.RedisError | IntakeFull]:
        """Record jobs that come from elsewhere than Telegram, and publish them. Returns what became of each, or why it
        could not be recorded.
        """
        try:
            receipts = self._accept_all([_Decision(envelope) for envelope in envelopes])
        except (redis.RedisError, IntakeFull) as error:
            return [error for _ in envelopes]
        return [receipt.status for receipt in receipts]

    def _known_dialogues(self, arrivals: Sequence[_Arrival]) -> dict[str, str | None]:
        """Where the dialogues stand that these updates may go on with."""
        readings = [arrival.reading for arrival in arrivals if arrival.reading is not None]
        if len(readings) <= GUESSED_MAX and not any(map(_may_answer_a_question, readings)):
            # Only bare words are read as an answer. Who sends something else is taken to be in no conversation, which
            # spares a look; where that is wrong the inbox says so.
            return {}
        return self._inbox.dialogues([*{_dialogue_key_of(reading): None for reading in readings}])

    def _note_languages(self, arrivals: Sequence[_Arrival]) -> None:
        people = {
            arrival.reading.sender.telegram_id: arrival.reading.sender.language_code
            for arrival in arrivals
            if arrival.reading is not None
        }
        spoken = self._inbox.languages.of_writers(people)
        for arrival in arrivals:
            if arrival.reading is not None:
                telegram_id = arrival.reading.sender.telegram_id
                arrival.language = spoken[telegram_id]
                arrival.time_zone = self._inbox.languages.zone_of(telegram_id)

    def _note_choice(self, envelope: Envelope, arrival: _Arrival) -> None:
        """Whoever chose a language or a time zone reads it at once, whenever the database has that."""
        if arrival.reading is None:
            return
        sender = arrival.reading.sender
        if envelope.kind == ChooseTimeZone.kind:
            self._inbox.languages.choose_zone(sender.telegram_id, envelope.fields.get("zone"))
        if envelope.kind == ChooseLanguage.kind:
            self._inbox.languages.choose(
                sender.telegram_id, envelope.fields.get("language"), sender.language_code
            )

    def _record(self, arrivals: Sequence[_Arrival], known: dict[str, str | None]) -> list[Taken]:
        """Record updates in one step. Returns what became of the first of them: the others are to be decided again.

        known -- where dialogues stand, by their keys; brought up to date.
        """
        standing = dict(known)
        decisions = []
        for arrival in arrivals:
            with speaking(arrival.language, arrival.time_zone):
                decisions.append(self._decide(arrival, standing))
        receipts = iter(self._accept([decision for decision in decisions if decision is not None]))
        taken: list[Taken] = []
        notices: dict[int, _Decision] = {}
        for number, (arrival, decision) in enumerate(zip(arrivals, decisions, strict=True)):
            if decision is None:
                taken.append(arrival.press_reply(by_worker=False))
                continue
            receipt = next(receipts, None)
            if receipt is None:
                break
            step = decision.conversation
            if receipt.status is Acceptance.CONFLICT and step is not None:
                arrival.races += 1
                known[step.key] = receipt.dialogue
                break
            if receipt.status is Acceptance.ACCEPTED and step is not None:
                known[step.key] = step.following
            if receipt.status is Acceptance.ACCEPTED:
                self._note_choice(decision.envelope, arrival)
            is_soon = receipt.status is Acceptance.ACCEPTED and not decision.told_to_wait
            is_soon = is_soon and decision.failure is None
            if is_soon:
                self._on_taken(decision.envelope)
            with speaking(arrival.language, arrival.time_zone):
                notice = self._notice(arrival, decision, receipt.status)
            if notice is not None:
                notices[number] = notice
            too_full = receipt.status is Acceptance.CROWDED and not decision.bounded
            taken.append(_no_room() if too_full else arrival.press_reply(by_worker=is_soon))
        for number, receipt in zip(notices, self._accept_all([*notices.values()]), strict=True):
            if receipt.status is Acceptance.CROWDED:
                taken[number] = _no_room()
        return taken

    def _decide(self, arrival: _Arrival, standing: dict[str, str | None]) -> _Decision | None:
        """What is to be recorded of an update; None for nothing.

        standing -- where dialogues stand when it is its turn; brought up to date.
        """
        reading = arrival.reading
        if arrival.wrong is not None:
            chat_id = arrival.payer_id if reading is None else getattr(reading, "chat_id", None)
            return self._quarantine(arrival.raw, arrival.wrong, chat_id=chat_id, payment=arrival.payment)
        self._note_album(reading)
        if not self._is_ours(reading, standing) and (theirs := self._handlers.envelope(arrival.raw, reading)):
            return self._for_an_app(
                theirs.model_copy(update={"language": arrival.language, "time_zone": arrival.time_zone})
            )
        if reading is None or is_for_another_bot(reading, self._username()):
            log.info("update_not_for_us", update_id=_update_id(arrival.raw))
            return None
        key = _dialogue_key_of(reading)
        before = standing.get(key)
        intention = route(
            reading,
            Conversation.model_validate_json(before) if before else None,
            self._in_force(),
            self._username(),
        )
        if intention is None:
            return None
        after = intention.conversation.model_dump_json() if intention.conversation else None
        step: DialogueStep | None = DialogueStep(key, before, after, _kept_seconds(intention.conversation))
        if arrival.races >= DIALOGUE_RACES_MAX:
            # Ten others of the same person within one step: taken without the conversation rather than not at all.
            log.warning("dialogue_contended", update_id=reading.update_id)
            step = None
        else:
            standing[key] = after
        away = self._database_is_away()
        reads = away and intention.job.kind in READING_KINDS and self._database_is_readable()
        job = intention.job
        if away and not reads:
            job = self._answer_from_memory(job, reading)
        needs_database = queue_of(job.kind) in DATABASE_QUEUES
        told_to_wait = away and not reads and needs_database and job.kind in TOLD_TO_WAIT
        lane = "user"
        if reads or (away and not needs_database and not isinstance(job, PressAppButton)):
            # Or it would wait behind the user's queued commands, though it needs not what they wait for. A press does
            # wait: what it stands for is done in its place among them.
            lane = "replies"
        envelope = _envelope(
            job, reading, self._job_id(reading), lane, told_to_wait=told_to_wait, language=arrival.language
        ).model_copy(update={"time_zone": arrival.time_zone})
        # Of what Telegram says of payments there is no "try again later": it goes past every bound.
        bounded = not isinstance(reading, Payment | RenewalChange | StarSpending)
        return _Decision(envelope, conversation=step, bounded=bounded, told_to_wait=told_to_wait)

    def _for_an_app(self, theirs: Envelope) -> _Decision:
        """What one of its functions or handlers takes, as a command of it would be."""
        away = self._database_is_away()
        reads = away and theirs.kind in READING_KINDS and self._database_is_readable()
        if away and not reads and (answer := self._without_database(theirs)) is not None:
            theirs = Envelope.of(
                answer,
                job_id=theirs.job_id,
                lane=theirs.lane,
                origin=theirs.origin,
                update_id=theirs.update_id,
                language=theirs.language,
                time_zone=theirs.time_zone,
            )
        waits = away and not reads and waits_for_the_database(theirs)
        if reads or (away and queue_of(theirs.kind) not in DATABASE_QUEUES):
            beside = theirs.lane.replace("user:", "replies:", 1)
            theirs = theirs.model_copy(update={"lane": beside})
        return _Decision(theirs.model_copy(update={"told_to_wait": waits}), told_to_wait=waits)

    def _is_ours(self, reading: ParsedUpdate | None, standing: dict[str, str | None]) -> bool:
        """Whether it is for Ballast, its commands or those of apps, and so nothing that apps take otherwise."""
        if reading is None:
            return False
        if _may_answer_a_question(reading) and standing.get(_dialogue_key_of(reading)) is not None:
            return True
        return is_ours(reading, self._in_force())

    def _in_force(self) -> Settings:
        """The settings, with the roles that owners gave."""
        return self._inbox.roles.in_force(self._settings)

    def _job_id(self, reading: ParsedUpdate) -> str:
        return job_id_of_update(self._bot_id, reading.update_id, reading.date)

    def _note_album(self, reading: ParsedUpdate | None) -> None:
        """An album comes piece by piece, and an admin's /broadcast names one piece: the others are noted for then."""
        if not isinstance(reading, TextMessage) or reading.posting is None or reading.posting.album is None:
            return
        role = self._in_force().role_of(reading.sender.telegram_id)
        if reading.is_private and may(role, Permission.BROADCAST):
            self._albums.note(reading.chat_id, reading.posting.album, reading.posting.message_id)

    def _accept_all(self, decisions: Sequence[_Decision]) -> list[Receipt]:
        """Record what goes with no conversation."""
        receipts: list[Receipt] = []
        while len(receipts) < len(decisions):
            receipts += self._accept(decisions[len(receipts) :])
        return receipts

    def _accept(self, decisions: Sequence[_Decision]) -> list[Receipt]:
        """Record them and publish their jobs, in one step. Returns the receipts of the first, as the inbox does."""
        if not decisions:
            return []
        if self._claim_redis is not None:
            try:
                self._claim_redis()
            except WrongBot as error:
                raise IntakeFull(str(error)) from error
            self._claim_redis = None
        condition = self._redis_condition()
        if condition.stops_intake is not None:
            raise IntakeFull(condition.stops_intake.words)
        bound = 0 if condition.is_short_of_memory else SIZE_MAX
        receipts = self._inbox.accept_many(
            [
                Offer(one.envelope, one.failure, one.conversation, bound if one.bounded else 2 * SIZE_MAX)
                for one in decisions
            ],
            publish=True,
        )
        for decision, receipt in zip(decisions, receipts, strict=False):
            log.info(
                "taken",
                job_id=decision.envelope.job_id,
                update_id=decision.envelope.update_id,
                kind=decision.envelope.kind,
                how=receipt.status,
            )
        left = [receipt.dispatch for receipt in receipts if receipt.dispatch is not None]
        if left:
            self._publisher.publish_many(left)
        return receipts

    def _answer_from_memory(self, job: Job, reading: ParsedUpdate) -> Job:
        """A job that needs no database now, such as a known balance, becomes its answer. Others stay as they are."""
        if not isinstance(job, ShowBalance | AppCommand) or isinstance(
            reading, MembershipChange | RenewalChange
        ):
            return job
        return self._without_database(Envelope.of(job, job_id="", lane="", origin=reading.origin)) or job

    def _without_database(self, asked: Envelope) -> DeliverReply | None:
        """The job's answer while the database is unavailable; None if it is to wait."""
        messages = answer_without_database(
            asked,
            self._inbox.balances,
            self._inbox.answers,
            self._settings,
            paused=self._database_is_paused(),
        )
        return None if messages is None else DeliverReply(messages=messages)

    def _notice(self, arrival: _Arrival, decision: _Decision, status: Acceptance) -> _Decision | None:
        """What its user is told of it besides the answer."""
        if status is Acceptance.ACCEPTED and decision.told_to_wait:
            # Best effort: the promise is the job's own record.
            queued = queued_notice(decision.envelope, self._settings, paused=self._database_is_paused())
            return None if queued is None else _Decision(queued, bounded=False)
        if status not in {Acceptance.FULL, Acceptance.CROWDED} or not decision.bounded:
            return None
        reading = arrival.reading
        if reading is None or isinstance(reading, MembershipChange | RenewalChange):
            return None  # nobody asked for anything
        # There is no room for the job: it is said past the lane. If even that is full, they were told already.
        text = texts.too_many_waiting() if status is Acceptance.FULL else texts.too_many_in_all()
        refusal = Envelope.of(
            DeliverReply(messages=(reading.origin.publicly(text),)),
            job_id=decision.envelope.job_id,
            lane=f"full:{reading.sender.telegram_id}",
            origin=reading.origin,
            update_id=reading.update_id,
            language=arrival.language,
        )
        return _Decision(refusal, bounded=False)

    def _quarantine(self, raw: Any, error: str, *, chat_id: int | None, payment: bool) -> _Decision:
        """An unreadable update becomes a dead letter and is passed; Telegram would send it forever otherwise."""
        text = _as_json(raw)[:RAW_KEPT_MAX]
        known_id = _update_id(raw)
        job_id = f"{self._bot_id}-unreadable-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        job = Quarantine(raw=text, error=error[:2000], payment=payment, payer_id=chat_id if payment else None)
        log.warning("update_unreadable", job_id=job_id, update_id=known_id, error=error)
        envelope = Envelope.of(job, job_id=job_id, lane=job_id, chat_id=chat_id, update_id=known_id)
        return _Decision(envelope, failure=f"unreadable update: {error}"[:2000], bounded=False)


def _no_room() -> IntakeFull:
    return IntakeFull(f"more than {2 * SIZE_MAX} jobs are waiting")


def _as_json(raw: Any) -> str:
    try:
        return json.dumps(raw)
    except RecursionError:
        return '"nested too deep to be kept"'


def _update_id(raw: Any) -> int | None:
    update_id = raw.get("update_id") if isinstance(raw, dict) else None
    return update_id if type(update_id) is int else None


def _dialogue_key_of(reading: ParsedUpdate) -> str:
    sender = reading.sender.telegram_id
    return dialogue_key(getattr(reading, "chat_id", sender), sender)


def _kept_seconds(conversation: Conversation | None) -> int:
    is_apps_question = conversation is not None and conversation.job is not None
    return APP_QUESTION_TTL_SECONDS if is_apps_question else DIALOGUE_TTL_SECONDS


def _may_answer_a_question(reading: ParsedUpdate) -> bool:
    if not isinstance(reading, TextMessage) or reading.text.startswith("/"):
        return False
    return reading.is_private or reading.replied_to is not None


def _envelope(
    job: Job, reading: ParsedUpdate, job_id: str, lane: str, *, told_to_wait: bool, language: str | None
) -> Envelope:
    envelope = Envelope.of(
        job,
        job_id=job_id,
        lane=_lane(reading, lane),
        origin=None if isinstance(reading, MembershipChange | RenewalChange) else reading.origin,
        message_id=reading.message_id if isinstance(reading, ButtonPress) else None,
        update_id=reading.update_id,
        told_to_wait=told_to_wait,
        callback_id=reading.callback_id if isinstance(reading, ButtonPress) else None,
        language=language,
    )
    by_field = lane_by_field(job_id, envelope.kind, envelope.fields)
    return envelope if by_field is None else envelope.model_copy(update={"lane": by_field})


def _lane(reading: ParsedUpdate, lane: str) -> str:
    """A payment has one of its own: it neither waits for what its payer ordered nor counts against how much may."""
    if isinstance(reading, Payment):
        return f"payment:{reading.sender.telegram_id}:{reading.update_id}"
    return f"{lane}:{reading.sender.telegram_id}"
