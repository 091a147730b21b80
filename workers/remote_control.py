"""Celery's remote control commands, with their arguments checked.

Celery keeps what a command says without looking at it, and acts on it later, where an exception ends the worker. Here
a command gets no other arguments than those named, and what it cannot use is answered with an error. Commands that fill
a worker's memory without a bound, and that nothing of ours uses, are gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import structlog
from celery.worker import control
from kombu import pidbox

log = structlog.get_logger(__name__)

PROCESSES_MAX = 64
"""The most processes that commands may give one worker."""

LIMIT_SECONDS_MAX = 86_400.0

ID_LENGTH_MAX = 256
"""An id becomes part of keys in Redis and of an index in PostgreSQL, which takes no more than 2,700 bytes."""

IDS_MAX = 100

_UNUSED = (
    "election",
    "hello",
    "memdump",
    "memsample",
    "objgraph",
    "pool_restart",
    "revoke_by_stamped_headers",
)

_RATE = re.compile(r"\d{1,9}(\.\d{1,9})?(/[smh])?")


class Expected(NamedTuple):
    """What an argument has to be, and the words for it. `None` stands for Celery's default where that is allowed."""

    holds: Callable[[Any, Any], bool]
    words: str
    required: bool = False


def are_limits(values: Any) -> bool:
    """Whether these can be a task's time limits, hard and soft: None, or seconds up to `LIMIT_SECONDS_MAX`."""
    return values is None or (
        isinstance(values, list | tuple)
        and len(values) in {0, 2}
        and all(each is None or _is_limit(each) for each in values)
    )


def is_id(value: Any) -> bool:
    """Whether this can be the id of a task."""
    return isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX and value.isprintable()


def _are_ids(value: Any) -> bool:
    return is_id(value) or (isinstance(value, list) and len(value) <= IDS_MAX and all(map(is_id, value)))


def _is_limit(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LIMIT_SECONDS_MAX


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= PROCESSES_MAX


def _is_rate(value: Any) -> bool:
    return (type(value) is int and 0 <= value < 10**9) or (
        isinstance(value, str) and bool(_RATE.fullmatch(value))
    )


def _stays_in_bounds(state: Any, change: int) -> bool:
    pool = state.consumer.pool
    return bool(1 <= pool.num_processes + change <= PROCESSES_MAX)


_TASK = Expected(
    lambda state, value: isinstance(value, str) and value in state.app.tasks, "a task's name", required=True
)
_QUEUE = Expected(
    lambda state, value: isinstance(value, str) and value in state.app.amqp.queues,
    "one of the app's queues",
    required=True,
)
_IDS = Expected(
    lambda _, value: _are_ids(value),
    f"a task's id, or a list of at most {IDS_MAX}, each of 1 to {ID_LENGTH_MAX} printable characters",
    required=True,
)
_FLAG = Expected(lambda _, value: isinstance(value, bool), "true or false")
_SIGNAL = Expected(lambda _, value: value in ("TERM", "KILL", "SIGTERM", "SIGKILL"), "TERM or KILL")
_LIMIT = Expected(
    lambda _, value: _is_limit(value), f"a positive number of seconds, at most {LIMIT_SECONDS_MAX:,.0f}"
)
_COUNT = Expected(lambda _, value: _is_count(value), f"a whole number from 1 to {PROCESSES_MAX}")
_MORE = Expected(
    lambda state, value: _is_count(value) and _stays_in_bounds(state, value),
    f"how many processes more, a whole number; a worker has at most {PROCESSES_MAX}",
    required=True,
)
_LESS = Expected(
    lambda state, value: _is_count(value) and _stays_in_bounds(state, -value),
    "how many processes less, a whole number; a worker keeps at least 1",
    required=True,
)
_RATE_LIMIT = Expected(
    lambda _, value: _is_rate(value), "a rate such as 5/s, 5/m or 5/h, or 0", required=True
)

_ARGUMENTS: Mapping[str, Mapping[str, Expected]] = {
    "add_consumer": {"queue": _QUEUE},
    "cancel_consumer": {"queue": _QUEUE},
    "time_limit": {"task_name": _TASK, "hard": _LIMIT, "soft": _LIMIT},
    "rate_limit": {"task_name": _TASK, "rate_limit": _RATE_LIMIT},
    "pool_grow": {"n": _MORE},
    "pool_shrink": {"n": _LESS},
    "autoscale": {"max": _COUNT, "min": _COUNT},
    "revoke": {"task_id": _IDS, "terminate": _FLAG, "signal": _SIGNAL},
    "terminate": {"task_id": _IDS, "signal": _SIGNAL},
}


class Node(pidbox.Node):
    """What receives the commands in a worker's parent."""

    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Carry out a command to all, or to this worker by its name.

        Kombu would also set the worker's clock by the message, and match the worker's name with any pattern of the
        sender's, which can take forever.
        """
        if not isinstance(body, dict) or body.get("pattern") or body.get("matcher"):
            log.error("command_refused", why="expected an object that names workers by destination")
            return None
        destination = body.get("destination")
        if destination and not (isinstance(destination, list | str) and str(self.hostname) in destination):
            return None
        if not isinstance(body.get("method"), str) or body["method"] not in (self.handlers or {}):
            log.error("command_refused", why="unknown command")
            return None
        return self.dispatch(**body)  # type: ignore[no-untyped-call]  # kombu has no types


def _checked(command: Callable[..., Any], expected: Mapping[str, Expected]) -> Callable[..., Any]:
    @wraps(command)
    def carry_out(state: Any, **given: Any) -> Any:
        arguments = {name: given[name] for name in expected if given.get(name) is not None}
        for name, argument in expected.items():
            missing = name not in arguments
            if argument.required if missing else not argument.holds(state, arguments[name]):
                return control.nok(f"{name}: expected {argument.words}")
        return command(state, **arguments)

    return carry_out


def repair() -> None:
    """Have the workers of this process check what they are told. May be called again."""
    pidbox.Mailbox.node_cls = Node
    for name in _UNUSED:
        control.Panel.data.pop(name, None)
    for name, expected in _ARGUMENTS.items():
        command = control.Panel.data[name]
        command = getattr(command, "__wrapped__", command)
        control.Panel.data[name] = _checked(command, expected)
