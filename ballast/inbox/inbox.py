"""The inbox: one record in Redis for each job, from before Telegram is told "got it" until the user has the answer.

Celery's message is only the fast path and carries nothing but the job's id. The record is the truth: it says whether
the job is still to be done, whose turn it is in the user's lane, which process holds it and what of it is done. A
message that Celery loses is published again from here; a second copy of one finds the record held or gone, and is
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
    told:<what>   string which job told a presser of what is settled already; for a day
    done:<day>    set    ids finished that day; looked at today and tomorrow, for Telegram repeats an update for a day
    key:<key>     string what an operator's idempotency key stands for, for two days
    sequence      hash   queue -> the number of its last message
    claimed       hash   queue -> the highest number that was claimed
    amnesty       string there while nobody is taken for dead, for Redis itself stood still

and beside them the last balances known (dbcore/ledger/balance_cache.py), the last answers (ballast/last_answers.py),
who reads which language (ballast/languages.py), and the counters (ballast/status/counters.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal, cast

import redis
from pydantic import ValidationError

from ballast.batch import BATCH_MAX
from ballast.builtin.users import Quarantine
from ballast.envelope import Envelope, main_lane, queue_of
from ballast.inbox.publisher import BEARERS_MARK, message_parts
from ballast.installed import INSTALLED
from ballast.languages import CHANGES_KEY, Languages
from ballast.last_answers import LastAnswers
from ballast.queues import QUEUES
from ballast.status import counters
from ballast.telegram.rate_limiter import TURN_LUA, TURN_SECONDS
from dbcore.breaker import FleetView
from dbcore.ledger.balance_cache import NOTE_LUA, BalanceCache, BalanceSnapshot, as_arguments
from dbcore.redis_client import FIRST_WRITE_LUA
from dbcore.redis_pace import RESPONSIVE

LANE_LENGTH_MAX = 200
TOLD_KEPT_SECONDS = 86_400
"""Jobs that one user may have waiting. Past it the frontend says so instead of taking more."""

SIZE_MAX = 200_000
"""Jobs that may wait in all: a bound on Redis's memory, about 1.5 kB each."""

PUBLISH_GRACE_MS = 2_000
"""How long a published job may stay unclaimed before the rescuer looks whether it fell out of its queue."""

CLAIM_LEASE_MS = 30_000
"""How long a claim stands before the rescuer looks whether its owner still beats."""

TAKE_OVER_MS = 500
"""How old a claim may be that was made for whoever takes the job's message. Later the job is claimed by a write."""

BEARER_LEASE_MS = TAKE_OVER_MS + round(1000 * RESPONSIVE.owner_dead)
"""How long such a claim stands, unless a beat says which process took the job over. That process may be silent for as
long as with any other job that it holds before others get it.
"""

TAKERS_FRESH_MS = 120_000
"""How old the last beat of a process may be that counts as one that can take jobs over."""

OVERDUE_SECONDS = 15.0
"""A job that nobody begins for so long, though it is not held back, is waiting for workers that hang or are too few."""

RECOVERY_SECONDS = 60.0
"""So long after an outage what waited is being worked through, and nobody is alarmed by its age."""

_LOOKED_AT_MAX = 500
_TAKE_THEIR_TIME = tuple(
    kind
    for kind, handler in INSTALLED.handlers.items()
    if handler.declared is not None and handler.declared.takes_its_time
)

UNKNOWN_KIND_SECONDS = 300
"""How long a job of a kind that no worker knows waits for workers that do, from when one was first handed it: a
frontend may be deployed before them. Then it has failed.
"""

UNKNOWN_KIND_AGAIN_SECONDS = 10
"""How often it is tried until then."""

PROCESSES_MAX = 1_000
"""Looked at, of those that beat."""

OFFERS_MAX = 100
"""Jobs taken on record in one step: as many as Telegram hands over at once."""

CLAIMS_MAX = 50
"""Jobs of a round, beside the one that was handed over: they wait for each other in one process. An app's batch may
have up to BATCH_MAX.
"""

OFFERS_LENGTH_MAX = 500_000
"""Characters of their records: Redis does nothing else meanwhile."""

