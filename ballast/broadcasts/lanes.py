"""The chains of jobs that send a broadcast: a few lanes side by side, in each one chunk after the other.

A chunk's job accepts its follower before it ends itself, and a job's id says which one it is. So accepting it twice is
accepting it once, and whatever dies, the inbox brings back the job it died of and the lane goes on. A broadcast that
is finished, paused or halted has no jobs.

    run 1   lane 0   chunk 0 (canary) ──▶ chunk 1 ──▶ chunk 2 ──▶ …
            lane 1                   └──▶ chunk 1 ──▶ …
"""

from __future__ import annotations

import redis
import structlog

from ballast.alerts import notifier
from ballast.broadcasts import halts, trial_results
from ballast.broadcasts.cards import Cards
from ballast.broadcasts.schedule import Schedule
from ballast.broadcasts.trial_results import TrialResult
from ballast.builtin.broadcasts import (
    EraseChunk,
    ReportBroadcast,
    SendChunk,
    ShowCard,
    TryBroadcast,
    WakeBroadcast,
)
from ballast.inbox import Acceptance, Inbox, Publisher
from ballast.jobs import Job
from ballast.queueing.envelope import Envelope
from ballast.queueing.snooze import Snoozed
from ballast.texts import gettext

log = structlog.get_logger(__name__)

LANES = 4
"""Chunks of one broadcast at work at once, in however many processes."""

SILENCE_SECONDS_MAX = 30.0
"""A broadcast that is sending and was not heard of for so long has lost its jobs, and is woken."""

NO_ROOM_SECONDS = 5.0


class Lanes:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis, inbox: Inbox, publisher: Publisher) -> None:
        self._redis = client
        self._inbox = inbox
        self._publisher = publisher
        self.schedule = Schedule(client)
        self.cards = Cards(client)

    def open(self, broadcast_id: int, run: int) -> None:
        """Begin a run: its canary goes first, and lets the other lanes follow."""
        self.schedule.after(broadcast_id, SILENCE_SECONDS_MAX)
        self._accept(SendChunk(broadcast_id=broadcast_id, run=run), _chunk_id(broadcast_id, run, 0, 0))

    def follow(self, chunk: SendChunk) -> None:
        """The chunk's followers: the next one in its lane, after a canary the first ones of all lanes.

        Raises Snoozed where the inbox is full.
        """
        if chunk.run is None:
            return
        self.schedule.went_on(chunk.broadcast_id, SILENCE_SECONDS_MAX)
        number = chunk.number + 1
        for lane in range(LANES) if chunk.number == 0 else (chunk.lane,):
            following = chunk.model_copy(update={"lane": lane, "number": number})
            self._accept(following, _chunk_id(chunk.broadcast_id, chunk.run, lane, number))

    def wake(self, broadcast_id: int, due: float) -> None:
        """due -- what it was due at: several that wake it for the same reason wake it once."""
        self._accept(WakeBroadcast(broadcast_id=broadcast_id), f"broadcast-{broadcast_id}-wake-{due:.3f}")

    def show_card(self, broadcast_id: int, *, at_once: bool = False, anew_in: int | None = None) -> None:
        """Have the card shown as the broadcast stands then. Never raises: the card is beside the sending, and the
        next change brings it again.

        at_once -- an admin pressed a button, and waits.
        anew_in -- in a new message of this chat, which is the card from then on.
        """
        how = f"anew-{anew_in}" if anew_in is not None else "at-once" if at_once else "soon"
        job = ShowCard(broadcast_id=broadcast_id, at_once=at_once, anew_in=anew_in)
        try:
            job_id = f"broadcast-{broadcast_id}-card-{self.cards.turn(broadcast_id)}-{how}"
            # One lane: no edit overtakes another, so a card never goes backwards.
            self._take(Envelope.of(job, job_id=job_id, lane=f"broadcast:{broadcast_id}:card"))
        except (redis.RedisError, Snoozed) as error:
            log.warning("card_skipped", broadcast_id=broadcast_id, error=type(error).__name__)

    def report(self, broadcast_id: int, chat_id: int, name: str) -> None:
        """Have the report sent to a chat, once for each name."""
        self._accept(
            ReportBroadcast(broadcast_id=broadcast_id, chat_id=chat_id),
            f"broadcast-{broadcast_id}-report-{name}",
        )

    def report_on(self, following: ReportBroadcast, job_id: str) -> None:
        """The next part of a report. job_id -- of the part before."""
        first = job_id.removesuffix(f"-part-{following.part - 1}")
        self._accept(following, f"{first}-part-{following.part}")

    def try_out(self, broadcast_id: int, admin_id: int, order: str) -> None:
        """Have it sent to one admin, once for each order. Raises Snoozed where the inbox is full."""
        job_id = f"{order}-test"
        known = trial_results.read(self._redis, broadcast_id).get(admin_id)
        if known is None or known.order != job_id:
            trial_results.put(self._redis, broadcast_id, admin_id, TrialResult(job_id))
        self._accept(TryBroadcast(broadcast_id=broadcast_id, telegram_id=admin_id), job_id)

    def end_trial(self, broadcast_id: int, admin_id: int, job_id: str, error: str | None) -> None:
        """error -- why Telegram did not take it. Best effort: the admin sees it anyway."""
        try:
            trial_results.end(self._redis, broadcast_id, admin_id, job_id, error)
        except redis.RedisError as trouble:
            log.warning("trial_not_noted", broadcast_id=broadcast_id, error=type(trouble).__name__)

    def erase(self, chunk: EraseChunk, order: str) -> None:
        """Begin to delete. order -- the id of the job that ordered it: the same order twice is one chain of jobs."""
        self._accept(chunk, f"broadcast-{chunk.broadcast_id}-erase-{order}-{chunk.after_user_id}")

    def erase_on(self, following: EraseChunk, before: EraseChunk, job_id: str) -> None:
        """The next deletion. job_id -- of the one before."""
        chain = job_id.removesuffix(f"-{before.after_user_id}")
        self._accept(following, f"{chain}-{following.after_user_id}")

    def tell_of_halt(self, broadcast_id: int, run: int, reason: str) -> None:
        """Have the admins told that it stopped itself. Best effort: its card and its status say so as well."""
        try:
            notifier.enqueue(
                self._redis,
                f"broadcast-{broadcast_id}-halted-{run}",
                lambda: gettext(
                    "Broadcast {id} stopped itself: {reason}",
                    id=str(broadcast_id),
                    reason=halts.shown(reason),
                ),
            )
        except redis.RedisError as error:
            log.warning("halt_not_told", broadcast_id=broadcast_id, error=type(error).__name__)

    def _accept(self, job: Job, job_id: str) -> None:
        self._take(Envelope.of(job, job_id=job_id, lane=job_id))

    def _take(self, envelope: Envelope) -> None:
        receipt = self._inbox.accept(envelope)
        if receipt.status in {Acceptance.FULL, Acceptance.CROWDED}:
            raise Snoozed(NO_ROOM_SECONDS)
        if receipt.dispatch is not None:
            self._publisher.publish(receipt.dispatch)


def _chunk_id(broadcast_id: int, run: int, lane: int, number: int) -> str:
    return f"broadcast-{broadcast_id}-{run}-{lane}-{number}"
