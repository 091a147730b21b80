"""The chains of jobs that send a broadcast: a few lanes side by side, in each one chunk after the other.

A chunk's job accepts its follower before it ends itself, and a job's id says which one it is. So accepting it twice is
accepting it once, and whatever dies, the inbox brings back the job it died of and the lane goes on. A broadcast that
is finished, paused or halted has no jobs.

    run 1   lane 0   chunk 0 (canary) ──▶ chunk 1 ──▶ chunk 2 ──▶ …
            lane 1                   └──▶ chunk 1 ──▶ …
"""

from __future__ import annotations

import redis

from workers.broadcasts.agenda import Agenda
from workers.inbox import Acceptance, Inbox, Publisher
from workers.jobs import JOB_TYPES, Envelope, Job, SendChunk, WakeBroadcast
from workers.not_now import NotNow

LANES = 4
"""Chunks of one broadcast at work at once, in however many processes."""

SILENCE_SECONDS_MAX = 30.0
"""A broadcast that is sending and was not heard of for so long has lost its jobs, and is woken."""

CARD_SECONDS = 3
"""Between two edits of a progress card."""

NO_ROOM_SECONDS = 5.0

_CARD_KIND = "broadcasts.show_card"


class Lanes:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis, inbox: Inbox, publisher: Publisher) -> None:
        self._redis = client
        self._inbox = inbox
        self._publisher = publisher
        self.agenda = Agenda(client)

    def open(self, broadcast_id: int, run: int) -> None:
        """Begin a run: its canary goes first, and lets the other lanes follow."""
        self.agenda.after(broadcast_id, SILENCE_SECONDS_MAX)
        self._accept(SendChunk(broadcast_id=broadcast_id, run=run), _chunk_id(broadcast_id, run, 0, 0))

    def follow(self, chunk: SendChunk) -> None:
        """The chunk's followers: the next one in its lane, after a canary the first ones of all lanes.

        Raises NotNow where the inbox is full.
        """
        if chunk.run is None:
            return
        self.agenda.after(chunk.broadcast_id, SILENCE_SECONDS_MAX)
        number = chunk.number + 1
        for lane in range(LANES) if chunk.number == 0 else (chunk.lane,):
            following = chunk.model_copy(update={"lane": lane, "number": number})
            self._accept(following, _chunk_id(chunk.broadcast_id, chunk.run, lane, number))

    def wake(self, broadcast_id: int, due: float) -> None:
        """due -- what it was due at: several that wake it for the same reason wake it once."""
        self._accept(WakeBroadcast(broadcast_id=broadcast_id), f"broadcast-{broadcast_id}-wake-{due:.3f}")

    def show_card(self, broadcast_id: int, *, at_once: bool = False) -> None:
        """Have the progress card shown anew: every CARD_SECONDS at most, but `at_once` where something ended."""
        if _CARD_KIND not in JOB_TYPES:
            return
        free = self._redis.set(f"ballast:broadcast:card:{broadcast_id}", 1, nx=True, ex=CARD_SECONDS)
        if free or at_once:
            count = self._redis.incr("ballast:broadcasts:cards")
            card = Envelope(
                job_id=f"broadcast-{broadcast_id}-card-{count}",
                lane=f"broadcast:{broadcast_id}:card",
                kind=_CARD_KIND,
                fields={"broadcast_id": broadcast_id},
            )
            self._take(card)

    def _accept(self, job: Job, job_id: str) -> None:
        self._take(Envelope.of(job, job_id=job_id, lane=job_id))

    def _take(self, envelope: Envelope) -> None:
        receipt = self._inbox.accept(envelope)
        if receipt.status in {Acceptance.FULL, Acceptance.CROWDED}:
            raise NotNow(NO_ROOM_SECONDS)
        if receipt.ticket is not None:
            self._publisher.publish(receipt.ticket)


def _chunk_id(broadcast_id: int, run: int, lane: int, number: int) -> str:
    return f"broadcast-{broadcast_id}-{run}-{lane}-{number}"