DIALOGUE_TTL_SECONDS = 600
APP_QUESTION_TTL_SECONDS = 86_400
"""Of what an app's handler asks: people may have to look for the answer."""

KEY_TTL_SECONDS = 2 * 86_400


class Acceptance(StrEnum):
    """What became of a job that was brought to the inbox."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    """On record already: the same update came again."""
    DONE = "done"
    """Finished already, within the last day."""
    CONFLICT = "conflict"
    """The dialogue stands elsewhere than was thought: decide again. Nothing was recorded."""
    FULL = "full"
    """The lane has LANE_LENGTH_MAX jobs waiting. Nothing was recorded."""
    CROWDED = "crowded"
    """The inbox has SIZE_MAX jobs waiting. Nothing was recorded."""


@dataclass(frozen=True)
class Overdue:
    """A job that no worker begins: for how long it has waited, and in which queue."""

    seconds: float
    queue: str


@dataclass(frozen=True)
class Dispatch:
    """A job that is to be published to Celery now.

    kind -- what carries on with it: its own kind, or `replies.deliver` once only the answer is left, which needs no
        database.
    place -- its number in the queue, counted from the first message ever: messages are claimed in this order.
    """

    job_id: str
    queue: str
    kind: str
    place: str


@dataclass(frozen=True)
class Receipt:
    """What became of a job at the inbox.

    dialogue -- with CONFLICT, where the dialogue really stands; None for no dialogue.
    """

    status: Acceptance
    dispatch: Dispatch | None = None
    dialogue: str | None = None


@dataclass(frozen=True)
class DialogueStep:
    """The change of a dialogue that goes with a job, applied in the same step or not at all.

    expected -- what the dialogue was when the job was decided on; None for no dialogue.
    following -- what it becomes; None ends it. kept_seconds -- for how long.
    """

    key: str
    expected: str | None
    following: str | None
    kept_seconds: int = DIALOGUE_TTL_SECONDS


@dataclass(frozen=True)
class Offer:
    """A job that is brought to the inbox.

    failure -- it is wrong from the start: it is recorded as failed, not done.
    size_max -- jobs the inbox may hold for this one still to be taken.
    waited_seconds -- since it was queued elsewhere: its deadline runs from then.
    after -- the job that queues it and is being done: it gets the place behind that one, if that is in the same lane.
    delay_seconds -- it comes only then, and its deadline runs from then.
    """

    envelope: Envelope
    failure: str | None = None
    dialogue: DialogueStep | None = None
    size_max: int = SIZE_MAX
    waited_seconds: float = 0.0
    after: str | None = None
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A job that this process now holds.

    deliveries -- how many times it was claimed, this one included.
    reply -- the finished answer's messages as JSON, where only sending them is left.
    failure -- why it cannot succeed, where only saying so is left.
    sent -- how many messages of the answer are out already.
    uncertain -- how many times a message was sent and nobody knows whether it arrived.
    unavailable -- how many times it met a database that gave no answer.
    tries -- how many times it raised, and is tried again.
    begun -- an earlier try may have had an effect.
    claimed_at_ms -- Redis's time of the claim, milliseconds since 1970.
    waited_ms -- from when it was queued until then.
    turn_until -- until when a message may go to the envelope's chat without asking the rate limiter: it was counted. By
        the monotonic clock, 0.0 if the rate limiter is to be asked.
    """

    envelope: Envelope
    deliveries: int
    reply: str | None
    failure: str | None
    sent: int
    uncertain: int
    unavailable: int
    tries: int
    begun: bool
    claimed_at_ms: int
    waited_ms: int
    turn_until: float = 0.0


@dataclass(frozen=True)
class Claims:
    """The jobs that this process now holds, and how many messages are left in the queue that they came by."""

    claims: tuple[Claim, ...]
    left: int


@dataclass(frozen=True)
class Waiting:
    """A job that waits for the database.

    taken_at -- when it was taken on record, seconds since 1970 by Redis's clock.
    """

    envelope: Envelope
    taken_at: float


