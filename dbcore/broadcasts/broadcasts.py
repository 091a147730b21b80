"""Broadcasts: one message to everybody in a segment, at most once each. What they are and what becomes of them as a
whole; how their recipients are handed out to senders is in `broadcast_leases`.

    draft ──▶ (scheduled) ──▶ sending ──▶ finished
                                │ ▲
                  paused, halted ┘ └ resume            any but finished ──▶ cancelled

`halted` is a broadcast that stopped itself, for a reason that needs an operator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg2

from dbcore import keys
from dbcore.admin_actions import DONE, AdminAction, insert_statement
from dbcore.sentences import Refusal, Sentence, sentence
from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

SNAPSHOT_SECONDS_MAX = 50.0
"""For taking down the audience, 6 s for a million on a slow machine, in one statement. Below a task's time limit."""

_AUDIENCE_TOO_LARGE = "BL001"


class BroadcastStatus(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    HALTED = "halted"
    CANCELLED = "cancelled"
    FINISHED = "finished"

    @property
    def is_over(self) -> bool:
        return self in {BroadcastStatus.CANCELLED, BroadcastStatus.FINISHED}


class BroadcastRefused(Refusal):
    """What was asked cannot be done with this broadcast now. It says why to whoever asked, in one sentence that begins
    small and has no full stop.
    """


class DoesNothing(BroadcastRefused):
    """order -- such as `pause`, as the catalogues have it."""

    def __init__(self, broadcast_id: int, status: str, order: str) -> None:
        super().__init__(
            sentence(
                "broadcast {id} is {status}: {order} does nothing to it",
                id=str(broadcast_id),
                status=Sentence(status),
                order=Sentence(order),
            )
        )


class DraftChanged(BroadcastRefused):
    """It is not what was expected any more. Nothing was begun."""

    def __init__(self, broadcast_id: int) -> None:
        super().__init__(
            sentence(
                "broadcast {id} was changed after you were shown it; look at its card and confirm once more",
                id=str(broadcast_id),
            )
        )


class AudienceTooLarge(BroadcastRefused):
    """More people than the order allows for. Nobody was taken down."""

    def __init__(self, audience: int) -> None:
        super().__init__(sentence("an audience of {people} is more than was allowed for", people=audience))
        self.audience = audience


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A broadcast and how far it is.

    payload -- `{"text": html}`, `{"text": plain, "entities": […]}` or `{"copy": {"chat_id": …, "message_ids": […]}}`.
        A text may have `media`, `{"type": "photo", "file_id": …}`, below which it stands, `buttons`, rows of
        `{"text": …, "url": …}` or `{"text": …, "data": …}`, and `other`, the text that every second person gets
        instead. A copy may have `buttons` with links, and says with `of` which messages the admin meant, where
        `message_ids` are the bot's own copies of them.
    canary -- so many go out first, and alone.
    canary_rule -- where nobody else follows before these are done: `percent` of the audience in place of `canary`; and
        `failures_max`, the percentage of them up to which it goes on by itself. Without that it waits for a word.
    canary_until -- the last user of a canary by rule; None where nobody waits for it.
    quiet_hours -- `{"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"}`: nothing goes out between these.
    audience -- how many were taken down when it began; None before.
    run -- counts its starts and resumptions.
    by_program -- a plain program sends it (broadcast_loop), and the workers leave it alone.
    """

    id: int
    idempotency_key: str
    status: BroadcastStatus
    payload: dict[str, Any]
    actor: str
    paid: bool
    stars_max: int | None
    canary: int
    canary_rule: dict[str, float] | None = None
    canary_until: int | None = None
    scheduled_for: datetime | None
    quiet_hours: dict[str, str] | None
    audience: int | None
    sent: int
    blocked: int
    failed: int
    unknown: int
    halted_reason: str | None
    admin_chat_id: int | None
    card_message_id: int | None
    run: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    by_program: bool

    @property
    def done(self) -> int:
        """Recipients with a final state."""
        return self.sent + self.blocked + self.failed + self.unknown

    @property
    def pieces(self) -> int:
        """Messages that each recipient gets: several of an album."""
        return len(self.payload["copy"]["message_ids"]) if "copy" in self.payload else 1

    @property
    def left(self) -> int:
        return (self.audience or 0) - self.done


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast(Progress):
    """With whom it is for, which may be a long list: for who has to know that.

    segment -- `active_days`, `seen_until`, `joined_since` (ISO 8601), `balance_min`, `balance_max` (minor units),
        `language`, `telegram_ids`, `sql`, `app`; all that are given must hold.
    """

    segment: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BroadcastState:
    """How a broadcast stands after it was told to begin or to go on."""

    status: BroadcastStatus
    run: int
    audience: int | None = None


B = TypeVar("B", bound=Progress)

_AGREED = (
    "(status <> 'draft' OR (payload, segment, paid) = (%s::jsonb, %s::jsonb, %s) "
    "AND (stars_max, scheduled_for, quiet_hours) IS NOT DISTINCT FROM (%s::integer, %s::timestamptz, %s::jsonb))"
)
"""Whether a draft is still the expected one."""


def create(
    engine: GuardedEngine,
    *,
    key: str,
    payload: Mapping[str, Any],
    segment: Mapping[str, Any],
    actor: str,
    paid: bool = False,
    stars_max: int | None = None,
    canary: int = 20,
    canary_rule: Mapping[str, float] | None = None,
    scheduled_for: datetime | None = None,
    quiet_hours: Mapping[str, str] | None = None,
    admin_chat_id: int | None = None,
    draft: bool = False,
    by_program: bool = False,
    earlier_key: str | None = None,
) -> Broadcast:
    """Write a broadcast down; `begin` sends it. The same key again answers with the broadcast of the first time.

    earlier_key -- under which an earlier release may have written it down (keys.py).
    draft -- it waits for a word even where it has a time.
    admin_chat_id -- where its card is shown.
    Raises BroadcastRefused where the key was used for something else.
    """
    status = BroadcastStatus.SCHEDULED if scheduled_for and not draft else BroadcastStatus.DRAFT
    broadcast = None if earlier_key is None else find_by_key(engine, earlier_key)
    if broadcast is None:
        row = engine.fetch_row(
            "WITH made AS (INSERT INTO ballast.broadcasts (idempotency_key, status, payload, segment, actor, paid, "
            "stars_max, canary, canary_rule, scheduled_for, quiet_hours, admin_chat_id, by_program) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (idempotency_key) DO NOTHING RETURNING id) SELECT max(id) FROM made",
            (
                key,
                status.value,
                _jsonb(payload),
                _jsonb(segment),
                storable(actor),
                paid,
                stars_max,
                canary,
                None if canary_rule is None else _jsonb(canary_rule),
                scheduled_for,
                None if quiet_hours is None else _jsonb(quiet_hours),
                admin_chat_id,
                by_program,
            ),
            name="broadcasts.create",
        )
        broadcast = find_by_key(engine, key) if row[0] is None else require(engine, row[0])
    assert broadcast is not None  # noqa: S101  made right above, or before
    same = (broadcast.payload, broadcast.segment, broadcast.paid) == (
        _stored(payload),
        _stored(segment),
        paid,
    )
    if not same or (broadcast.by_program and not by_program):
        raise BroadcastRefused(
            sentence(
                "the key {key} was used before, for another broadcast ({id})",
                key=repr(key),
                id=str(broadcast.id),
            )
        )
    return broadcast


def change_draft(engine: GuardedEngine, broadcast_id: int, **changes: Any) -> Broadcast:
    """Change `payload`, `segment`, `paid`, `stars_max`, `scheduled_for` or `quiet_hours` of a draft."""
    allowed = {"payload", "segment", "paid", "stars_max", "scheduled_for", "quiet_hours"}
    if not changes or not changes.keys() <= allowed:
        raise ValueError(f"of a draft one changes {', '.join(sorted(allowed))}, not {', '.join(changes)}")
    assignments = ", ".join(f"{name} = %s" for name in changes)
    values = [_jsonb(value) if isinstance(value, Mapping) else value for value in changes.values()]
    row = engine.fetch_row(
        f"WITH changed AS (UPDATE ballast.broadcasts SET {assignments} WHERE id = %s AND status = 'draft' RETURNING 1) "  # noqa: S608
        "SELECT count(*) FROM changed",
        (*values, broadcast_id),
        name="broadcasts.change_draft",
    )
    broadcast = require(engine, broadcast_id)
    if not row[0]:
        raise BroadcastRefused(
            sentence(
                "broadcast {id} is {status}: it cannot be changed any more",
                id=str(broadcast_id),
                status=Sentence(broadcast.status),
            )
        )
    return broadcast


def schedule(engine: GuardedEngine, broadcast_id: int, *, expected: Broadcast | None = None) -> Broadcast:
    """A draft with a time is to begin at that time, without another word.

    expected -- the draft as somebody confirmed it: raises DraftChanged if it has changed since.
    """
    condition, values = _condition(expected)
    row = engine.fetch_row(
        f"WITH changed AS (UPDATE ballast.broadcasts SET status = 'scheduled' WHERE id = %s "  # noqa: S608
        f"AND scheduled_for IS NOT NULL AND status IN ('draft', 'scheduled') AND {condition} RETURNING 1) "
        "SELECT count(*) FROM changed",
        (broadcast_id, *values),
        name="broadcasts.schedule",
    )
    broadcast = require(engine, broadcast_id)
    if not row[0] and expected is not None and broadcast.status is BroadcastStatus.DRAFT:
        raise DraftChanged(broadcast_id)
    if not row[0]:
        raise BroadcastRefused(
            sentence(
                "broadcast {id} is {status}: it cannot be scheduled",
                id=str(broadcast_id),
                status=Sentence(broadcast.status),
            )
        )
    return broadcast


def place_card(engine: GuardedEngine, broadcast_id: int, *, chat_id: int, message_id: int) -> None:
    """Remember the message in which an admin sees how far it is."""
    engine.fetch_row(
        "WITH changed AS (UPDATE ballast.broadcasts SET admin_chat_id = %s, card_message_id = %s WHERE id = %s "
        "RETURNING 1) SELECT count(*) FROM changed",
        (chat_id, message_id, broadcast_id),
        name="broadcasts.place_card",
    )


def audience_size(
    engine: GuardedEngine, segment: Mapping[str, Any], listed: Sequence[int] | None = None
) -> int:
    """How many people a broadcast to this segment would reach now. listed -- see `begin`."""
    row = engine.fetch_row(
        "SELECT count(*) FROM ballast.broadcast_reachable(%s, %s, %s::bigint[])",
        (_jsonb(segment), engine.currency, _listed(listed)),
        name="broadcasts.audience_size",
        writes=False,
        deadline_seconds=SNAPSHOT_SECONDS_MAX,
    )
    return int(row[0])


def begin(
    engine: GuardedEngine,
    broadcast_id: int,
    *,
    audience_max: int | None = None,
    expected: Broadcast | None = None,
    listed: Sequence[int] | None = None,
) -> BroadcastState:
    """Take the audience down, in one statement, and let the sending begin. Twice is as once.

    listed -- Telegram IDs: whom the segment's own SQL or an app's names (segments.py); None where it has neither.

    expected -- the draft as somebody confirmed it: nothing else is begun.
    Raises AudienceTooLarge, DraftChanged, BroadcastRefused.
    """
    condition, values = _condition(expected)
    with _too_large():
        row = engine.fetch_row(
            # Both in one transaction; the time-out is for the second alone, and ends with it.
            "SELECT set_config('statement_timeout', %s, true); "  # noqa: S608  our own condition
            "SELECT r_status, r_run, r_audience FROM (VALUES (1)) AS one LEFT JOIN LATERAL (SELECT begun.* FROM "
            f"(SELECT id FROM ballast.broadcasts WHERE id = %s AND {condition} FOR UPDATE) AS found, "
            "LATERAL ballast.broadcast_begin(found.id, %s, %s, %s::bigint[]) AS begun) AS begun ON true",
            (
                f"{SNAPSHOT_SECONDS_MAX:.0f}s",
                broadcast_id,
                *values,
                engine.currency,
                audience_max,
                _listed(listed),
            ),
            name="broadcasts.begin",
            deadline_seconds=SNAPSHOT_SECONDS_MAX,
        )
    status, run, audience = row
    if status is None:
        require(engine, broadcast_id)
        raise DraftChanged(broadcast_id)
    return BroadcastState(BroadcastStatus(status), run, audience)


def _listed(ids: Sequence[int] | None) -> list[int] | None:
    return None if ids is None else list(ids)


def _condition(expected: Broadcast | None) -> tuple[str, tuple[Any, ...]]:
    if expected is None:
        return "true", ()
    quiet_hours = None if expected.quiet_hours is None else _jsonb(expected.quiet_hours)
    return _AGREED, (
        _jsonb(expected.payload),
        _jsonb(expected.segment),
        expected.paid,
        expected.stars_max,
        expected.scheduled_for,
        quiet_hours,
    )


def pause(engine: GuardedEngine, broadcast_id: int, order: AdminAction | None = None) -> BroadcastState:
    """Nothing new is sent; what is under way ends. Raises BroadcastRefused.

    order -- written down with it, where it is obeyed; so for the next two.
    """
    return _ordered(engine, broadcast_id, "pause", order=order)


def resume(engine: GuardedEngine, broadcast_id: int, order: AdminAction | None = None) -> BroadcastState:
    """Go on, with a new run: also where a broadcast that is sending lost its jobs. Raises BroadcastRefused."""
    return _ordered(engine, broadcast_id, "resume", order=order)


def cancel(engine: GuardedEngine, broadcast_id: int, order: AdminAction | None = None) -> BroadcastState:
    """For ever. What is out stays out. Raises BroadcastRefused."""
    return _ordered(engine, broadcast_id, "cancel", order=order)


def halt(engine: GuardedEngine, broadcast_id: int, reason: str) -> BroadcastState:
    """Stop until an operator resumes or cancels it. Raises BroadcastRefused."""
    return _ordered(engine, broadcast_id, "halt", reason)


def _ordered(
    engine: GuardedEngine,
    broadcast_id: int,
    word: str,
    reason: str | None = None,
    order: AdminAction | None = None,
) -> BroadcastState:
    statement = "SELECT * FROM ballast.broadcast_order(%s, %s, %s)"
    parameters: tuple[Any, ...] = (broadcast_id, word, reason and storable(reason))
    if order is not None:
        booked, action_parameters = insert_statement(
            order, DONE, where="FROM ordered WHERE r_obeyed AND r_status IS NOT NULL"
        )
        statement = f"WITH ordered AS ({statement}), booked AS ({booked}) SELECT * FROM ordered"  # noqa: S608  ours
        parameters += action_parameters
    status, run, obeyed = engine.fetch_row(statement, parameters, name=f"broadcasts.{word}")
    if status is None:
        raise _unknown(broadcast_id)
    if not obeyed:
        raise DoesNothing(broadcast_id, status, word)
    return BroadcastState(BroadcastStatus(status), run)


def resend_unknown(
    engine: GuardedEngine, broadcast_id: int, key: str, *, audience_max: int | None = None
) -> tuple[BroadcastState, int]:
    """Send once more to those of whom nobody knows whether they got it: some get it twice. Returns how many they are,
    and by the same key again none.

    audience_max -- how many messages it may be in all, those of before and these.
    A finished broadcast is sending again then. Raises AudienceTooLarge, BroadcastRefused.
    """
    with _too_large():
        status, run, obeyed, resent = engine.fetch_row(
            "SELECT * FROM ballast.broadcast_resend_unknown(%s, %s, %s, %s)",
            (broadcast_id, key, audience_max, engine.deliveries_keep_days),
            name="broadcasts.resend_unknown",
            deadline_seconds=SNAPSHOT_SECONDS_MAX,
        )
    if status is None:
        raise _unknown(broadcast_id)
    if not obeyed:
        raise BroadcastRefused(
            sentence(
                "broadcast {id} is {status}: nothing of it can be sent again",
                id=str(broadcast_id),
                status=Sentence(status),
            )
        )
    return BroadcastState(BroadcastStatus(status), run), resent


def progress(engine: GuardedEngine, broadcast_id: int) -> Progress | None:
    """One broadcast as it stands now; None where there is none of this id."""
    return _one(engine, Progress, "id = %s", broadcast_id, "broadcasts.progress")


def find_by_key(engine: GuardedEngine, key: str) -> Broadcast | None:
    """By a caller's key, or the id of the job that an operator's key stands for."""
    known = [key, keys.of_job(key).key]
    condition = "idempotency_key = ANY(%s) ORDER BY id LIMIT 1"
    return _one(engine, Broadcast, condition, known, "broadcasts.find_by_key")


def require_progress(engine: GuardedEngine, broadcast_id: int) -> Progress:
    """Raises BroadcastRefused where there is none of this id."""
    found = progress(engine, broadcast_id)
    if found is None:
        raise _unknown(broadcast_id)
    return found


def require(engine: GuardedEngine, broadcast_id: int) -> Broadcast:
    """Raises BroadcastRefused where there is none of this id."""
    broadcast = _one(engine, Broadcast, "id = %s", broadcast_id, "broadcasts.require")
    if broadcast is None:
        raise _unknown(broadcast_id)
    return broadcast


def list_recent(
    engine: GuardedEngine, limit: int, *, before: int | None = None, status: BroadcastStatus | None = None
) -> list[Progress]:
    """The newest, newest first. before -- only those with smaller ids; status -- only those of it."""
    (rows,) = engine.fetch_row(
        f"SELECT coalesce(jsonb_agg(b ORDER BY b.id DESC), '[]') FROM "  # noqa: S608  our own column names
        f"(SELECT {_columns(Progress)} FROM ballast.broadcasts WHERE (%s::bigint IS NULL OR id < %s) "
        "AND (%s::text IS NULL OR status = %s) ORDER BY id DESC LIMIT %s) AS b",
        (before, before, status, status, limit),
        name="broadcasts.listed",
        writes=False,
    )
    return [_read(Progress, row) for row in rows]


def list_active(engine: GuardedEngine) -> dict[int, datetime | None]:
    """All that the workers are sending, and those that are scheduled with their time."""
    (rows,) = engine.fetch_row(
        "SELECT coalesce(jsonb_agg(jsonb_build_array(id, CASE status WHEN 'scheduled' THEN scheduled_for END)), '[]') "
        "FROM ballast.broadcasts WHERE status IN ('scheduled', 'sending') AND NOT by_program",
        name="broadcasts.under_way",
        writes=False,
    )
    return {broadcast_id: time and datetime.fromisoformat(time) for broadcast_id, time in rows}


def _one(engine: GuardedEngine, kind: type[B], condition: str, value: object, name: str) -> B | None:
    (row,) = engine.fetch_row(
        f"SELECT (SELECT to_jsonb(b) FROM (SELECT {_columns(kind)} FROM ballast.broadcasts WHERE {condition}) AS b)",  # noqa: S608
        (value,),
        name=name,
        writes=False,
    )
    return None if row is None else _read(kind, row)


def _columns(kind: type[Progress]) -> str:
    return ", ".join(field.name for field in fields(kind))


def _read(kind: type[B], row: dict[str, Any]) -> B:
    times = ("scheduled_for", "created_at", "started_at", "finished_at")
    read = {name: datetime.fromisoformat(row[name]) for name in times if row[name] is not None}
    return kind(**{**row, **read, "status": BroadcastStatus(row["status"])})


@contextmanager
def _too_large() -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        if error.pgcode == _AUDIENCE_TOO_LARGE:
            raise AudienceTooLarge(int(error.diag.message_primary or 0)) from error
        raise


def _unknown(broadcast_id: int) -> BroadcastRefused:
    return BroadcastRefused(
        sentence("there is no broadcast {id}; `broadcast list` shows those there are", id=str(broadcast_id))
    )


def _jsonb(value: Mapping[str, Any]) -> str:
    return json.dumps(_stored(value))


def _stored(value: object) -> Any:
    """The value as PostgreSQL keeps and answers it: plain JSON, and no text that cannot be stored."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {key: _stored(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(item) for item in value]
    return value
