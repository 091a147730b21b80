"""What `ballast breaker` and `ballast outages` print. States and reasons are the words of the program."""

from __future__ import annotations

from datetime import UTC, datetime

import redis

from ballast.texts import gettext, ngettext
from ballast.texts.columns import labelled
from ballast.texts.formats import decimals, number
from dbcore.breaker import outages
from dbcore.breaker.outages import Outage
from dbcore.breaker.store import read_state
from dbcore.breaker.view import view_of


def described(client: redis.Redis) -> str:
    """State, reason, since, until, who probes, and the last outages. Raises redis.RedisError, StateUnreadable."""
    fleet, time = read_state(client)
    now = view_of(fleet, time)
    rows = [(gettext("state"), now.state.value)]
    if now.paused_by is not None:
        rows.append((gettext("paused by"), now.paused_by))
    if now.reason is not None:
        rows.append((gettext("reason"), now.reason.value))
    if now.since:
        rows.append((gettext("since"), _time(now.since)))
    if now.until is not None:
        until = gettext(
            "{time} (next probe in {seconds} s)",
            time=_time(now.until),
            seconds=decimals(now.retry_after_seconds, 1),
        )
        rows.append((gettext("until"), until))
    if now.probers:
        rows.append((gettext("probed by"), ", ".join(now.probers)))
    for place, outage in enumerate(outages.read(client, fleet, time)):
        rows.append(("" if place else gettext("outages"), described_outage(outage, time)))
    return "\n".join(labelled(rows, least=13))


def described_outage(outage: Outage, now: float) -> str:
    """now -- by Redis's clock."""
    lasted = number(round((outage.ended_at or now) - outage.began_at))
    if outage.ended_at:
        seconds = gettext("{seconds} s", seconds=lasted)
    else:
        seconds = gettext("{seconds} s so far", seconds=lasted)
    return f"{_time(outage.began_at)}  {seconds}  {', '.join(_facts(outage))}"


def _facts(outage: Outage) -> list[str]:
    facts = [
        outage.reason.value if outage.reason else _pause(outage),
        gettext(
            "{jobs} waited, the longest {seconds} s",
            jobs=outage.jobs_waited,
            seconds=round(outage.longest_wait_seconds),
        ),
    ]
    if outage.jobs_waited and outage.ended_at and outage.drained_at:
        after = round(max(0.0, outage.drained_at - outage.ended_at))
        facts.append(gettext("the last finished {seconds} s after", seconds=after))
    if outage.jobs_left and outage.ended_at:
        facts.append(gettext("{jobs} still wait", jobs=outage.jobs_left))
    if outage.failed_probes:
        facts.append(ngettext("{count} probe failed", "{count} probes failed", outage.failed_probes))
    return facts


def _pause(outage: Outage) -> str:
    if outage.paused_by:
        return gettext("pause by {operator}", operator=outage.paused_by)
    return gettext("pause by an operator")


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
