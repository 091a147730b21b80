"""A broadcast's card: the message in which an admin draws it up, begins it, and sees how far it is. Telegram's HTML.

Pure: the broadcast as it stands, and what was found out about it, make a text and its buttons.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ballast.apps.command_names import joined, mention
from ballast.apps.installed import INSTALLED
from ballast.broadcasts import halts
from ballast.broadcasts.cards import View
from ballast.broadcasts.cost import stars_counted, stars_for
from ballast.broadcasts.progress import bar
from ballast.builtin import button_data
from ballast.builtin.broadcasts import CardButton, CardQuestion
from ballast.messages import Button
from ballast.texts import gettext, gettext_noop, ngettext
from ballast.texts.formats import amount, day, decimals, duration, share, zone
from ballast.texts.phrases import escape, shown
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus, Progress
from dbcore.settings import Settings

CARD_BAR_LENGTH = 16
"""As wide as a phone shows it in one line with the share behind it."""

LISTED_LENGTH_MAX = 40
"""Of a broadcast's text, in the list of the newest."""

Rows = tuple[tuple[Button, ...], ...]


def draft_text(broadcast: Broadcast, audience: int, rate: float, settings: Settings) -> str:
    """audience -- how many it would reach now. rate -- recipients a second that it would be sent at."""
    when = gettext("once you confirm")
    if broadcast.scheduled_for:
        when = _time(broadcast.scheduled_for, settings)
    lines = [
        _head(broadcast),
        gettext("To: {segment}", segment=segment_text(broadcast.segment, settings)),
        ngettext("That is <b>{count} person</b> now.", "That is <b>{count} people</b> now.", audience),
        gettext("When: {when}", when=when),
        *_quiet_lines(broadcast),
        gettext(
            "Takes about {duration}, {cost}.",
            duration=duration(audience / rate),
            cost=_cost(broadcast, audience),
        ),
        *_payload_lines(broadcast),
    ]
    return "\n".join(lines)


STATUSES = (
    gettext_noop("draft"),
    gettext_noop("scheduled"),
    gettext_noop("sending"),
    gettext_noop("paused"),
    gettext_noop("halted"),
    gettext_noop("cancelled"),
    gettext_noop("finished"),
)
"""As a broadcast's status is called; and what orders are called in a refusal."""
ORDERS = (gettext_noop("pause"), gettext_noop("resume"), gettext_noop("cancel"))


def _head(broadcast: Progress) -> str:
    return gettext("<b>Broadcast {id}</b> · {status}", id=str(broadcast.id), status=gettext(broadcast.status))


def progress_text(
    broadcast: Progress, rate: float | None, quiet_until: datetime | None, settings: Settings
) -> str:
    """rate -- recipients a second as measured. quiet_until -- where it rests now."""
    lines = [_head(broadcast)]
    if broadcast.status is BroadcastStatus.SCHEDULED and broadcast.scheduled_for is not None:
        lines += [
            gettext("It begins {time}.", time=_time(broadcast.scheduled_for, settings)),
            *_quiet_lines(broadcast),
        ]
    if broadcast.status is BroadcastStatus.HALTED:
        why = halts.shown(broadcast.halted_reason or "")
        lines.append(gettext("It stopped itself: {why}", why=why))
    if broadcast.audience is None:
        return "\n".join(lines)
    done = broadcast.done / broadcast.audience if broadcast.audience else 1.0
    lines += [
        f"{bar(done, CARD_BAR_LENGTH)} {share(done)}",
        gettext("{done} of {all}", done=broadcast.done, all=broadcast.audience),
        gettext(
            "sent {sent} · blocked {blocked} · failed {failed} · unknown {unknown}",
            sent=broadcast.sent,
            blocked=broadcast.blocked,
            failed=broadcast.failed,
            unknown=broadcast.unknown,
        ),
    ]
    if broadcast.status is BroadcastStatus.SENDING and quiet_until is not None:
        lines.append(gettext("Quiet hours: it goes on {time}.", time=_time(quiet_until, settings)))
    elif broadcast.status is BroadcastStatus.SENDING and rate:
        left = duration(broadcast.left / rate)
        lines.append(gettext("{rate}/s, {duration} left", rate=decimals(rate, 1), duration=left))
    elif broadcast.status.is_over and broadcast.started_at and broadcast.finished_at:
        took = (broadcast.finished_at - broadcast.started_at).total_seconds()
        lines.append(gettext("Over after {duration}.", duration=duration(took)))
    return "\n".join(lines)


