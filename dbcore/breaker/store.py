"""Where the fleet's breaker is kept: Redis. Every step is one Lua script, so each is atomic and one round trip.

ballast:breaker           string  the state as JSON (state.py); never expires, so an operator's word outlives all
ballast:breaker:windows   hash    process -> when, and its last calls; emptied at each transition
ballast:breaker:events    list    transitions still to be written to breaker_events, newest first
ballast:breaker:recent    list    the last transitions, for the pages
ballast:breaker:counts    hash    how many transitions of each sort
ballast:breaker:retries   hash    the fleet's bucket of retries
ballast:breaker:saturated string  there for a while after any process found no connection to be had
ballast:move:asked        string  dbcore/moving/record.py
ballast:connections       hash    process -> connections it may have and has, and when it said so
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from dbcore.breaker import outages
from dbcore.breaker.local import Call
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.state import FleetState, StateUnreadable
from dbcore.redis_client import FIRST_WRITE_LUA
from dbcore.redis_pace import RESPONSIVE

RETRIES_MAX = 100
RETRIES_PER_SECOND = 10.0
"""The fleet's retries of failed calls: bursts, and forever. At ten a second they are no load to a database that is
coming up, however many processes there are.
"""

SATURATED_SECONDS = 10.0
"""So long after the last time that a process found no connection to be had, bulk work leaves them to the others."""

EVENTS_MAX = 5_000
RECENT_MAX = 50
TRIES_MAX = 10
_AGE_STEP_SECONDS = 0.25

CONNECTIONS_KEY = "ballast:connections"
STATE_KEY = "ballast:breaker"
_EVENTS = f"{STATE_KEY}:events"
_RECENT = f"{STATE_KEY}:recent"
_COUNTS = f"{STATE_KEY}:counts"
_EVENT_WRITER = f"{STATE_KEY}:scribe"
_SATURATED = f"{STATE_KEY}:saturated"


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What a process says of itself.

    epoch -- of the state its calls were made in.
    look -- whether it wants to hear of the others' calls too.
    saturated -- whether it found no connection to be had just now.
    """

    process: str
    epoch: int
    calls: list[Call]
    look: bool
    retries_wanted: int
    connections_wanted: int
    connections_least: int
    connections_open: int
    connection_budget: int | None
    saturated: bool


@dataclass(frozen=True, slots=True)
class SyncResponse:
    """What it hears. `now` is Redis's clock; `calls` are the fleet's, its own among them.

    rows_waiting -- whether events or outages are still to be written to their tables.
    saturated -- whether any process found no connection to be had lately.
    move_asked -- the move of which all processes are to say whether they can follow; empty: none.
    """

    now: float
    fleet: FleetState
    retries_granted: int
    connections_granted: int
    rows_waiting: bool
    saturated: bool
    move_asked: str
    calls: list[Call]


@dataclass(frozen=True, slots=True)
class Event:
    """A transition of the fleet's breaker. `at` is seconds since 1970; `by` the process, or the operator."""

    id: str
    before: BreakerState
    after: BreakerState
    reason: BreakerReason | None
    open_seconds: float
    by: str
    at: float


