"""A broadcast's card: the message in which an admin draws it up, begins it, and sees how far it is. Telegram's HTML.

Pure: the broadcast as it stands, and what was found out about it, make a text and its buttons.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ballast.builtin import button_data
from ballast.messages import Button
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus, Progress
from dbcore.money import format_amount
from dbcore.settings import Settings
from dbcore.text import one_line
from workers.broadcasts.cards import View
from workers.broadcasts.cost import stars_for
from workers.broadcasts.progress import bar
from workers.command_names import mention
from workers.durations import duration
from workers.jobs import INSTALLED, CardButton, CardQuestion
from workers.phrases import escape, shown
from workers.plurals import counted

CARD_BAR_LENGTH = 16
"""As wide as a phone shows it in one line with the share behind it."""

LISTED_LENGTH_MAX = 40
"""Of a broadcast's text, in the list of the newest."""

Rows = tuple[tuple[Button, ...], ...]


def draft_text(broadcast: Broadcast, audience: int, rate: float, settings: Settings) -> str:
    """audience -- how many it would reach now. rate -- recipients a second that it would be sent at."""
    lines = [
        f"<b>Broadcast {broadcast.id}</b> · draft",
        f"To: {segment_text(broadcast.segment, settings)}",
        f"That is <b>{counted(audience, 'person', 'people')}</b> now.",
        f"When: {_time(broadcast.scheduled_for) if broadcast.scheduled_for else 'once you confirm'}",
        *_quiet_lines(broadcast),
        f"Takes about {duration(audience / rate)}, {_cost(broadcast, audience)}.",
        *_payload_lines(broadcast),
    ]
    return "\n".join(lines)


def progress_text(broadcast: Progress, rate: float | None, quiet_until: datetime | None) -> str:
    """rate -- recipients a second as measured. quiet_until -- where it rests now."""
    lines = [f"<b>Broadcast {broadcast.id}</b> · {broadcast.status}"]
    if broadcast.status is BroadcastStatus.SCHEDULED and broadcast.scheduled_for is not None:
        lines += [f"It begins {_time(broadcast.scheduled_for)}.", *_quiet_lines(broadcast)]
    if broadcast.status is BroadcastStatus.HALTED:
        lines.append(f"It stopped itself: {escape(one_line(broadcast.halted_reason or ''))}")
    if broadcast.audience is None:
        return "\n".join(lines)
    share = broadcast.done / broadcast.audience if broadcast.audience else 1.0
    lines += [
        f"{bar(share, CARD_BAR_LENGTH)} {share:.0%}",
        f"{broadcast.done:,} of {broadcast.audience:,}",
        f"sent {broadcast.sent:,} · blocked {broadcast.blocked:,} · failed {broadcast.failed:,} · "
        f"unknown {broadcast.unknown:,}",
    ]
    if broadcast.status is BroadcastStatus.SENDING and quiet_until is not None:
        lines.append(f"Quiet hours: it goes on {_time(quiet_until)}.")
    elif broadcast.status is BroadcastStatus.SENDING and rate:
        lines.append(f"{rate:.1f}/s, {duration(broadcast.left / rate)} left")
    elif broadcast.status.is_over and broadcast.started_at and broadcast.finished_at:
        took = (broadcast.finished_at - broadcast.started_at).total_seconds()
        lines.append(f"Over after {duration(took)}.")
    return "\n".join(lines)


def _payload_lines(broadcast: Broadcast) -> list[str]:
    copy = broadcast.payload.get("copy")
    if copy is None:
        return ["They get the message above."]
    lost = ["Its buttons are left out: only links can be sent along."] if copy.get("buttons_lost") else []
    return ["They get a copy of the message above. Do not delete it before the broadcast is over.", *lost]


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
                    _button("Yes, cancel it for ever", broadcast.id, CardButton.CANCEL_SURELY),
                    _button("No", broadcast.id, CardButton.MAIN),
                ),
            )
        case ((BroadcastStatus.PAUSED | BroadcastStatus.HALTED), _):
            first = _button("Resume", broadcast.id, CardButton.RESUME)
        case _:
            first = _button("Pause", broadcast.id, CardButton.PAUSE)
    return ((first, _button("Cancel", broadcast.id, CardButton.CANCEL)),)


def list_text(newest: Sequence[Progress]) -> str:
    if not newest:
        return f"There are no broadcasts yet.{mention('broadcast', ' {} draws one up.')}"
    return "\n".join(f"<b>{each.id}</b> {_listed(each)}" for each in newest)