def _payload_lines(broadcast: Broadcast) -> list[str]:
    copy = broadcast.payload.get("copy")
    if copy is None:
        return [gettext("They get the message above.")]
    lines = [gettext("They get a copy of the message above. Do not delete it before the broadcast is over.")]
    if copy.get("buttons_lost"):
        lines.append(gettext("Its buttons are left out: only links can be sent along."))
    return lines


def buttons(broadcast: Progress, view: View) -> Rows:
    if not INSTALLED.has_button("card"):
        return ()
    match broadcast.status, view:
        case BroadcastStatus.DRAFT, View.SEGMENT:
            return _segment_buttons(broadcast.id)
        case BroadcastStatus.DRAFT, View.WHEN:
            return _when_buttons(broadcast)
        case BroadcastStatus.DRAFT, _:
            assert isinstance(broadcast, Broadcast)  # noqa: S101  what is confirmed is whom it is for, too
            return _draft_buttons(broadcast)
        case ((BroadcastStatus.FINISHED | BroadcastStatus.CANCELLED), _):
            return _last_buttons(broadcast, view)
        case _, View.CANCEL:
            return (
                (
                    _button(gettext("Yes, cancel permanently"), broadcast.id, CardButton.CANCEL_SURELY),
                    _button(gettext("No"), broadcast.id, CardButton.MAIN),
                ),
            )
        case ((BroadcastStatus.PAUSED | BroadcastStatus.HALTED), _):
            first = _button(gettext("Resume"), broadcast.id, CardButton.RESUME)
        case _:
            first = _button(gettext("Pause"), broadcast.id, CardButton.PAUSE)
    return ((first, _button(gettext("Cancel"), broadcast.id, CardButton.CANCEL)),)


def list_text(newest: Sequence[Progress]) -> str:
    if not newest:
        return joined(
            gettext("There are no broadcasts yet."), mention("broadcast", "{command} draws one up.")
        )
    return "\n".join(f"<b>{each.id}</b> {_listed(each)}" for each in newest)


def list_buttons(newest: Sequence[Progress]) -> Rows:
    if not INSTALLED.has_button("card"):
        return ()
    shown = [_button(str(each.id), each.id, CardButton.SHOW) for each in newest]
    rows = tuple(tuple(shown[first : first + 5]) for first in range(0, len(shown), 5))
    last = next((each for each in newest if each.status.is_over and each.sent), None)
    if last is None:
        return rows
    return (
        *rows,
        (
            _button(
                gettext("Delete what was sent of {id}…", id=str(last.id)), last.id, CardButton.ERASE_SHOWN
            ),
        ),
    )


def fingerprint(broadcast: Broadcast) -> str:
    """Of all that a confirmation confirms: eight characters that fit a button's data."""
    agreed = [
        broadcast.payload,
        broadcast.segment,
        broadcast.paid,
        broadcast.stars_max,
        broadcast.scheduled_for and broadcast.scheduled_for.isoformat(),
        broadcast.quiet_hours,
    ]
    return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()[:8]


def segment_text(segment: Mapping[str, Any], settings: Settings) -> str:
    parts = []
    if "active_days" in segment:
        days = segment["active_days"]
        parts.append(ngettext("seen within {count} day", "seen within {count} days", days))
    if "seen_until" in segment:
        since = _time(datetime.fromisoformat(segment["seen_until"]), settings)
        parts.append(gettext("not seen since {time}", time=since))
    if "joined_since" in segment:
        since = _time(datetime.fromisoformat(segment["joined_since"]), settings)
        parts.append(gettext("joined since {time}", time=since))
    if "balance_min" in segment:
        least = amount(segment["balance_min"], settings.currency_exponent, settings.currency)
        parts.append(gettext("a balance of {amount} or more", amount=least))
    if "balance_max" in segment:
        most = amount(segment["balance_max"], settings.currency_exponent, settings.currency)
        parts.append(gettext("a balance of {amount} or less", amount=most))
    if "language" in segment:
        parts.append(gettext("language {code}", code=escape(segment["language"])))
    if "telegram_ids" in segment:
        parts.append(gettext("in a list of {count}", count=len(segment["telegram_ids"])))
    if "app" in segment:
        parts.append(gettext("in the segment {name}", name=escape(segment["app"])))
    if "sql" in segment:
        parts.append(gettext("in the list of a query"))
    if not parts:
        return gettext("everybody")
    together = parts[0]
    for part in parts[1:]:
        together = gettext("{one} and {other}", one=together, other=part)
    return together


