"""Broadcasts from the command line, with a progress bar: what `ballast broadcast` does."""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from datetime import UTC, datetime

from ballast.broadcasts.audience import A, B, payload_of
from ballast.broadcasts.progress import Meter
from ballast.broadcasts.service import BroadcastService
from ballast.builtin.broadcasts import StartBroadcast
from ballast.cli.broadcast_confirmation import confirmed
from ballast.cli.broadcast_progress import line
from ballast.queueing.kinds import JOB_TYPES
from ballast.texts import gettext, ngettext
from dbcore import admin_actions
from dbcore.admin_actions import DONE, AdminAction
from dbcore.breaker.override import user_here
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import BroadcastRefused, BroadcastStatus, Progress
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from dbcore.text import one_line

LISTED_MAX = 50
LOOK_EVERY_SECONDS = 0.5
"""On a terminal; elsewhere a line is printed every LINE_SECONDS."""
LINE_SECONDS = 5.0


def start(
    orders: BroadcastService,
    settings: Settings,
    job: StartBroadcast,
    *,
    key: str | None,
    yes: bool,
    try_on: int | None = None,
) -> int:
    """Start one, or find the one of this key. Returns its ID. Raises JobInvalid, BroadcastRefused, DatabaseAway,
    redis.RedisError.

    yes -- it was agreed to already: nobody is asked. try_on -- an admin who gets it first.
    """
    if job.kind not in JOB_TYPES:
        raise BroadcastRefused(gettext("an app of BALLAST_APPS switched StartBroadcast off"))
    key = f"operator-{key or uuid.uuid4().hex}"
    if broadcasts.find_by_key(orders.engine, key) is None:
        if try_on is not None:
            _try(orders, settings, job, f"{key}-try", try_on)
        job = confirmed(job, orders.engine, settings, yes=yes)
    broadcast_id = orders.start(job, key).id
    action = AdminAction(
        f"broadcast.start {key}", user_here(), "broadcast.start", str(broadcast_id), time.time()
    )
    admin_actions.record(orders.engine, action, DONE)
    return broadcast_id


def _try(orders: BroadcastService, settings: Settings, job: StartBroadcast, key: str, admin: int) -> None:
    """By a draft of its own, which nobody else gets."""
    if admin not in settings.admin_ids:
        raise BroadcastRefused(gettext("a test goes to one of ADMIN_IDS"))
    draft = broadcasts.create(orders.engine, key=key, actor=user_here(), draft=True, **job.kept())
    orders.lanes.try_out(draft.id, admin, key)
    admin_actions.record(orders.engine, action_here("broadcast.test", f"{draft.id} {admin}"), DONE)
    print(gettext("{admin} gets it in a moment, by draft {draft}", admin=str(admin), draft=str(draft.id)))


def compared(engine: GuardedEngine, broadcast_id: int) -> list[str]:
    """A line for each text. Raises BroadcastRefused."""
    broadcast = broadcasts.require_progress(engine, broadcast_id)
    if "other" not in broadcast.payload:
        raise BroadcastRefused(gettext("broadcast {number} has one text", number=str(broadcast_id)))
    deliveries.require_kept(engine, broadcast, datetime.now(UTC))
    counts = deliveries.count_variants(engine, broadcast_id)
    return [_variant(broadcast, name, counts.get(name, {})) for name in (A, B)]


def _variant(broadcast: Progress, name: str, counts: dict[str, int]) -> str:
    text = one_line(payload_of(broadcast.payload, name)["text"], 30)
    came = ngettext(
        "{count} person: sent {sent}, blocked {blocked}, failed {failed}, unknown {unknown}",
        "{count} people: sent {sent}, blocked {blocked}, failed {failed}, unknown {unknown}",
        sum(counts.values()),
        **{state: counts.get(state, 0) for state in ("sent", "blocked", "failed", "unknown")},
    )
    return f"{name}  {text:<30}  {came}"


def change(orders: BroadcastService, action: str, broadcast_id: int) -> str:
    """`pause`, `resume` or `cancel` it. Returns its status. Raises like `start`."""
    order = action_here(f"broadcast.{action}", str(broadcast_id))
    return str(getattr(orders, action)(broadcast_id, order).status)


def resend_unknown(orders: BroadcastService, broadcast_id: int) -> int:
    """Returns to how many it is sent once more. Raises like `start`."""
    order = action_here("broadcast.resend_unknown", str(broadcast_id))
    count = orders.resend_unknown(broadcast_id, uuid.uuid4().hex)
    admin_actions.record(orders.engine, order, DONE)
    return count


def listed(engine: GuardedEngine) -> list[str]:
    """The newest, one line each."""
    return [
        f"{broadcast.id:>6}  {broadcast.created_at:%Y-%m-%d %H:%M}  {_what(broadcast)}  {line(broadcast)}"
        for broadcast in broadcasts.list_recent(engine, LISTED_MAX)
    ]


def action_here(action: str, target: str) -> AdminAction:
    """What is ordered from this command line, for the books."""
    return AdminAction(uuid.uuid4().hex, user_here(), action, target.strip().upper(), time.time())


def _what(broadcast: Progress) -> str:
    text = broadcast.payload.get("text")
    return (one_line(text, 30) if text else gettext("a copied message")).ljust(30)


def watch(engine: GuardedEngine, broadcast_id: int) -> None:
    """Show it until it is over, or nothing happens without somebody's word."""
    meter = Meter()
    on_terminal = sys.stdout.isatty()
    printed_at = 0.0
    try:
        while True:
            now = time.monotonic()
            try:
                broadcast = broadcasts.require_progress(engine, broadcast_id)
                shown = line(broadcast, meter.see(broadcast.done, now))
                over = broadcast.status is not BroadcastStatus.SENDING
            except DatabaseAway:
                shown, over = (
                    gettext("the database does not answer; the broadcast goes on by itself when it does"),
                    False,
                )
            if on_terminal:
                print(
                    f"\r\x1b[K{shown if over else _in_one_line(shown)}", end="\n" if over else "", flush=True
                )
            elif over or now - printed_at >= LINE_SECONDS:
                printed_at = now
                print(shown, flush=True)
            if over:
                return
            time.sleep(LOOK_EVERY_SECONDS)
    except KeyboardInterrupt:
        look = f"`ballast broadcast show {broadcast_id} --watch`"
        print("\n" + gettext("it goes on; {command} looks again", command=look))


def _in_one_line(shown: str) -> str:
    """Cut to the terminal's width: one that wraps cannot be drawn over."""
    return shown[: shutil.get_terminal_size().columns - 1]
