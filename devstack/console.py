"""The lines `make run` prints: one a service, with its URL.

A terminal that has gone does not stop the work: then nobody reads these lines, and the logs have what matters.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO
from urllib.parse import urlsplit

from pydantic import SecretStr

from ballast.queueing.queues import WORKERS
from devstack.aof import Repair
from devstack.plan import Plan
from devstack.readiness import reachable_host


def starting() -> None:
    _say("Starting Ballast (ten seconds, on a slow machine up to a minute) …")


def migrating() -> None:
    _say("Bringing the database to this release's schema …")


def database(plan: Plan) -> None:
    given = plan.settings.database_url
    _line("PostgreSQL", _shown(plan.postgres.url) if plan.postgres else _given(given, "DATABASE_URL"))


def redis(plan: Plan) -> None:
    _line("Redis", _shown(plan.redis.url) if plan.redis else _given(plan.settings.redis_url, "REDIS_URL"))


def telegram(plan: Plan) -> None:
    if plan.telegram_token is None:
        _line("Telegram", f"{plan.settings.telegram_api_url}  (the real one, as TELEGRAM_BOT_TOKEN is set)")
        return
    admin = f"; the admin is user {plan.admin_id}" if plan.admin_id is not None else ""
    _line("Telegram", f"http://127.0.0.1:{plan.settings.simulator_port}/  (talk to the bot here{admin})")


def frontend(plan: Plan) -> None:
    _line("Frontend", f"http://{reachable_host(plan.settings.ops_host)}:{plan.settings.ops_port}/")


def worker(name: str) -> None:
    queues, concurrency = WORKERS[name]
    _line("Worker", f"{name}: {queues.replace(',', ', ')}  ({concurrency} at a time)")


def beat(plan: Plan) -> None:
    _line("Beat", f"a health probe every {plan.settings.health_probe_seconds} s")


def flower(plan: Plan) -> None:
    user, _, password = plan.flower_auth.partition(":")
    entry = f"user {user}, password {password}"
    if plan.settings.flower_basic_auth is not None:
        entry = "user and password as FLOWER_BASIC_AUTH says"
    _line("Flower", f"http://127.0.0.1:{plan.settings.flower_port}/  ({entry})")


def logs(folder: str) -> None:
    _line("Logs", f"{folder}/  (one per process)")


def ready() -> None:
    _say("Ballast is ready")


def restarted(name: str, log: str) -> None:
    _say(f"{name} had ended and was started again; see {log}")


def given_up(name: str, log: str) -> None:
    _say(f"{name} does not stay up; see {log}; trying again")


def room(folder: str, *, has_room: bool) -> None:
    if has_room:
        _say(f"The disk of {folder} has room again")
    else:
        _say(f"The disk of {folder} is full: nothing can be written, not even logs, until you make room")


def stopping() -> None:
    _say("Stopping; the workers finish what they have at hand … ", end="")


def stopped() -> None:
    _say("Ballast has stopped")


def repaired(what: Repair) -> None:
    if what.copy is None:
        _say(f"{what.file} is whole; nothing was changed.")
        return
    cut = what.bytes_before - what.bytes_kept
    _say(
        f"Cut {cut:,} of {what.bytes_before:,} bytes off {what.file}, after the last whole command.\n"
        f"The file as it was is kept as {what.copy.name}. Start Redis again with `make run` or `ballast run`."
    )


def refusal(text: object) -> None:
    _say(str(text), to=sys.stderr)


def _say(text: str, *, end: str = "\n", to: TextIO | None = None) -> None:
    with contextlib.suppress(OSError):
        print(text, end=end, file=to, flush=True)


def _shown(url: str) -> str:
    """Without the password, which is in running.env."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=f"{user}{parts.hostname}:{parts.port}").geturl()


def _line(service: str, text: str) -> None:
    _say(f"{service:<11} {text}")


def _given(url: SecretStr | None, option: str) -> str:
    """Where the server of an option is, without user and password."""
    parts = urlsplit(url.get_secret_value() if url else "")
    address = parts.hostname or "a local socket"
    if parts.port:
        address += f":{parts.port}"
    return f"{parts.scheme.partition('+')[0]}://{address}{parts.path}  (given by {option})"
