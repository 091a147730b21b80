"""The inbox: one record in Redis for each job, from before Telegram is told "got it" until the user has the answer.

Celery's message, or what a process is handed without one, is only the fast path. The record is the truth: it says
whether the job is still to be done, whose turn it is in the user's lane, which process holds it and what of it is done.
A message that Celery loses is published again from here; a second copy of one finds the record held or gone, and is
dropped.

Every step is one Lua script, so each is atomic and one round trip. Keys (all below `ballast:inbox:`):

    job:<id>      hash   envelope, lane, queue, kind; owner, deliveries, published, waits_in, ready_at, turn, reply,
                         failure, sent, uncertain, unavailable, tries, begun, asked, told, notice,
                         unknown_since; beside, followed_by; joins, main
    lane:<lane>   list   ids in the order they came; the head is the one in flight
    all           zset   id -> time of intake, for size and age
    due           zset   id -> when the rescuer looks at it again
    held_back     zset   id -> time of intake; looked at again once something else is shut, or nothing
    shut          string the queues and kinds that were shut at the last look
    untold        list   held back, and their users were not told yet that they wait
    owners        zset   process -> its last beat
    takers        zset   the same of those that can take a job over with its message
    held:<owner>  set    ids that a process holds
    idle          zset   process and its worker -> when it finished a job last; it waits for one that is handed to it
    told:<what>   string which job told a presser of what is settled already; for a day
    done:<day>    set    ids finished that day; looked at today and tomorrow, for Telegram repeats an update for a day
    key:<key>     string what an operator's idempotency key stands for, for two days
    sequence      hash   queue -> the number of its last message
    claimed       hash   queue -> the highest number that was claimed
    grace         string there while nobody is taken for dead, for Redis itself stood still

the channels direct:<owner>, on which a process that waits is handed a job in the step that records it, and beside them
the last balances known (dbcore/ledger/balance_cache.py), the last answers
(ballast/chat/last_answers.py), who reads which language (ballast/chat/languages.py), and the counters
(status/counters.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis

from ballast.batch import BATCH_MAX
from ballast.builtin.users import Quarantine
from ballast.chat.languages import Languages
from ballast.chat.last_answers import LastAnswers
from ballast.inbox.limits import (
    APP_QUESTION_TTL_SECONDS,
    BEARER_LEASE_MS,
    CLAIM_LEASE_MS,
    KEY_TTL_SECONDS,
    LANE_LENGTH_MAX,
    OFFERS_LENGTH_MAX,
    OFFERS_MAX,
    PUBLISH_GRACE_MS,
    SIZE_MAX,
    TAKE_OVER_MS,
    TAKERS_FRESH_MS,
    TOLD_KEPT_SECONDS,
    UNKNOWN_KIND_AGAIN_SECONDS,
    UNKNOWN_KIND_SECONDS,
)
from ballast.inbox.overview import InboxOverview
from ballast.inbox.publisher import BEARERS_MARK, message_parts
from ballast.inbox.records import (
    Answered,
    CarriedClaim,
    Claim,
    Claims,
    DialogueStep,
    DirectJob,
    Dispatch,
    Finish,
    Note,
    Noted,
    Offer,
    Receipt,
    Waiting,
    claim_of,
    envelope_of,
    finish_of,
    receipt_of,
    record_key,
    texts_of,
)
from ballast.inbox.redis_clock import RedisClock
from ballast.inbox.scripts import DIRECT, TURN_OF_A_JOB_LUA, Scripts
from ballast.operators.roles import Roles
from ballast.queueing.envelope import Envelope, is_quick, main_lane, queue_of
from ballast.queueing.queues import DIRECT_QUEUES, QUEUES
from ballast.telegram.rate_limiter import TURN_LUA, TURN_SECONDS
from dbcore.breaker.outages import OUTAGES_LUA
from dbcore.ledger.balance_cache import NOTE_LUA, BalanceCache, BalanceSnapshot, as_arguments
from dbcore.redis_pace import RESPONSIVE


class Inbox(InboxOverview):
    """Raises redis.RedisError wherever Redis cannot be asked; nothing is assumed then."""

    def __init__(self, client: redis.Redis, *, owner_dead_seconds: float = RESPONSIVE.owner_dead) -> None:
        """owner_dead_seconds -- a process beats twice as often at the least; after so long without a beat its jobs are
        given to others. Taken for dead by mistake it costs an answer that comes twice, and nothing else (docs/chaos.md
        has the measurements).
        """
        scripts = Scripts(client)
        super().__init__(client, scripts)
        self._owner_dead_ms = round(1000 * owner_dead_seconds)
        self.balances = BalanceCache(client)
        self.answers = LastAnswers(client)
        self.languages = Languages(client)
        self.roles = Roles(client)
        """What jobs that ended, and others, left known."""
        self._accept = scripts.load("accept", shared=TURN_OF_A_JOB_LUA)
        self._claim = scripts.load("claim", shared=TURN_OF_A_JOB_LUA)
        self._release = scripts.load("release", shared=NOTE_LUA)
        self._answer = scripts.load("answer")
        self._note = scripts.load("note", shared=TURN_LUA)
        self._ask = scripts.load("ask")
        self._revive = scripts.load("revive")
        self._finish = scripts.load("finish", shared=NOTE_LUA + OUTAGES_LUA)
        self._rescue = scripts.load("rescue")
        self._unknown = scripts.load("unknown")
        self._beat = scripts.load("beat")
        self._leave = scripts.load("leave")
        self._late = scripts.load("late")
        self._clock = RedisClock(kept_seconds=owner_dead_seconds)
        self.takes_over = self._owner_dead_ms <= BEARER_LEASE_MS
        """Whether others get this process's jobs so soon after its last beat that it may take jobs over."""
        self._taken_over: dict[str, str] = {}
        """Jobs that were taken over, of which Redis does not know by whom yet, and the sequences of their messages."""

    def accept(
        self,
        envelope: Envelope,
        *,
        failure: str | None = None,
        dialogue: DialogueStep | None = None,
        size_max: int = SIZE_MAX,
        after: str | None = None,
        delay_seconds: float = 0.0,
    ) -> Receipt:
        """Put one job on record; the arguments are those of an `Offer`."""
        offer = Offer(envelope, failure, dialogue, size_max, after=after, delay_seconds=delay_seconds)
        (receipt,) = self.accept_many([offer])
        return receipt

    def accept_many(self, offers: Sequence[Offer], *, publish: bool = False) -> list[Receipt]:
        """Put jobs on record, in their order and in one step. A receipt's dispatch is to be published now.

        publish -- do so in the same step. Only what cannot be published has a dispatch then, such as a job in a queue
            that only another release has. A job whose queue is empty is claimed too, for whoever takes its message
            (`take_over`).

        Returns the receipts of the first offers, at least of one. The step ends before the others if they are too many
        or too large for one, and after the first CONFLICT: what follows it may have been decided by the same mistake.
        Bring those again.
        """
        arguments: list[str | int] = [PUBLISH_GRACE_MS, LANE_LENGTH_MAX, BEARER_LEASE_MS, TAKERS_FRESH_MS]
        size = 0
        for number, offer in enumerate(offers[:OFFERS_MAX]):
            record = offer.envelope.model_dump_json()
            size += len(record)
            if number and size > OFFERS_LENGTH_MAX:
                break
            arguments += _accept_arguments(offer, record, publish=publish)
        changes, *receipts = self._accept(args=arguments)
        self.languages.note_changes(changes)
        return [receipt_of(texts_of(receipt)) for receipt in receipts]

    def dialogues(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Where the dialogues under these keys stand; None for no dialogue."""
        if not keys:
            return {}
        values = cast("list[bytes | None]", self._redis.mget(keys))
        return {
            key: None if value is None else value.decode() for key, value in zip(keys, values, strict=True)
        }

    def claim(self, job_id: str, owner: str, *, queue: str = "", sequence: str = "") -> Claim | None:
        """Hold a job on behalf of a process; None where it is not to be done now (finished, held, not its turn).

        queue, sequence -- of the message that brought it, where it says so.
        """
        claims = self.claim_many(owner, job_id=job_id, queue=queue, sequence=sequence).claims
        return claims[0] if claims else None

    def take_over(self, job_id: str, *, sequence: str, carried: CarriedClaim | None) -> Claim | None:
        """Hold the job that was claimed in the step that recorded it, for whoever takes its message. Redis is not
        asked; the next beat tells it who holds the job. Of each message that bears a claim there is one, so nobody
        else takes the job over.

        sequence, carried -- of the message. None if it bears no claim, or one of which too little may be left to tell
        in time who holds it: then the job is to be claimed.
        """
        now_ms = self._clock.now_ms()
        if carried is None or now_ms is None or not sequence.endswith(BEARERS_MARK):
            return None
        age_ms = now_ms - carried.at_ms
        if not 0 <= age_ms <= TAKE_OVER_MS:
            return None
        self._taken_over[job_id] = sequence.removesuffix(BEARERS_MARK)
        return carried.claim(job_id, turn_until=time.monotonic() + TURN_SECONDS - age_ms / 1000)

    def claim_many(
        self,
        owner: str,
        *,
        job_id: str = "",
        queue: str = "",
        sequence: str = "",
        more: int = 0,
        tasks: Sequence[str] = (),
    ) -> Claims:
        """Hold the job that a message brought, and more that wait in the same queue, in one step.

        Those leave the queue with their messages, in the queue's order, which has one job of each lane at a time. The
        step ends before a message that is not the inbox's, and before a job that was begun before: it may be what ended
        its process, and is left to be claimed by itself.

        job_id, sequence -- of the message; none if only others are wanted.
        more -- at most so many others.
        tasks -- what those may be of.
        """
        if not (queue and sequence.removesuffix(BEARERS_MARK).isdecimal()):
            sequence = ""
        turn_until = time.monotonic() + TURN_SECONDS
        left, answers, changes = self._claim(
            args=[owner, CLAIM_LEASE_MS, queue, job_id, sequence, min(more, BATCH_MAX), *tasks]
        )
        self.languages.note_changes(changes)
        return Claims(tuple(claim_of(answer, turn_until) for answer in answers), int(left))

    def release(
        self,
        job_id: str,
        owner: str,
        *,
        delay_seconds: float,
        reply: str | None = None,
        failure: str | None = None,
        uncertain: int | None = None,
        unavailable: int | None = None,
        tries: int | None = None,
        begun: bool = False,
        count_delivery: bool = True,
        tell: bool = False,
        later: bool = False,
        balances: Iterable[BalanceSnapshot] = (),
        seen_at_ms: int = 0,
    ) -> bool:
        """Give a held job back, due after a delay, with what of it is done. False where it was not held by `owner`.

        begun -- what it did may stand, so it is not to be answered as one that did nothing.
        count_delivery -- False where the delivery says nothing about the job itself, such as an unavailable database.
        tell -- it waits for the database, and so does what is behind it in its lane: their users are to be told.
        later -- it asked for the delay: what its user writes does not wait for that, nor does what it queued if it is a
            command. Queued jobs of its lane go on beside that, in their order.
        balances, seen_at_ms -- as with `finish`: of a job that is done but for its answer.
        """
        changes = {
            "reply": reply,
            "failure": failure,
            "uncertain": uncertain,
            "unavailable": unavailable,
            "tries": tries,
            "begun": 1 if begun else None,
        }
        kept = {name: value for name, value in changes.items() if value is not None}
        is_released = bool(
            self._release(
                args=[
                    job_id,
                    owner,
                    round(delay_seconds * 1000),
                    int(not count_delivery),
                    int(tell),
                    seen_at_ms,
                    len(kept),
                    int(later),
                    self._taken_over.get(job_id, ""),
                    *(item for pair in kept.items() for item in pair),
                    *as_arguments(balances),
                ]
            )
        )
        self._taken_over.pop(job_id, None)
        return is_released

    def answer(self, job_id: str, reply: str, *, unless_begun: bool = False) -> Dispatch | None:
        """Answer a job that waits without doing it, whoever holds it; what is to be published now. None where it is
        gone, or answered already.

        reply -- the answer's messages as JSON.
        unless_begun -- not if what it did may stand: an earlier try ended nobody knows how, or one is under way.
        """
        dispatch = self._answer(args=[job_id, reply, PUBLISH_GRACE_MS, int(unless_begun)])
        return Dispatch(*texts_of(dispatch)) if dispatch else None

    def ask(self, job_id: str, owner: str, key: str, dialogue: str) -> bool:
        """Begin a dialogue for a held job, whose answer asks for something. False if it did so before: its user may
        have answered by now.
        """
        sequence = self._taken_over.get(job_id, "")
        return bool(self._ask(args=[job_id, owner, key, dialogue, APP_QUESTION_TTL_SECONDS, sequence]))

    def note_sent(self, job_id: str, sent: int) -> None:
        """Remember how many messages of an answer are out, so that a replay does not send those again."""
        self.note_many([Note(job_id, "sent", sent)])

    def note_many(self, notes: Sequence[Note]) -> list[Noted]:
        """Write these down in one step."""
        arguments = [
            item
            for note in notes
            for item in (
                note.job_id,
                note.field,
                note.value,
                "" if note.next_chat is None else note.next_chat,
            )
        ]
        answers = cast(list[int], self._note(args=arguments))
        return [
            Noted(is_on_record == 1, turn == 1)
            for is_on_record, turn in zip(answers[::2], answers[1::2], strict=True)
        ]

    def note_notice(self, job_id: str, message_id: int) -> bool:
        """Remember the message that told the user their job is queued: the answer will take its place.

        False where the job is finished by now, and the message therefore untrue.
        """
        return self.note_many([Note(job_id, "notice", message_id)])[0].is_on_record

    def pass_notice(self, job_id: str, to: str) -> None:
        """What told the user that this job is queued tells them the same of the one that it queued."""
        notice = self.notice_of(job_id)
        if notice is not None and self.note_notice(to, notice):
            self.take_late([to], most=1)
            self._redis.hdel(record_key(job_id), "notice")

    def is_first_to_tell(self, what: str, job_id: str) -> bool:
        """Whether no other job told somebody of this: one of the presses on a card does, whichever is done first."""
        key = f"ballast:inbox:told:{what}"
        self._redis.set(key, job_id, nx=True, ex=TOLD_KEPT_SECONDS)
        return self._redis.get(key) == job_id.encode()

    def finish(self, job_id: str, balances: Sequence[BalanceSnapshot] = (), *, seen_at_ms: int = 0) -> Finish:
        """The answer of one job is out; the arguments are those of an `Answered`."""
        (finish,) = self.finish_many([Answered(job_id, balances, seen_at_ms)])
        return finish

    def finish_many(self, jobs: Sequence[Answered], *, idle: str | None = None) -> list[Finish]:
        """Their answers are out: drop the records, all in one step.

        idle -- a process that waits on its `direct_channel`, and its worker in Celery, with a space between them: it
            may be handed a job from now on, once.
        """
        arguments: list[str | int] = [PUBLISH_GRACE_MS, idle or ""]
        for job in jobs:
            balances = as_arguments(job.balances)
            arguments += [job.job_id, job.seen_at_ms, len(balances), *balances]
        finished = [finish_of(texts_of(answer)) for answer in self._finish(args=arguments)]
        for job in jobs:
            self._taken_over.pop(job.job_id, None)
        return finished

    @staticmethod
    def direct_channel(owner: str) -> str:
        """On which a process that waits is handed a `DirectJob`."""
        return f"{DIRECT}{owner}"

    def withdraw(self, idle: str) -> None:
        """The process is to be handed none any more; the argument is that of `finish_many`."""
        self._redis.zrem("ballast:inbox:idle", idle)

    def give_back_direct(self, job: DirectJob, owner: str) -> bool:
        """The process does not do a job that it was handed: it is due at once, for Celery to bring it to whoever does.
        False if that is done already.
        """
        self._taken_over[job.job_id] = job.sequence.removesuffix(BEARERS_MARK)
        return self.release(job.job_id, owner, delay_seconds=0, count_delivery=False)

    def revive(self, envelope: Envelope) -> Receipt:
        """Put a job on record again that had ended as a dead letter, under its own id.

        Its idempotency key is the same as then, so whatever of it had taken effect does not do so twice.
        """
        self._revive(args=[envelope.job_id])
        return self.accept(envelope)

    def binds(self, key: str, fingerprint: str) -> bool:
        """Whether a caller's key stands for these arguments: those it came with first, for as long as done jobs are
        known.
        """
        name = f"ballast:inbox:key:{key}"
        if self._redis.set(name, fingerprint, nx=True, ex=KEY_TTL_SECONDS):
            return True
        return cast("bytes | None", self._redis.get(name)) in {None, fingerprint.encode()}

    def rescue(self, limit: int, *, shut: Sequence[str] = ()) -> tuple[int, list[Dispatch]]:
        """Look at up to `limit` jobs that are due: how many were looked at, and those to be published again now.

        shut -- queues that nobody works on for now, and kinds that cannot be done. Their jobs are held back until a
        call where something else is shut, and then come first.
        """
        answer = self._rescue(
            args=[limit, PUBLISH_GRACE_MS, CLAIM_LEASE_MS, self._owner_dead_ms, BEARER_LEASE_MS, *shut]
        )
        looked_at, dispatches = answer
        return int(looked_at), [Dispatch(*texts_of(dispatch)) for dispatch in dispatches]

    def unknown_kind(self, job_id: str, kind: str) -> Dispatch | None:
        """A worker was handed this job and does not know its kind, or nobody works on its queue.

        For UNKNOWN_KIND_SECONDS it is only tried again later, for workers that do may be on their way. Then it gets the
        dispatch by which it fails.
        """
        answer = self._unknown(
            args=[
                job_id,
                UNKNOWN_KIND_SECONDS * 1000,
                UNKNOWN_KIND_AGAIN_SECONDS * 1000,
                PUBLISH_GRACE_MS,
                f"no worker knows the kind {kind!r}, after {UNKNOWN_KIND_SECONDS} seconds",
                Quarantine.kind,  # its task, like any, records a failure without a look at the job's fields
                queue_of(Quarantine.kind),
            ]
        )
        return Dispatch(*texts_of(answer)) if answer else None

    @contextmanager
    def take_waiting(self, limit: int) -> Iterator[list[Waiting]]:
        """Up to `limit` jobs that wait for the database since this was asked last. They are handed out again if the
        caller's block does not come to its end.
        """
        ids = cast(list[bytes], self._redis.lrange("ballast:inbox:untold", 0, limit - 1))
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hmget(record_key(job_id.decode()), "envelope", "told")
                pipeline.zscore("ballast:inbox:all", job_id)
            found = pipeline.execute()
        yield [
            Waiting(envelope_of(job_id.decode(), record)[0], float(taken_ms) / 1000, told == b"3")
            for job_id, (record, told), taken_ms in zip(ids, found[::2], found[1::2], strict=True)
            if record and taken_ms is not None
        ]
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:  # by name: somebody else may have taken them away meanwhile, too
                pipeline.lrem("ballast:inbox:untold", 1, job_id.decode())
            pipeline.execute()

    def beat(
        self, owner: str, report: dict[str, Any] | None, counts: Mapping[str, int] | None = None
    ) -> set[str]:
        """Say that the process `owner` lives, and which jobs it took over. Returns the ids of the jobs it holds.

        report -- how it is. None says only that it lives, and asks for nothing: the answer is empty then.
        counts -- what it counted since it began (status/counters.py): what is new of it is added to the fleet's.
        """
        pairs = [item for pair in (counts or {}).items() for item in pair]
        said = "" if report is None else json.dumps(report)
        taken_over = dict(self._taken_over)
        asked_at_ms = self._clock.asked_at_ms()
        now_ms, *held = self._beat(
            args=[
                owner,
                said,
                3 * self._owner_dead_ms,
                CLAIM_LEASE_MS,
                int(self.takes_over),
                len(taken_over),
                *(item for pair in taken_over.items() for item in pair),
                *pairs,
            ]
        )
        self._clock.note(now_ms, asked_at_ms=asked_at_ms)
        for job_id in taken_over:
            self._taken_over.pop(job_id, None)
        return set(texts_of(held))

    def take_late(self, job_ids: Sequence[str], *, most: int) -> tuple[int, list[Envelope]]:
        """Of these jobs those without an answer whose users were not told yet that they wait. Each comes once.

        most -- as many at most. Returns beside them how many jobs were looked at, for it ends with the last of those.
        """
        looked_at, *found = self._late(args=[most, *job_ids])
        pairs = zip(found[::2], found[1::2], strict=True)
        return looked_at, [envelope_of(job_id.decode(), record)[0] for job_id, record in pairs]

    def leave(self, owner: str) -> None:
        """The process has ended: what it holds is due at once."""
        self._leave(args=[owner])


def _accept_arguments(offer: Offer, record: str, *, publish: bool) -> list[str | int]:
    """What accept.lua takes for each job."""
    envelope, step = offer.envelope, offer.dialogue or DialogueStep("", None, None)
    queue = queue_of(envelope.kind)
    message = ["", "", "", ""]
    if publish and queue in QUEUES:
        message = message_parts(envelope.job_id, queue, envelope.kind)
    return [
        envelope.job_id,
        envelope.lane,
        main_lane(envelope.lane) or "",
        offer.after or "",
        round(1000 * offer.delay_seconds),
        queue,
        envelope.kind,
        record,
        offer.size_max,
        offer.failure or "",
        step.key,
        step.expected or "",
        step.following or "",
        step.kept_seconds,
        max(0, int(1000 * offer.waited_seconds)),
        *message,
        int(queue in DIRECT_QUEUES and is_quick(envelope.kind)),
    ]