@dataclass(frozen=True)
class Note:
    """What is written down on a job's record.

    field -- `sent`: how many messages of the answer are out, so that a replay does not send those again. `notice`: the
        message that told the user that the job is queued; the answer will take its place.
    next_chat -- the chat that the job's next message goes to, if its turn is to be taken along.
    """

    job_id: str
    field: Literal["sent", "notice"]
    value: int
    next_chat: int | None = None


@dataclass(frozen=True)
class Noted:
    """What became of a note.

    is_on_record -- the job is; else it is finished by now, and nothing was written.
    has_turn -- the next message may go at once: it was counted.
    """

    is_on_record: bool
    has_turn: bool


@dataclass(frozen=True)
class Answered:
    """A job whose answer is out.

    balances, seen_at_ms -- what it knows of them, as of then or right after; kept for when the database is unavailable.
    """

    job_id: str
    balances: Sequence[BalanceSnapshot] = ()
    seen_at_ms: int = 0


@dataclass(frozen=True)
class Finish:
    """What is left to do when a job is finished.

    following -- the lane's next job, to be published now.
    notice -- the message that told the user the job is queued, if one did by now.
    """

    following: Dispatch | None
    notice: int | None


def dialogue_key(chat_id: int, telegram_id: int) -> str:
    return f"ballast:dialogue:{chat_id}:{telegram_id}"