def list_buttons(newest: Sequence[Progress]) -> Rows:
    if not INSTALLED.has_button("card"):
        return ()
    shown = [_button(str(each.id), each.id, CardButton.SHOW) for each in newest]
    rows = tuple(tuple(shown[first : first + 5]) for first in range(0, len(shown), 5))
    last = next((each for each in newest if each.status.is_over and each.sent), None)
    if last is None:
        return rows
    return (*rows, (_button(f"Delete what was sent of {last.id}…", last.id, CardButton.ERASE_SHOWN),))


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
        parts.append(f"seen within {counted(segment['active_days'], 'day', 'days')}")
    if "balance_min" in segment:
        amount = format_amount(segment["balance_min"], settings.currency_exponent, settings.currency)
        parts.append(f"a balance of {amount} or more")
    if "language" in segment:
        parts.append(f"language {escape(segment['language'])}")
    if "telegram_ids" in segment:
        parts.append(f"in a list of {len(segment['telegram_ids']):,}")
    return " and ".join(parts) or "everybody"


def _listed(broadcast: Progress) -> str:
    words = shown(broadcast.payload.get("text", "a copied message"), LISTED_LENGTH_MAX)
    reached = "" if broadcast.audience is None else f" · {broadcast.done:,} of {broadcast.audience:,}"
    if broadcast.sent != broadcast.done:
        reached += f", sent {broadcast.sent:,}"
    return f"{broadcast.created_at:%Y-%m-%d} · {broadcast.status}{reached} · {words}"


def _cost(broadcast: Broadcast, audience: int) -> str:
    if not broadcast.paid:
        return "free"
    limit = "" if broadcast.stars_max is None else f" (you allow {broadcast.stars_max:,})"
    return f"at most {counted(stars_for(audience), 'Star', 'Stars')}{limit}"


def _quiet_lines(broadcast: Progress) -> list[str]:
    hours = broadcast.quiet_hours
    return [] if hours is None else [f"Quiet: {hours['begin']}–{hours['end']} {escape(hours['zone'])}"]


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} {escape(when.tzname() or 'UTC')}"


def _draft_buttons(broadcast: Broadcast) -> Rows:
    pay: Rows = ()
    if broadcast.paid:
        pay = ((_button("Send free", broadcast.id, CardButton.FREE),),)
    elif broadcast.pieces == 1:
        pay = ((_button("Pay for speed…", broadcast.id, CardQuestion.STARS),),)
    go = button_data.broadcast_card(broadcast.id, CardButton.GO, fingerprint(broadcast))
    confirm = Button(text="Confirm", data=go)
    return (
        (
            _button("To whom…", broadcast.id, CardButton.SEGMENT),
            _button("When…", broadcast.id, CardButton.WHEN),
        ),
        *pay,
        (confirm, _button("Discard", broadcast.id, CardButton.DISCARD)),
    )


def _segment_buttons(broadcast_id: int) -> Rows:
    return (
        (_button("Everybody", broadcast_id, CardButton.EVERYBODY),),
        (
            _button("Active…", broadcast_id, CardQuestion.ACTIVE),
            _button("Balance…", broadcast_id, CardQuestion.BALANCE),
        ),
        (
            _button("Language…", broadcast_id, CardQuestion.LANGUAGE),
            _button("List of ids…", broadcast_id, CardQuestion.IDS),
        ),
        (_button("Back", broadcast_id, CardButton.MAIN),),
    )


def _when_buttons(broadcast: Progress) -> Rows:
    quiet = (
        _button("Quiet hours…", broadcast.id, CardQuestion.QUIET)
        if broadcast.quiet_hours is None
        else _button("No quiet hours", broadcast.id, CardButton.ANY_HOUR)
    )
    return (
        (
            _button("Now", broadcast.id, CardButton.NOW),
            _button("At a time…", broadcast.id, CardQuestion.TIME),
        ),
        (quiet,),
        (_button("Back", broadcast.id, CardButton.MAIN),),
    )


def _last_buttons(broadcast: Progress, view: View) -> Rows:
    if not broadcast.audience:
        return ()
    if view is View.ERASE:
        surely = _button("Yes, delete it from all chats", broadcast.id, CardButton.ERASE_SURELY)
        return ((surely, _button("No", broadcast.id, CardButton.MAIN)),)
    report = _button("Report", broadcast.id, CardButton.REPORT)
    erase = _button("Delete what was sent…", broadcast.id, CardButton.ERASE)
    return ((report, erase),) if broadcast.sent else ((report,),)


def _button(text: str, broadcast_id: int, what: CardButton | CardQuestion) -> Button:
    return Button(text=text, data=button_data.broadcast_card(broadcast_id, what))
