"""How far a broadcast is, as a line to read: a bar, the counts, the rate as measured and the time that is left."""

from __future__ import annotations

from ballast.broadcasts.progress import bar
from ballast.texts import gettext
from ballast.texts.formats import decimals, duration
from dbcore.broadcasts.broadcasts import BroadcastStatus, Progress


def line(broadcast: Progress, rate: float | None = None) -> str:
    """rate -- recipients a second, where it was measured."""
    audience, status = broadcast.audience, gettext(broadcast.status)
    if audience is None:
        if broadcast.scheduled_for is None:
            return status
        time = f"{broadcast.scheduled_for:%Y-%m-%d %H:%M %Z}"
        return gettext("{status} for {time}", status=status, time=time)
    share = broadcast.done / audience if audience else 1.0
    done = gettext("{done} of {audience}", done=broadcast.done, audience=audience)
    counts = gettext(
        "sent {sent}, blocked {blocked}, failed {failed}, unknown {unknown}",
        sent=broadcast.sent,
        blocked=broadcast.blocked,
        failed=broadcast.failed,
        unknown=broadcast.unknown,
    )
    parts = [f"{bar(share)} {share:4.0%}  {done}", counts]
    if broadcast.status is BroadcastStatus.HALTED and broadcast.halted_reason:
        parts.append(f"{status}: {broadcast.halted_reason}")
    elif broadcast.status is not BroadcastStatus.SENDING:
        parts.append(status)
    elif rate:
        left = gettext("{rate}/s, {time} left", rate=decimals(rate, 1), time=duration(broadcast.left / rate))
        parts.append(left)
    return "  ".join(parts)