class Inbox:
    """Raises redis.RedisError wherever Redis cannot be asked; nothing is assumed then."""

    def __init__(self, client: redis.Redis, *, owner_dead_seconds: float = RESPONSIVE.owner_dead) -> None:
        """owner_dead_seconds -- a process beats twice as often at the least; after so long without a beat its jobs are
        given to others. Taken for dead by mistake it costs an answer that comes twice, and nothing else (docs/chaos.md
        has the measurements).
        """
        self._redis = client
        self._owner_dead_ms = round(1000 * owner_dead_seconds)
        self.balances = BalanceCache(client)
        self.answers = LastAnswers(client)
        self.languages = Languages(client)
        """What jobs that ended, and others, left known."""
        folder = files("ballast.inbox").joinpath("lua")
        bounds = ", ".join(map(str, counters.ANSWER_MS))
        queues = ", ".join(f"{name} = true" for name in QUEUES)
        prelude = FIRST_WRITE_LUA + folder.joinpath("prelude.lua").read_text()
        prelude += f"local ANSWER_MS = {{{bounds}}}\nlocal QUEUES = {{{queues}}}\n"
        prelude += f"local BEARERS_MARK = '{BEARERS_MARK}'\n"
        prelude += f"local function language_changes() return redis.call('GET', '{CHANGES_KEY}') or '' end\n"

        def script(name: str, shared: str = "") -> Any:
            return client.register_script(prelude + shared + folder.joinpath(f"{name}.lua").read_text())

        turn = TURN_LUA + folder.joinpath("turn.lua").read_text()
        self._accept = script("accept", turn)
        self._claim = script("claim", turn)
        self._take_over = script("take_over")
        self._release = script("release", NOTE_LUA)
        self._answer = script("answer")
        self._note = script("note", TURN_LUA)
        self._ask = script("ask")
        self._revive = script("revive")
        self._finish = script("finish", NOTE_LUA)
        self._rescue = script("rescue")
        self._unknown = script("unknown")
        self._beat = script("beat")
        self._leave = script("leave")
        self._overdue = script("overdue")
        self._late = script("late")
        self._taken_over: dict[str, str] = {}
        """Jobs that were taken over, of which Redis does not know by whom yet, and the places of their messages."""

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
        return [_receipt(_texts(receipt)) for receipt in receipts]

    def dialogues(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Where the dialogues under these keys stand; None for no dialogue."""
        if not keys:
            return {}
        values = cast("list[bytes | None]", self._redis.mget(keys))
        return {
            key: None if value is None else value.decode() for key, value in zip(keys, values, strict=True)
        }

    def claim(self, job_id: str, owner: str, *, queue: str = "", place: str = "") -> Claim | None:
        """Hold a job on behalf of a process; None where it is not to be done now (finished, held, not its turn).

        queue, place -- of the message that brought it, where it says so.
        """
        claims = self.claim_many(owner, job_id=job_id, queue=queue, place=place).claims
        return claims[0] if claims else None

    def take_over(self, job_id: str, *, queue: str, place: str) -> Claims | None:
        """Hold the job that was claimed in the step that recorded it, for whoever takes its message. This only reads,
        so it does not wait for the disk; the next beat writes down who holds the job. Of each message that bears a
        claim there is one, so nobody else takes the job over.

        queue, place -- of the message. None if it bears no claim, or a claim that is over or nearly so: then the job is
        to be claimed.
        """
        if not place.endswith(BEARERS_MARK):
            return None
        number, asked_at = place.removesuffix(BEARERS_MARK), time.monotonic()
        found = self._take_over(args=[job_id, number, queue, BEARER_LEASE_MS, TAKE_OVER_MS])
        if not found:
            return None
        left, claimed_for_ms, answer, changes = found
        self.languages.note_changes(changes)
        self._taken_over[job_id] = number
        claim = _claim(answer, asked_at + TURN_SECONDS - claimed_for_ms / 1000)
        return Claims((claim,), left)

    def claim_many(
        self,
        owner: str,
        *,
        job_id: str = "",
        queue: str = "",
        place: str = "",
        more: int = 0,
        tasks: Sequence[str] = (),
    ) -> Claims:
        """Hold the job that a message brought, and more that wait in the same queue, in one step.

        Those leave the queue with their messages, in the queue's order, which has one job of each lane at a time. The
        step ends before a message that is not the inbox's, and before a job that was begun before: it may be what ended
        its process, and is left to be claimed by itself.

        job_id, place -- of the message; none if only others are wanted.
        more -- at most so many others.
        tasks -- what those may be of.
        """
        if not (queue and place.removesuffix(BEARERS_MARK).isdecimal()):
            place = ""
        turn_until = time.monotonic() + TURN_SECONDS
        left, answers, changes = self._claim(
            args=[owner, CLAIM_LEASE_MS, queue, job_id, place, min(more, BATCH_MAX), *tasks]
        )
        self.languages.note_changes(changes)
        return Claims(tuple(_claim(answer, turn_until) for answer in answers), int(left))

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
        return Dispatch(*_texts(dispatch)) if dispatch else None

    def ask(self, job_id: str, owner: str, key: str, dialogue: str) -> bool:
        """Begin a dialogue for a held job, whose answer asks for something. False if it did so before: its user may
        have answered by now.
        """
        place = self._taken_over.get(job_id, "")
        return bool(self._ask(args=[job_id, owner, key, dialogue, APP_QUESTION_TTL_SECONDS, place]))

    def is_waiting(self, lane: str) -> bool:
        """Whether a job of this lane is on record."""
        return bool(self._redis.exists(f"ballast:inbox:lane:{lane}"))

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

    def notice_of(self, job_id: str) -> int | None:
        """The message that told the user this job is queued, if one did yet."""
        value = self._redis.hget(f"ballast:inbox:job:{job_id}", "notice")
        return None if value is None else int(value)

    def pass_notice(self, job_id: str, to: str) -> None:
        """What told the user that this job is queued tells them the same of the one that it queued."""
        notice = self.notice_of(job_id)
        if notice is not None and self.note_notice(to, notice):
            self.take_late([to])
            self._redis.hdel(f"ballast:inbox:job:{job_id}", "notice")

    def is_first_to_tell(self, what: str, job_id: str) -> bool:
        """Whether no other job told somebody of this: one of the presses on a card does, whichever is done first."""
        key = f"ballast:inbox:told:{what}"
        self._redis.set(key, job_id, nx=True, ex=TOLD_KEPT_SECONDS)
        return self._redis.get(key) == job_id.encode()

    def awaits_notice(self, job_id: str) -> bool:
        """Whether the job is still on record, and its user was not told yet that it is queued."""
        return job_id in self.awaiting_notice([job_id])

    def awaiting_notice(self, job_ids: Collection[str]) -> set[str]:
        """Those of these jobs of which that is so."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(f"ballast:inbox:job:{job_id}", "lane", "notice")
            found = pipeline.execute()
        return {
            job_id
            for job_id, (lane, notice) in zip(job_ids, found, strict=True)
            if lane is not None and notice is None
        }

    def finish(self, job_id: str, balances: Sequence[BalanceSnapshot] = (), *, seen_at_ms: int = 0) -> Finish:
        """The answer of one job is out; the arguments are those of an `Answered`."""
        (finish,) = self.finish_many([Answered(job_id, balances, seen_at_ms)])
        return finish

    def finish_many(self, jobs: Sequence[Answered]) -> list[Finish]:
        """Their answers are out: drop the records, all in one step."""
        arguments: list[str | int] = [PUBLISH_GRACE_MS]
        for job in jobs:
            balances = as_arguments(job.balances)
            arguments += [job.job_id, job.seen_at_ms, len(balances), *balances]
        finished = [_finish(_texts(answer)) for answer in self._finish(args=arguments)]
        for job in jobs:
            self._taken_over.pop(job.job_id, None)
        return finished

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
        return int(looked_at), [Dispatch(*_texts(dispatch)) for dispatch in dispatches]

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
        return Dispatch(*_texts(answer)) if answer else None

    @contextmanager
    def take_waiting(self, limit: int) -> Iterator[list[Waiting]]:
        """Up to `limit` jobs that wait for the database since this was asked last. They are handed out again if the
        caller's block does not come to its end.
        """
        ids = cast(list[bytes], self._redis.lrange("ballast:inbox:untold", 0, limit - 1))
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hget(f"ballast:inbox:job:{job_id.decode()}", "envelope")
                pipeline.zscore("ballast:inbox:all", job_id)
            found = pipeline.execute()
        yield [
            Waiting(_envelope(job_id.decode(), record)[0], float(taken_ms) / 1000)
            for job_id, record, taken_ms in zip(ids, found[::2], found[1::2], strict=True)
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
        counts -- what it counted since it began (totals.py): what is new of it is added to the fleet's.
        """
        pairs = [item for pair in (counts or {}).items() for item in pair]
        said = "" if report is None else json.dumps(report)
        taken_over = dict(self._taken_over)
        can_take_over = self._owner_dead_ms <= BEARER_LEASE_MS
        held = self._beat(
            args=[
                owner,
                said,
                3 * self._owner_dead_ms,
                CLAIM_LEASE_MS,
                int(can_take_over),
                len(taken_over),
                *(item for pair in taken_over.items() for item in pair),
                *pairs,
            ]
        )
        for job_id in taken_over:
            self._taken_over.pop(job_id, None)
        return set(_texts(held))

    def take_late(self, job_ids: Sequence[str]) -> list[Envelope]:
        """Of these jobs those without an answer whose users were not told yet that they wait. Each comes once."""
        found = cast(list[bytes], self._late(args=[*job_ids]))
        pairs = zip(found[::2], found[1::2], strict=True)
        return [_envelope(job_id.decode(), record)[0] for job_id, record in pairs]

    def owners(self) -> list[str]:
        """The processes that beat lately, and those that have not been given up yet."""
        return _texts(cast(list[bytes], self._redis.zrange("ballast:inbox:owners", 0, PROCESSES_MAX - 1)))

    def leave(self, owner: str) -> None:
        """The process has ended: what it holds is due at once."""
        self._leave(args=[owner])

    def size(self) -> int:
        return self._redis.zcard("ballast:inbox:all")

    def held_back(self) -> int:
        """Jobs that wait for the database's queues to open."""
        return self._redis.zcard("ballast:inbox:held_back")

    def published(self) -> dict[str, int]:
        """Messages handed to each of Celery's queues, ever since Redis was empty."""
        found = cast(dict[bytes, bytes], self._redis.hgetall("ballast:inbox:sequence"))
        return {queue.decode(): int(count) for queue, count in found.items()}

    def oldest_age_seconds(self) -> float | None:
        """Age of the job that waits the longest, by Redis's clock; None where none waits."""
        oldest = cast(
            list[tuple[bytes, float]], self._redis.zrange("ballast:inbox:all", 0, 0, withscores=True)
        )
        if not oldest:
            return None
        seconds, microseconds = self._redis.time()
        return max(0.0, seconds + microseconds / 1e6 - oldest[0][1] / 1000)

    def overdue(self, view: FleetView | None) -> Overdue | None:
        """The job that has waited longest for a worker to begin it, where that is OVERDUE_SECONDS or more.

        view -- the breaker's: None is answered while it holds calls back, and for RECOVERY_SECONDS after.
        """
        if view is not None and (view.is_open or view.is_read_only):
            return None
        waits_ms, queue = self._overdue(
            args=[
                int(1000 * view.since) if view is not None else 0,
                int(1000 * RECOVERY_SECONDS),
                int(1000 * OVERDUE_SECONDS),
                _LOOKED_AT_MAX,
                *_TAKE_THEIR_TIME,
            ]
        )
        return Overdue(waits_ms / 1000, queue.decode()) if waits_ms else None

    def processes(self) -> dict[str, dict[str, Any]]:
        """The last report of every worker process that beats, with `beat_at`: when, by Redis's clock, seconds."""
        beats = {
            owner.decode(): at_ms / 1000
            for owner, at_ms in cast(
                list[tuple[bytes, float]],
                self._redis.zrange("ballast:inbox:owners", 0, PROCESSES_MAX - 1, withscores=True),
            )
        }
        if not beats:
            return {}
        reports = cast(list[bytes | None], self._redis.mget([f"ballast:worker:{owner}" for owner in beats]))
        return {
            owner: {**json.loads(report), "beat_at": at}
            for (owner, at), report in zip(beats.items(), reports, strict=True)
            if report
        }


def _accept_arguments(offer: Offer, record: str, *, publish: bool) -> list[str | int]:
    """What accept.lua takes for each job."""
    envelope, step = offer.envelope, offer.dialogue or DialogueStep("", None, None)
    queue = queue_of(envelope.kind)
    message = ["", "", ""]
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
    ]


def _receipt(answer: list[str]) -> Receipt:
    status, *rest = answer
    if status == Acceptance.CONFLICT:
        return Receipt(Acceptance.CONFLICT, dialogue=rest[0] or None)
    return Receipt(Acceptance(status), Dispatch(*rest) if rest else None)


def _claim(answer: list[Any], turn_until: float) -> Claim:
    (
        job_id,
        record,
        deliveries,
        reply,
        failure,
        sent,
        uncertain,
        claimed_at_ms,
        told,
        waited_ms,
        *more,
    ) = answer
    unavailable, tries, begun, turn = map(int, more)
    envelope, unreadable = _envelope(job_id.decode(), record)
    if told:
        envelope = envelope.model_copy(update={"told_to_wait": True})
    return Claim(
        envelope=envelope,
        deliveries=int(deliveries),
        reply=reply.decode() or None,
        failure=failure.decode() or unreadable,
        sent=int(sent),
        uncertain=int(uncertain),
        unavailable=unavailable,
        tries=tries,
        begun=bool(begun) or int(deliveries) > 1,
        claimed_at_ms=int(claimed_at_ms),
        waited_ms=int(waited_ms),
        turn_until=turn_until if turn else 0.0,
    )


def _finish(answer: list[str]) -> Finish:
    notice, *dispatch = answer or [""]
    return Finish(Dispatch(*dispatch) if dispatch else None, int(notice) if notice else None)


def _envelope(job_id: str, record: bytes) -> tuple[Envelope, str | None]:
    """The job's envelope; where it cannot be read, one that stands in for it, and why."""
    try:
        return Envelope.model_validate_json(record), None
    except ValidationError as error:
        stand_in = Envelope(
            job_id=job_id,
            lane="",
            kind=Quarantine.kind,
            fields={"raw": record[:8192].decode(errors="replace")},
        )
        return stand_in, f"unreadable record: {error.errors()[0]['loc']} {error.errors()[0]['msg']}"


def _texts(values: Sequence[bytes]) -> list[str]:
    return [value.decode() for value in values]
