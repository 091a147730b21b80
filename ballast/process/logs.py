"""Logs as events with fields: JSON lines where machines read them, columns on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from ballast.queueing.envelope import reference_of
from dbcore.text import one_line


def _with_reference(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Each line about a job has the reference that its user was told."""
    job_id = event.get("job_id")
    if isinstance(job_id, str):
        event.setdefault("reference", reference_of(job_id))
    return event


def _on_one_line(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """For a terminal, which obeys escape sequences; JSON escapes them. The event itself is always ours."""
    return {
        key: one_line(value) if isinstance(value, str) and key != "event" else value
        for key, value in event.items()
    }


def configure_logging(loglevel: int | None = None, **_celery: Any) -> None:
    """Send structlog's events and the libraries' records through one handler to stderr.

    Connected to Celery's `setup_logging` signal. Its `loglevel` is WARNING unless it is given, so only DEBUG says
    something: then each step of a job is logged.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_reference,
    ]
    renderer: list[Any] = (
        [_on_one_line, structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first, so that a step nobody logs costs nothing
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for ours in ("bot_frontend", "workers", "dbcore"):
        logging.getLogger(ours).setLevel(logging.DEBUG if loglevel == logging.DEBUG else logging.NOTSET)
    # httpx logs each request with its URL, and Telegram's URLs contain the bot's token.
    # Celery tells each task twice over; our own events tell it once, with the job's id.
    for noisy in (
        "httpx",
        "httpcore",
        "telegram",
        "uvicorn.access",
        "celery.worker.strategy",
        "celery.app.trace",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
