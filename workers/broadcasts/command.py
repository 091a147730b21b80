"""`python -m workers broadcast start|list|show|pause|resume|cancel|resend-unknown`, with a progress bar."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dbcore import admin_actions, broadcasts
from dbcore.admin_actions import DONE, Order
from dbcore.broadcasts import BroadcastStatus, Progress
from dbcore.errors import DatabaseAway
from dbcore.fleet.operate import user_here
from dbcore.settings import Settings
from dbcore.text import one_line, visible_json
from workers.broadcasts import confirmation
from workers.broadcasts.orders import Orders
from workers.broadcasts.progress import Meter, line
from workers.counts import counted
from workers.jobs import JobInvalid, StartBroadcast

LISTED_MAX = 50
LOOK_EVERY_SECONDS = 0.5
"""On a terminal; elsewhere a line is printed every LINE_SECONDS."""
LINE_SECONDS = 5.0


def add_to(commands: Any) -> None:
    """Add `broadcast` and its actions to the sub-commands of `python -m workers`."""
    actions = commands.add_parser("broadcast", help="one message to everybody in a segment").add_subparsers(
        dest="action", required=True, metavar="start|list|show|pause|resume|cancel|resend-unknown"
    )
    _add_start(actions.add_parser("start", help="send one, and watch it (Ctrl-C stops watching alone)"))
    actions.add_parser("list", help=f"the newest {LISTED_MAX}")
    show = actions.add_parser("show", help="all that is known of one")
    show.add_argument("--watch", action="store_true", help="a progress bar until it is over")
    for action, does in (
        ("pause", "send nothing more until `resume`"),
        ("resume", "go on: after a pause, a halt, or where its jobs were lost"),
        ("cancel", "for ever"),
        ("resend-unknown", "once more to those of whom nobody knows; some get it twice"),
    ):
        actions.add_parser(action, help=does).add_argument("broadcast_id", type=int, metavar="ID")
    show.add_argument("broadcast_id", type=int, metavar="ID")


def _add_start(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", help="in Telegram's HTML")
    what.add_argument("--text-file", type=Path, help="a file with it")
    what.add_argument(
        "--copy", nargs="+", type=int, metavar="ID", help="a chat and its message, or its album's messages"
    )
    parser.add_argument("--active-days", type=int, metavar="N", help="who was seen within so many days")
    parser.add_argument(
        "--balance-min", type=int, metavar="UNITS", help="who has at least so much, in minor units"
    )
    parser.add_argument("--language", metavar="TAG", help="such as de, which is de-at too")
    parser.add_argument("--ids", type=int, nargs="+", metavar="ID", help="these Telegram ids")
    parser.add_argument("--ids-file", type=Path, help="a file of Telegram ids, between white space")
    parser.add_argument("--paid", action="store_true", help="up to 1,000 a second, for Stars")
    parser.add_argument("--stars-max", type=int, metavar="N", help="refuse where it may cost more")
    parser.add_argument("--yes", action="store_true", help="do not ask: for scripts, which have no terminal")
    parser.add_argument("--canary", type=int, metavar="N", help="so many first, and alone")
    parser.add_argument("--at", metavar="TIME", help="such as 2026-12-01T18:00:00+01:00")
    parser.add_argument("--quiet", metavar="HH:MM-HH:MM", help="nothing goes out between these")
    parser.add_argument("--zone", default="UTC", help="of the quiet hours, such as Europe/Berlin")
    parser.add_argument("--key", help="the same key again starts nothing new")
    parser.add_argument("--detach", action="store_true", help="do not watch it")


def run(options: argparse.Namespace, orders: Orders, settings: Settings) -> None:
    """Raises JobInvalid and BroadcastRefused with a sentence, DatabaseAway, redis.RedisError."""
    match options.action:
        case "start":
            key = f"operator-{options.key or uuid.uuid4().hex}"
            job = StartBroadcast.decode(_fields(options))
            if broadcasts.find_by_key(orders.engine, key) is None:
                job = confirmation.confirmed(job, orders.engine, settings, yes=options.yes)
            broadcast = orders.start(job, key)
            print(f"broadcast {broadcast.id}")
            if not options.detach:
                _watch(orders, broadcast.id)
        case "list":
            for broadcast in broadcasts.listed(orders.engine, LISTED_MAX):
                print(
                    f"{broadcast.id:>6}  {broadcast.created_at:%Y-%m-%d %H:%M}  {_what(broadcast)}  {line(broadcast)}"
                )
        case "show" if options.watch:
            _watch(orders, broadcasts.require_progress(orders.engine, options.broadcast_id).id)
        case "show":
            described = asdict(broadcasts.require(orders.engine, options.broadcast_id))
            print(visible_json(json.dumps(described, indent=2, default=str, ensure_ascii=False)))
        case "resend-unknown":
            order = order_here("broadcast.resend_unknown", str(options.broadcast_id))
            count = orders.resend_unknown(options.broadcast_id, uuid.uuid4().hex)
            admin_actions.record(orders.engine, order, DONE)
            print(
                f"broadcast {options.broadcast_id} is sent once more to {counted(count, 'person', 'people')}"
            )
        case word:
            order = order_here(f"broadcast.{word}", str(options.broadcast_id))
            begun = getattr(orders, word)(options.broadcast_id, order)
            print(f"broadcast {options.broadcast_id} is {begun.status}")


def order_here(action: str, target: str) -> Order:
    """What is ordered from this command line, for the books."""
    return Order(uuid.uuid4().hex, user_here(), action, target.strip().upper(), time.time())


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    """The job's fields; what was not given is the job's own default."""
    ids = options.ids
    if options.ids_file is not None:
        ids = _ids_in(_content(options.ids_file))
    segment = {
        "active_days": options.active_days,
        "balance_min": options.balance_min,
        "language": options.language,
        "telegram_ids": ids,
    }
    fields = {
        "text": options.text if options.text_file is None else _content(options.text_file),
        "copy": options.copy and {"chat_id": options.copy[0], "message_ids": options.copy[1:]},
        "segment": segment,
        "paid": options.paid,
        "stars_max": options.stars_max,
        "canary": options.canary,
        "scheduled_for": options.at,
    }
    if options.quiet is not None:
        begin, _, end = options.quiet.partition("-")
        fields["quiet_hours"] = {"begin": begin, "end": end, "zone": options.zone}
    return {name: value for name, value in fields.items() if value is not None}


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobInvalid(f"{path}: expected a text to read, got {error}") from None


def _ids_in(text: str) -> list[int]:
    words = text.split()
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise JobInvalid(f"--ids-file: expected Telegram ids between white space, got {wrong[:60]!r}")
    return [int(word) for word in words]


def _what(broadcast: Progress) -> str:
    text = broadcast.payload.get("text")
    return (one_line(text, 30) if text else "a copied message").ljust(30)


def _watch(orders: Orders, broadcast_id: int) -> None:
    """Show it until it is over, or nothing happens without somebody's word."""
    meter = Meter()
    on_terminal = sys.stdout.isatty()
    printed_at = 0.0
    try:
        while True:
            now = time.monotonic()
            try:
                broadcast = broadcasts.require_progress(orders.engine, broadcast_id)
                shown = line(broadcast, meter.see(broadcast.done, now))
                over = broadcast.status is not BroadcastStatus.SENDING
            except DatabaseAway:
                shown, over = (
                    "the database does not answer; the broadcast goes on by itself when it does",
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
        print(f"\nit goes on; `python -m workers broadcast show {broadcast_id} --watch` looks again")


def _in_one_line(shown: str) -> str:
    """Cut to the terminal's width: one that wraps cannot be drawn over."""
    return shown[: shutil.get_terminal_size().columns - 1]
