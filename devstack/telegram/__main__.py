"""python -m devstack.telegram: start a local Telegram and serve until a signal comes.

The bot's token comes by TELEGRAM_BOT_TOKEN: arguments are for everybody on the machine to see.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
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


def main() -> int:
    arguments = _parser().parse_args()
    token = os.environ.get("TELEGRAM_BOT_TOKEN", DEMO_TOKEN)
    if not TOKEN.fullmatch(token):
        print(
            "TELEGRAM_BOT_TOKEN: expected <bot id>:<letters, digits, _ or ->, for example 123456:LOCAL",
            file=sys.stderr,
        )
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        telegram = Telegram(arguments.data, BotIdentity(token=token), LimitSettings(enabled=arguments.limits))
    except StoreInUseError as error:
        print(error, file=sys.stderr)
        return 1
    app = build_app(telegram, arguments.admin or [DEMO_ADMIN_ID], arguments.allow_host)
    web.run_app(
        app,
        host=arguments.host,
        port=arguments.port,
        access_log=None,
        print=lambda _: print(f"Local Telegram on http://{arguments.host}:{arguments.port}", flush=True),
        shutdown_timeout=SHUTDOWN_SECONDS,
        handler_cancellation=False,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack.telegram", description=__doc__)
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="directory that keeps everything")
    parser.add_argument(
        "--allow-host",
        nargs="*",
        default=[],
        metavar="NAME",
        help="answer to this name too, not to localhost only",
    )
    parser.add_argument("--limits", action="store_true", help="enforce Telegram's sending limits")
    parser.add_argument("--admin", type=int, nargs="*", metavar="ID", help="ids of users shown as admins")
    return parser


if __name__ == "__main__":
    sys.exit(main())