class FleetStore:
    """Raises redis.RedisError wherever Redis cannot be asked; nothing is assumed then. What needs the state raises
    StateUnreadable where it makes none of this release.
    """

    def __init__(self, client: redis.Redis, *, silent_after_seconds: float = RESPONSIVE.silent) -> None:
        """silent_after_seconds -- a process that said nothing for as long is gone: neither its calls nor its
        connections count.
        """
        self._redis = client
        self._silent_after_seconds = silent_after_seconds
        prelude = FIRST_WRITE_LUA + outages.OUTAGES_LUA + outages.lua("prelude")

        def script(name: str) -> Any:
            return client.register_script(prelude + outages.lua(name))

        self._exchange = script("exchange")
        self._commit = script("commit")
        self._reserve = script("reserve")
        self._leave = script("leave")

    def sync(self, report: SyncRequest) -> SyncResponse:
        """Say how we are, hear how the fleet is."""
        budget = report.connection_budget
        answer = self._exchange(
            args=[
                report.process,
                report.epoch,
                _dump_calls(report.calls),
                int(report.look),
                self._silent_after_seconds,
                report.retries_wanted,
                RETRIES_MAX,
                RETRIES_PER_SECOND,
                report.connections_wanted,
                report.connections_least,
                report.connections_open,
                "" if budget is None else budget,
                round(1000 * SATURATED_SECONDS) if report.saturated else 0,
            ]
        )
        now, state, retries, granted, rows, saturated, move_asked, *windows = answer
        return SyncResponse(
            now=float(now),
            fleet=_state_of(state or None),
            retries_granted=int(retries),
            connections_granted=int(granted),
            rows_waiting=bool(rows),
            saturated=bool(saturated),
            move_asked=move_asked.decode(),
            calls=[call for window in windows for call in _load_calls(window, float(now))],
        )

    def commit(self, before: FleetState, after: FleetState, by: str) -> bool:
        """Whether `after` was taken, which it is where the state is still `before`."""
        args: list[Any] = [before.version, after.to_json()]
        if after.epoch != before.epoch:
            event = Event(
                id=uuid.uuid4().hex,
                before=before.state,
                after=after.state,
                reason=after.reason,
                open_seconds=round(max(0.0, after.until - after.since), 3)
                if after.state is BreakerState.OPEN
                else 0.0,
                by=by,
                at=after.since,
            )
            between_probes = {before.state, after.state} == {BreakerState.OPEN, BreakerState.HALF_OPEN}
            ended = outages.ended_by(before, after)
            args += [
                json.dumps(asdict(event)),
                f"{before.state}>{after.state}",
                int(not between_probes),
                EVENTS_MAX,
                RECENT_MAX,
                "" if ended is None else outages.to_json(ended),
                int(after.open_since not in {0.0, before.open_since}),
                outages.KEPT_MAX,
                outages.UNWRITTEN_MAX,
            ]
        return bool(self._commit(args=args))

    def change(self, step: Callable[[FleetState, float], FleetState], by: str) -> FleetState:
        """Take a step from whatever the state is by then; returns what it is after."""
        for _ in range(TRIES_MAX):
            before, now = read_state(self._redis)
            after = step(before, now)
            if after is before or self.commit(before, after, by):
                return after
        # Each lost round was another's step: the state moves on, with or without ours.
        return read_state(self._redis)[0]

    def forget_state(self) -> None:
        """It is closed, as where Redis is empty."""
        self._redis.delete(STATE_KEY)

    def reserve(self, process: str, wanted: int, budget: int) -> int:
        """How many connections a process that starts may have, at least one. It is held by its exchanges."""
        return int(self._reserve(args=[process, wanted, budget, self._silent_after_seconds]))

    def note_saturation(self) -> None:
        """No connection was to be had: for a while the fleet's bulk work leaves them to the others."""
        self._redis.set(_SATURATED, 1, px=round(1000 * SATURATED_SECONDS))

    def is_saturated(self) -> bool:
        """Whether any process found no connection to be had lately."""
        return bool(self._redis.exists(_SATURATED))

    def leave(self, process: str) -> None:
        """The process ends on purpose."""
        self._leave(args=[process])

    def recent(self) -> list[Event]:
        """The last transitions, newest first."""
        return [_event_of(line) for line in self._lines(_RECENT, 0, RECENT_MAX - 1)]

    def counts(self) -> dict[str, int]:
        """How many transitions there were, as `closed>open`, ever since Redis was empty."""
        found = cast(dict[bytes, bytes], self._redis.hgetall(_COUNTS))
        return {name.decode(): int(count) for name, count in found.items()}

    def acquire_event_writer(self, process: str, seconds: float) -> bool:
        """Whether it is ours to write the waiting transitions down. Two at once would do no harm, only work."""
        return bool(self._redis.set(_EVENT_WRITER, process, nx=True, px=int(seconds * 1000)))

    def oldest_events(self, limit: int) -> dict[bytes, Event]:
        """Transitions that wait to be written down, oldest first, by the lines they are kept as."""
        return {line: _event_of(line) for line in reversed(self._lines(_EVENTS, -limit, -1))}

    def drop_events(self, lines: Iterable[bytes]) -> None:
        """They are written down."""
        pipeline = self._redis.pipeline(transaction=False)
        for line in lines:
            pipeline.lrem(_EVENTS, -1, line.decode())
        pipeline.execute()

    def _lines(self, key: str, start: int, end: int) -> list[bytes]:
        return cast(list[bytes], self._redis.lrange(key, start, end))


def read_state(client: redis.Redis) -> tuple[FleetState, float]:
    """The state and Redis's time, in one round trip. Raises redis.RedisError, StateUnreadable."""
    pipeline = client.pipeline(transaction=False)
    pipeline.get(STATE_KEY)
    pipeline.time()
    try:
        text, (seconds, microseconds) = pipeline.execute()
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        raise StateUnreadable("not a string") from error
    return _state_of(text), seconds + microseconds / 1e6


def state_now(client: redis.Redis) -> FleetState:
    """The state without the time: one command. Raises redis.RedisError, StateUnreadable."""
    try:
        return _state_of(cast("bytes | None", client.get(STATE_KEY)))
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        raise StateUnreadable("not a string") from error


def _state_of(text: bytes | None) -> FleetState:
    return FleetState() if text is None else FleetState.from_json(text)


def _event_of(line: bytes) -> Event:
    values = json.loads(line)
    values["before"], values["after"] = BreakerState(values["before"]), BreakerState(values["after"])
    values["reason"] = BreakerReason(values["reason"]) if values["reason"] else None
    return Event(**values)


def _dump_calls(calls: Sequence[Call]) -> str:
    """Alike ones of about the same age as one entry with a count: most are, and were all well."""
    alike = Counter(
        (
            round(call.age_seconds / _AGE_STEP_SECONDS) * _AGE_STEP_SECONDS,
            int(call.failed),
            int(call.slow),
            call.reason,
            int(call.trips_at_once),
            int(call.stuck),
        )
        for call in calls
    )
    return json.dumps([[*call, count] for call, count in alike.items()])


def _load_calls(window: bytes, now: float) -> list[Call]:
    seen, _, entries = window.decode().partition(" ")
    since = max(0.0, now - float(seen))
    return [
        call
        for age, failed, slow, reason, trips_at_once, stuck, count in json.loads(entries)
        for call in [
            Call(
                age + since,
                bool(failed),
                bool(slow),
                BreakerReason(reason) if reason else None,
                bool(trips_at_once),
                bool(stuck),
            )
        ]
        * count
    ]
