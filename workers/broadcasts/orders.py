"""What operators and admins can have done with a broadcast: the change in the database first, its jobs after it.

Should something die in between, the change stands and the same order again sees to the jobs; for what is sending,
the agenda does.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbcore import broadcasts
from dbcore.admin_actions import Order
from dbcore.broadcasts import AudienceTooLarge, Begun, Broadcast, BroadcastRefused, BroadcastStatus
from dbcore.engine import GuardedEngine
from workers.broadcasts.cost import audience_for, stars_for
from workers.broadcasts.lanes import SILENCE_SECONDS_MAX, Lanes
from workers.broadcasts.quiet_hours import quiet_until
from workers.jobs import StartBroadcast


@dataclass(frozen=True)
class Orders:
    """Every order raises BroadcastRefused with a sentence where it cannot be obeyed, DatabaseAway, redis.RedisError."""

    engine: GuardedEngine
    lanes: Lanes

    def start(self, job: StartBroadcast, key: str) -> Broadcast:
        """Write it down under `key` and send it, or have it sent at its time."""
        if job.broadcast_id is not None:
            broadcast = broadcasts.require(self.engine, job.broadcast_id)
        else:
            broadcast = broadcasts.create(
                self.engine,
                key=key,
                payload=job.payload,
                segment=job.segment.parts(),
                actor=job.actor,
                paid=job.paid,
                stars_max=job.stars_max,
                canary=job.canary,
                scheduled_for=job.scheduled_for,
                quiet_hours=None if job.quiet_hours is None else job.quiet_hours.model_dump(),
            )
        if broadcast.status is BroadcastStatus.DRAFT and broadcast.scheduled_for is not None:
            broadcast = broadcasts.schedule(self.engine, broadcast.id)
        if broadcast.status is BroadcastStatus.SCHEDULED and not self._is_time(broadcast):
            return broadcast
        try:
            self._begin(broadcast)
        except BroadcastRefused:
            # Nobody will come back to this one. What an admin drew up stays theirs to change.
            if job.broadcast_id is None:
                broadcasts.cancel(self.engine, broadcast.id)
            raise
        return broadcasts.require(self.engine, broadcast.id)

    def wake(self, broadcast_id: int) -> None:
        """Its time has come, or nothing was heard of it."""
        broadcast = broadcasts.progress(self.engine, broadcast_id)
        if broadcast is not None and broadcast.status is BroadcastStatus.SCHEDULED:
            if self._is_time(broadcast):
                self._begin_or_pause(broadcast)
        elif broadcast is not None and broadcast.status is BroadcastStatus.SENDING:
            if not self.rests(broadcast):
                self._go_on(broadcast_id, broadcasts.resume(self.engine, broadcast_id))
        else:
            self.lanes.agenda.strike_out(broadcast_id)

    def pause(self, broadcast_id: int, order: Order | None = None) -> Begun:
        """order -- an operator's, written down with it; so for the next two."""
        return self._told(broadcast_id, broadcasts.pause(self.engine, broadcast_id, order))

    def cancel(self, broadcast_id: int, order: Order | None = None) -> Begun:
        return self._told(broadcast_id, broadcasts.cancel(self.engine, broadcast_id, order))

    def resume(self, broadcast_id: int, order: Order | None = None) -> Begun:
        return self._told(broadcast_id, broadcasts.resume(self.engine, broadcast_id, order))

    def take_up(self, broadcast_id: int) -> None:
        """See to the jobs of one that was changed, by whoever died right after it."""
        broadcast = broadcasts.require(self.engine, broadcast_id)
        self._told(broadcast_id, Begun(broadcast.status, broadcast.run))

    def resend_unknown(self, broadcast_id: int) -> int:
        """How many are sent to once more."""
        begun, resent = broadcasts.resend_unknown(self.engine, broadcast_id)
        self._told(broadcast_id, begun)
        return resent

    def rests(self, broadcast: Broadcast) -> bool:
        """Whether it is in its quiet hours; it is woken at their end then."""
        now = self.lanes.agenda.now()
        until = quiet_until(broadcast.quiet_hours, now)
        if until is None:
            return False
        self.lanes.agenda.at(broadcast.id, until.timestamp())
        return True

    def _is_time(self, broadcast: Broadcast) -> bool:
        """Whether a scheduled broadcast is to begin now; it is woken at its time otherwise."""
        assert broadcast.scheduled_for is not None  # noqa: S101  the database's own rule for this status
        self.lanes.agenda.at(broadcast.id, broadcast.scheduled_for.timestamp())
        return broadcast.scheduled_for <= self.lanes.agenda.now()

    def _begin_or_pause(self, broadcast: Broadcast) -> None:
        try:
            self._begin(broadcast)
        except BroadcastRefused:
            self.pause(broadcast.id)  # or it would be refused again twice a minute
            raise

    def _begin(self, broadcast: Broadcast) -> None:
        audience_max = None
        if broadcast.paid and broadcast.stars_max is not None:
            audience_max = audience_for(broadcast.stars_max)
        self.lanes.agenda.after(broadcast.id, SILENCE_SECONDS_MAX)  # should this end right after it began
        try:
            begun = broadcasts.begin(self.engine, broadcast.id, audience_max=audience_max)
        except AudienceTooLarge as error:
            raise BroadcastRefused(
                f"to {error.audience} people it may cost {stars_for(error.audience)} Stars, "
                f"and stars_max is {broadcast.stars_max}"
            ) from error
        self._told(broadcast.id, begun)

    def _told(self, broadcast_id: int, begun: Begun) -> Begun:
        self._go_on(broadcast_id, begun)
        self.lanes.show_card(broadcast_id, at_once=True)
        return begun

    def _go_on(self, broadcast_id: int, begun: Begun) -> None:
        match begun.status:
            case BroadcastStatus.SENDING:
                self.lanes.open(broadcast_id, begun.run)
            case BroadcastStatus.SCHEDULED:
                self._is_time(broadcasts.require(self.engine, broadcast_id))
            case _:
                self.lanes.agenda.strike_out(broadcast_id)
