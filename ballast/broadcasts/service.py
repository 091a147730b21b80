"""What operators and admins can have done with a broadcast: a place in the schedule first, then the change in the
database, its jobs after it.

Should something die in between, the schedule sees to what is left. Each broadcast that is scheduled or sending has a
place there, unless Redis lost its data: then `recall` rebuilds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ballast.broadcasts import audience
from ballast.broadcasts.cost import messages_for, refuse_paid_album, stars_counted, stars_for
from ballast.broadcasts.lanes import SILENCE_SECONDS_MAX, Lanes
from ballast.broadcasts.schedule import quiet_until
from ballast.builtin.broadcasts import StartBroadcast
from ballast.texts import ngettext
from dbcore import keys
from dbcore.admin_actions import AdminAction
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import (
    AudienceTooLarge,
    Broadcast,
    BroadcastRefused,
    BroadcastState,
    BroadcastStatus,
    Progress,
)
from dbcore.broadcasts.segments import named
from dbcore.guard.engine import GuardedEngine
from dbcore.sentences import sentence


@dataclass(frozen=True)
class BroadcastService:
    """Every order raises BroadcastRefused with a sentence where it cannot be obeyed, DatabaseAway, redis.RedisError."""

    engine: GuardedEngine
    lanes: Lanes

    def start(self, job: StartBroadcast, key: str, *, expected: Broadcast | None = None) -> Progress:
        """Write it down once for `key`, a job's id, and send it, or have it sent at its time.

        expected -- the draft as somebody confirmed it: nothing else is begun.
        """
        broadcast: Progress
        if job.broadcast_id is not None:
            broadcast = self._ours(job.broadcast_id)
        else:
            own, earlier = keys.of_job(key)
            broadcast = broadcasts.create(
                self.engine,
                key=own,
                earlier_key=earlier,
                actor=job.actor,
                draft=True,
                **job.kept(),
            )
        if job.broadcast_id is None and broadcast.status is BroadcastStatus.CANCELLED:
            raise BroadcastRefused(_cancelled_before(broadcast))
        if broadcast.status is BroadcastStatus.DRAFT and broadcast.scheduled_for is not None:
            self.lanes.schedule.at(broadcast.id, broadcast.scheduled_for.timestamp())
            broadcast = broadcasts.schedule(self.engine, broadcast.id, expected=expected)
        if broadcast.status is BroadcastStatus.SCHEDULED and not self._is_time(broadcast):
            return broadcast
        try:
            self._begin(broadcast, expected)
        except BroadcastRefused:
            # Nobody will come back to this one. What an admin drew up stays theirs to change.
            if job.broadcast_id is None:
                broadcasts.cancel(self.engine, broadcast.id)
            raise
        return broadcasts.require_progress(self.engine, broadcast.id)

    def wake(self, broadcast_id: int) -> None:
        """Its time has come, or nothing was heard of it."""
        broadcast = broadcasts.progress(self.engine, broadcast_id)
        if broadcast is None or broadcast.by_program:
            self.lanes.schedule.remove(broadcast_id)
        elif broadcast.status is BroadcastStatus.SCHEDULED:
            if self._is_time(broadcast):
                self._begin_or_pause(broadcast)
        elif broadcast.status is BroadcastStatus.SENDING:
            if not self.rests(broadcast):
                self._go_on(broadcast_id, broadcasts.resume(self.engine, broadcast_id))
        else:
            self.lanes.schedule.remove(broadcast_id)

    def pause(self, broadcast_id: int, order: AdminAction | None = None) -> BroadcastState:
        """order -- an operator's, written down with it; so for the next two."""
        return self._told(broadcast_id, broadcasts.pause(self.engine, broadcast_id, order))

    def cancel(self, broadcast_id: int, order: AdminAction | None = None) -> BroadcastState:
        return self._told(broadcast_id, broadcasts.cancel(self.engine, broadcast_id, order))

    def resume(self, broadcast_id: int, order: AdminAction | None = None) -> BroadcastState:
        """One that a program sends goes on when that is called again, which is not for the workers to do."""
        broadcast = broadcasts.require_progress(self.engine, broadcast_id)
        if broadcast.by_program and broadcast.status is not BroadcastStatus.SENDING:
            return broadcasts.resume(self.engine, broadcast_id, order)
        self._ours(broadcast_id)
        self.lanes.schedule.within(broadcast_id, SILENCE_SECONDS_MAX)
        return self._told(broadcast_id, broadcasts.resume(self.engine, broadcast_id, order))

    def take_up(self, broadcast_id: int) -> None:
        """See to the jobs of one that was changed, by whoever died right after it."""
        broadcast = broadcasts.require_progress(self.engine, broadcast_id)
        if not broadcast.by_program:
            self._told(broadcast_id, BroadcastState(broadcast.status, broadcast.run))

    def resend_unknown(self, broadcast_id: int, key: str) -> int:
        """How many are sent to once more. The same key again is the same order."""
        broadcast = self._ours(broadcast_id)
        self.lanes.schedule.within(broadcast_id, SILENCE_SECONDS_MAX)
        with _within_its_cost(broadcast) as messages_max:
            begun, resent = broadcasts.resend_unknown(
                self.engine, broadcast_id, key, audience_max=messages_max
            )
        self._told(broadcast_id, begun)
        return resent

    def recall(self) -> None:
        """Take up in the schedule whatever it has forgotten."""
        self.lanes.schedule.rebuild(broadcasts.list_active(self.engine))

    def rests(self, broadcast: Progress) -> bool:
        """Whether it is in its quiet hours; it is woken at their end then."""
        now = self.lanes.schedule.now()
        until = quiet_until(broadcast.quiet_hours, now)
        if until is None:
            return False
        self.lanes.schedule.at(broadcast.id, until.timestamp())
        return True

    def _is_time(self, broadcast: Progress) -> bool:
        """Whether a scheduled broadcast is to begin now; it is woken at its time otherwise."""
        assert broadcast.scheduled_for is not None  # noqa: S101  the database's own rule for this status
        self.lanes.schedule.at(broadcast.id, broadcast.scheduled_for.timestamp())
        return broadcast.scheduled_for <= self.lanes.schedule.now()

    def _begin_or_pause(self, broadcast: Progress) -> None:
        try:
            self._begin(broadcast)
        except BroadcastRefused:
            self.pause(broadcast.id)  # or it would be refused again twice a minute
            raise

    def _begin(self, broadcast: Progress, expected: Broadcast | None = None) -> None:
        if broadcast.paid:
            refuse_paid_album(broadcast.pieces)
        self.lanes.schedule.after(broadcast.id, SILENCE_SECONDS_MAX)  # should this end right after it began
        # Beside the beginning, for the lists' queries may neither write nor hold anything up.
        lists = audience.listed(self.engine, named(self.engine, broadcast.id))
        with _within_its_cost(broadcast) as messages_max:
            begun = broadcasts.begin(
                self.engine, broadcast.id, audience_max=messages_max, expected=expected, listed=lists
            )
        self._told(broadcast.id, begun)

    def _ours(self, broadcast_id: int) -> Progress:
        """Raises BroadcastRefused where the workers must not send it: somebody else does."""
        broadcast = broadcasts.require_progress(self.engine, broadcast_id)
        if broadcast.by_program:
            raise BroadcastRefused(
                sentence(
                    "broadcast {id} is sent by a program of its own; called again with the same key it goes on",
                    id=str(broadcast_id),
                )
            )
        return broadcast

    def _told(self, broadcast_id: int, begun: BroadcastState) -> BroadcastState:
        self._go_on(broadcast_id, begun)
        self.lanes.show_card(broadcast_id, at_once=True)
        return begun

    def _go_on(self, broadcast_id: int, begun: BroadcastState) -> None:
        match begun.status:
            case BroadcastStatus.SENDING:
                self.lanes.open(broadcast_id, begun.run)
            case BroadcastStatus.SCHEDULED:
                self._is_time(broadcasts.require_progress(self.engine, broadcast_id))
            case _:
                self.lanes.schedule.remove(broadcast_id)


@contextmanager
def _within_its_cost(broadcast: Progress) -> Iterator[int | None]:
    """How many messages it may be, if there is a limit. Refuses what would be more."""
    limited = broadcast.paid and broadcast.stars_max is not None
    try:
        yield messages_for(broadcast.stars_max or 0) if limited else None
    except AudienceTooLarge as error:
        raise BroadcastRefused(
            sentence(
                "{messages} may cost {cost}, and stars_max is {limit}",
                messages=ngettext("{count} message", "{count} messages", error.audience),
                cost=stars_counted(stars_for(error.audience)),
                limit=str(broadcast.stars_max),
            )
        ) from error


def _cancelled_before(broadcast: Progress) -> str:
    """Its order came before: it was refused then, or somebody cancelled it since."""
    begun = (
        "before it began"
        if broadcast.audience is None
        else f"after {broadcast.done:,} of {broadcast.audience:,}"
    )
    return f"broadcast {broadcast.id} of this key was refused or cancelled {begun}; a key of its own starts another"
