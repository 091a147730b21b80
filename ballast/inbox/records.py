"""What is brought to the inbox and what it answers, and how that is read from what Redis says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationError

from ballast.builtin.users import Quarantine
from ballast.inbox.limits import DIALOGUE_TTL_SECONDS, SIZE_MAX
from ballast.queueing.envelope import Envelope
from dbcore.ledger.balance_cache import BalanceSnapshot


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
class Dispatch:
    """A job that is to be published to Celery now.

    kind -- what carries on with it: its own kind, or `replies.deliver` once only the answer is left, which needs no
        database.
    sequence -- its number in the queue, counted from the first message ever: messages are claimed in this order.
    """

    job_id: str
    queue: str
    kind: str
    sequence: str


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
class CarriedClaim:
    """The claim that a message bears, with all that its bearer needs to begin.

    at_ms -- Redis's time of the claim, milliseconds since 1970.
    waited_ms -- from when the job was queued until then.
    has_turn -- its first message may go at once: it was counted.
    record -- the envelope, as on the job's record.
    """

    at_ms: int
    waited_ms: int
    has_turn: bool
    record: str

    @classmethod
    def read(cls, header: object) -> CarriedClaim | None:
        """From a message's header `claim`; None if there is none in it."""
        match header:
            case [int(at_ms), int(waited_ms), int(turn), str(record)]:
                return cls(at_ms, waited_ms, turn == 1, record)
        return None

    def claim(self, job_id: str, *, turn_until: float) -> Claim:
        envelope, unreadable = envelope_of(job_id, self.record.encode())
        return Claim(
            envelope=envelope,
            deliveries=1,
            reply=None,
            failure=unreadable,
            sent=0,
            uncertain=0,
            unavailable=0,
            tries=0,
            begun=False,
            claimed_at_ms=self.at_ms,
            waited_ms=self.waited_ms,
            turn_until=turn_until if self.has_turn else 0.0,
        )


@dataclass(frozen=True)
class DirectJob:
    """A job that was handed to a process straight from its record, and claimed for it.

    sequence -- of the message that it has none of, with BEARERS_MARK.
    """

    job_id: str
    queue: str
    kind: str
    sequence: str
    carried: CarriedClaim

    @classmethod
    def read(cls, published: bytes) -> DirectJob | None:
        """From what accept.lua publishes; None if it is something else."""
        try:
            found = json.loads(published)
        except ValueError:
            return None
        match found:
            case [str(job_id), str(queue), str(kind), str(sequence), claim]:
                carried = CarriedClaim.read(claim)
                return None if carried is None else cls(job_id, queue, kind, sequence, carried)
        return None


@dataclass(frozen=True)
class Claims:
    """The jobs that this process now holds, and how many messages are left in the queue that they came by."""

    claims: tuple[Claim, ...]
    left: int


def record_key(job_id: str) -> str:
    """Of a job's record in Redis."""
    return f"ballast:inbox:job:{job_id}"


@dataclass(frozen=True)
class Waiting:
    """A job that waits for the database.

    taken_at -- when it was taken on record, seconds since 1970 by Redis's clock.
    is_told -- whether its user was told before that it waits, for it is late.
    """

    envelope: Envelope
    taken_at: float
    is_told: bool = False


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


def receipt_of(answer: list[str]) -> Receipt:
    status, *rest = answer
    if status == Acceptance.CONFLICT:
        return Receipt(Acceptance.CONFLICT, dialogue=rest[0] or None)
    return Receipt(Acceptance(status), Dispatch(*rest) if rest else None)


def claim_of(answer: list[Any], turn_until: float) -> Claim:
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
    envelope, unreadable = envelope_of(job_id.decode(), record)
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


def finish_of(answer: list[str]) -> Finish:
    notice, *dispatch = answer or [""]
    return Finish(Dispatch(*dispatch) if dispatch else None, int(notice) if notice else None)


def envelope_of(job_id: str, record: bytes) -> tuple[Envelope, str | None]:
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


def texts_of(values: Sequence[bytes]) -> list[str]:
    return [value.decode() for value in values]
