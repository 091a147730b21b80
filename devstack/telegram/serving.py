"""The local Telegram in this process, until a signal comes."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from devstack.telegram.limits import LimitSettings
from devstack.telegram.server import build_app
from devstack.telegram.state.store import StoreInUseError
from devstack.telegram.telegram import BotIdentity, Telegram

TOKEN = re.compile(r"[0-9]{1,15}:[A-Za-z0-9_-]{1,64}")
DEMO_TOKEN = "123456:LOCAL"
DEMO_ADMIN_ID = 1001
# A client that keeps its connection must not hold up a stop.
SHUTDOWN_SECONDS = 1.0


def serve(
    data: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8081,
    allow_hosts: Sequence[str] = (),
    limits: bool = False,
    admin_ids: Sequence[int] = (),
) -> int:
    """Returns the exit status. The bot's token is TELEGRAM_BOT_TOKEN's."""
    token = os.environ.get("TELEGRAM_BOT_TOKEN", DEMO_TOKEN)
    if not TOKEN.fullmatch(token):
        print(
            "TELEGRAM_BOT_TOKEN: expected <bot id>:<letters, digits, _ or ->, for example 123456:LOCAL",
            file=sys.stderr,
        )
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        telegram = Telegram(data, BotIdentity(token=token), LimitSettings(enabled=limits))
    except StoreInUseError as error:
        print(error, file=sys.stderr)
        return 1
    app = build_app(telegram, list(admin_ids) or [DEMO_ADMIN_ID], list(allow_hosts))
    web.run_app(
        app,
        host=host,
        port=port,
        access_log=None,
        print=lambda _: print(f"Local Telegram on http://{host}:{port}", flush=True),
        shutdown_timeout=SHUTDOWN_SECONDS,
        handler_cancellation=False,
    )
    return 0
