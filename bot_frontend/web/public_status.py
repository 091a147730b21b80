"""The public status page: whether the bot works, in a sentence, and its uptime. No figure of the fleet is on it, and no
reason. It is made of what the monitor saw last, and has it look no sooner: strangers cost Redis nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from starlette.responses import HTMLResponse, Response

from ballast.status.health import ServiceState, service_state
from ballast.texts import gettext, gettext_noop, ngettext
from ballast.texts.formats import day, decimals
from bot_frontend.web.page import SAFE_PAGE_HEADERS
from bot_frontend.web.page_html import PageTemplate
from bot_frontend.web.page_scripts import STATIC
from bot_frontend.web.snapshot import StatusSnapshot
from bot_frontend.web.status import health_inputs
from dbcore.breaker.outage_history import Uptime

PATH = "/status-page"

_WORDS = {
    ServiceState.WORKS: (
        "ok",
        gettext_noop("The bot is working"),
        gettext_noop("Messages are answered as they come."),
    ),
    ServiceState.LATE: (
        "degraded",
        gettext_noop("Answers may be late"),
        gettext_noop("Messages are taken. Some answers take longer than usual."),
    ),
    ServiceState.PAUSED: (
        "away",
        gettext_noop("Paused for maintenance"),
        gettext_noop("Messages are kept and answered as soon as the bot is back."),
    ),
    ServiceState.FAILS: (
        "down",
        gettext_noop("We have a technical problem"),
        gettext_noop("Messages are kept and answered as soon as it is fixed."),
    ),
    ServiceState.UNKNOWN: (
        "unknown",
        gettext_noop("Status unknown"),
        gettext_noop("Please look again in a minute."),
    ),
}


class PublicStatus:
    def __init__(self) -> None:
        self._template = PageTemplate((STATIC / "public-status.html").read_text(encoding="utf-8"))

    def page(self, look: StatusSnapshot, now: float) -> Response:
        """In the language that is spoken."""
        state = ServiceState.UNKNOWN if look.seen_at is None else service_state(health_inputs(look, now))
        level, title, words = _WORDS[state]
        moment = datetime.fromtimestamp(now, UTC)
        texts = {
            "title": gettext(title),
            "words": gettext(words),
            "as-of": gettext(
                "As of {time} UTC. Reload this page to look again.",
                time=f"{day(moment)} {moment:%H:%M:%S}",
            ),
        }
        page = self._template.translated().replace("<!-- rows -->", _rows(look.history.uptimes))
        page = page.replace("<!-- level -->", level)
        for mark, text in texts.items():
            page = page.replace(f"<!-- {mark} -->", escape(text))
        return HTMLResponse(page, headers={**SAFE_PAGE_HEADERS, "Vary": "Accept-Language"})


def _rows(uptimes: tuple[Uptime, ...]) -> str:
    """Of the table; of what was not measured there is none."""
    rows, shown = [], 0.0
    for each in uptimes:
        if each.measured_seconds <= shown:
            break
        shown = each.measured_seconds
        rows.append((_span(each), _percent(each)))
    if not rows:
        rows = [(gettext("Uptime"), gettext("not known yet"))]
    return "".join(f"<dt>{escape(span)}</dt><dd>{escape(percent)}</dd>" for span, percent in rows)


def _span(uptime: Uptime) -> str:
    seconds = min(3600 * uptime.hours, uptime.measured_seconds)
    if seconds >= 2 * 86_400:
        return ngettext("Last day", "Last {count} days", round(seconds / 86_400))
    if seconds >= 2 * 3600:
        return ngettext("Last hour", "Last {count} hours", round(seconds / 3600))
    return ngettext("Last minute", "Last {count} minutes", max(1, round(seconds / 60)))


def _percent(uptime: Uptime) -> str:
    whole = uptime.percent.removesuffix("%")
    return gettext("{percent}%", percent=decimals(float(whole), 2) if "." in whole else whole)
