"""The public status page: whether the bot works, in a sentence, and its uptime. No figure of the fleet is on it, and no
reason. It is made of what the monitor saw last, and has it look no sooner: strangers cost Redis nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import HTMLResponse, Response

from ballast.status.health import ServiceState, service_state
from bot_frontend.web.page import SAFE_PAGE_HEADERS, STATIC
from bot_frontend.web.snapshot import StatusSnapshot
from bot_frontend.web.status import health_inputs
from dbcore.breaker.outage_history import Uptime

PATH = "/status-page"

_WORDS = {
    ServiceState.WORKS: ("ok", "The bot is working", "Messages are answered as they come."),
    ServiceState.LATE: (
        "degraded",
        "Answers may be late",
        "Messages are taken. Some answers take longer than usual.",
    ),
    ServiceState.PAUSED: (
        "away",
        "Paused for maintenance",
        "Messages are kept and answered as soon as the bot is back.",
    ),
    ServiceState.FAILS: (
        "down",
        "We have a technical problem",
        "Messages are kept and answered as soon as it is fixed.",
    ),
    ServiceState.UNKNOWN: ("unknown", "Status unknown", "Please look again in a minute."),
}


class PublicStatus:
    def __init__(self) -> None:
        self._page = (STATIC / "public-status.html").read_text(encoding="utf-8")

    def page(self, look: StatusSnapshot, now: float) -> Response:
        state = ServiceState.UNKNOWN if look.seen_at is None else service_state(health_inputs(look, now))
        level, title, words = _WORDS[state]
        page = self._page
        for mark, text in {
            "level": level,
            "title": title,
            "words": words,
            "uptime": _uptime(look.history.uptimes),
            "now": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}",
        }.items():
            page = page.replace(f"<!-- {mark} -->", text)
        return HTMLResponse(page, headers=SAFE_PAGE_HEADERS)


def _uptime(uptimes: tuple[Uptime, ...]) -> str:
    """Rows of the table; of what was not measured there is none."""
    rows, shown = [], 0.0
    for each in uptimes:
        if each.measured_seconds <= shown:
            break
        shown = each.measured_seconds
        rows.append(f"<dt>Last {_long(each)}</dt><dd>{each.percent}</dd>")
    return "".join(rows) or "<dt>Uptime</dt><dd>not known yet</dd>"


def _long(uptime: Uptime) -> str:
    seconds = min(3600 * uptime.hours, uptime.measured_seconds)
    for unit, unit_seconds in (("day", 86_400), ("hour", 3600)):
        if seconds >= 2 * unit_seconds:
            return f"{round(seconds / unit_seconds)} {unit}s"
    minutes = max(1, round(seconds / 60))
    return "minute" if minutes == 1 else f"{minutes} minutes"