def _listed(broadcast: Progress) -> str:
    words = shown(broadcast.payload.get("text", gettext("a copied message")), LISTED_LENGTH_MAX)
    reached = []
    if broadcast.audience is not None:
        reached.append(gettext("{done} of {all}", done=broadcast.done, all=broadcast.audience))
    if broadcast.sent != broadcast.done:
        reached.append(gettext("sent {sent}", sent=broadcast.sent))
    parts = [day(broadcast.created_at), gettext(broadcast.status), ", ".join(reached), words]
    return " · ".join(filter(None, parts))


def _cost(broadcast: Broadcast, audience: int) -> str:
    if not broadcast.paid:
        return gettext("free")
    cost = gettext("at most {stars}", stars=stars_counted(stars_for(audience)))
    if broadcast.stars_max is None:
        return cost
    return gettext("{cost} (you allow {limit})", cost=cost, limit=broadcast.stars_max)


def _quiet_lines(broadcast: Progress) -> list[str]:
    hours = broadcast.quiet_hours
    if hours is None:
        return []
    quiet = f"{hours['begin']}–{hours['end']} {escape(hours['zone'])}"
    return [gettext("Quiet: {hours}", hours=quiet)]


def _time(when: datetime, settings: Settings) -> str:
    """As an admin writes it when asked for a time, by their clocks."""
    clocks = zone(settings.timezone)
    return f"{when.astimezone(clocks):%Y-%m-%d %H:%M} {clocks.key}"


def _draft_buttons(broadcast: Broadcast) -> Rows:
    pay: Rows = ()
    if broadcast.paid:
        pay = ((_button(gettext("Send free"), broadcast.id, CardButton.FREE),),)
    elif broadcast.pieces == 1:
        pay = ((_button(gettext("Pay for speed…"), broadcast.id, CardQuestion.STARS),),)
    go = button_data.broadcast_card(broadcast.id, CardButton.GO, fingerprint(broadcast))
    confirm = Button(text=gettext("Confirm"), data=go)
    return (
        (
            _button(gettext("To whom…"), broadcast.id, CardButton.SEGMENT),
            _button(gettext("When…"), broadcast.id, CardButton.WHEN),
        ),
        *pay,
        (confirm, _button(gettext("Discard"), broadcast.id, CardButton.DISCARD)),
    )


def _segment_buttons(broadcast_id: int) -> Rows:
    return (
        (_button(gettext("Everybody"), broadcast_id, CardButton.EVERYBODY),),
        (
            _button(gettext("Active…"), broadcast_id, CardQuestion.ACTIVE),
            _button(gettext("Balance…"), broadcast_id, CardQuestion.BALANCE),
        ),
        (
            _button(gettext("Language…"), broadcast_id, CardQuestion.LANGUAGE),
            _button(gettext("List of ids…"), broadcast_id, CardQuestion.IDS),
        ),
        (_button(gettext("Back"), broadcast_id, CardButton.MAIN),),
    )


def _when_buttons(broadcast: Progress) -> Rows:
    quiet = (
        _button(gettext("Quiet hours…"), broadcast.id, CardQuestion.QUIET)
        if broadcast.quiet_hours is None
        else _button(gettext("No quiet hours"), broadcast.id, CardButton.ANY_HOUR)
    )
    return (
        (
            _button(gettext("Now"), broadcast.id, CardButton.NOW),
            _button(gettext("At a time…"), broadcast.id, CardQuestion.TIME),
        ),
        (quiet,),
        (_button(gettext("Back"), broadcast.id, CardButton.MAIN),),
    )


def _last_buttons(broadcast: Progress, view: View) -> Rows:
    if not broadcast.audience:
        return ()
    if view is View.ERASE:
        surely = _button(gettext("Yes, delete it from all chats"), broadcast.id, CardButton.ERASE_SURELY)
        return ((surely, _button(gettext("No"), broadcast.id, CardButton.MAIN)),)
    report = _button(gettext("Report"), broadcast.id, CardButton.REPORT)
    erase = _button(gettext("Delete what was sent…"), broadcast.id, CardButton.ERASE)
    return ((report, erase),) if broadcast.sent else ((report,),)


def _button(text: str, broadcast_id: int, what: CardButton | CardQuestion) -> Button:
    return Button(text=text, data=button_data.broadcast_card(broadcast_id, what))
