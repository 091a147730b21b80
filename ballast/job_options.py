"""What `@app.job` takes beside the job, and the function that it decorates, checked. Each raises UsageError with what
was expected and what came.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ballast.batch import BATCH_MAX
from ballast.jobs import OWNER, Job
from dbcore import keys
from dbcore.errors import UsageError

WAIT_SECONDS_MAX = 86_400
DEADLINE_SECONDS_MAX = 30 * 86_400

F = TypeVar("F", bound=Callable[..., object])

_CONTEXT = re.compile(r"\b(Job|Batch)Context\b")


def _is_seconds(value: object, minimum: float, maximum: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value <= maximum


def checked_backoff(kind: str, backoff: Any) -> tuple[float, ...] | None:
    if backoff is None:
        return None
    is_several = isinstance(backoff, Sequence) and not isinstance(backoff, str | bytes)
    waits = tuple(backoff) if is_several else (backoff,)
    if not waits or not all(_is_seconds(wait, 0, WAIT_SECONDS_MAX) for wait in waits):
        raise UsageError(
            f"{kind}: backoff: expected seconds, 0 to {WAIT_SECONDS_MAX:,}, or several of them such as (1, 10, 60); "
            f"got {backoff!r}"
        )
    return tuple(float(wait) for wait in waits)


def checked_deadline(kind: str, deadline: Any) -> float | None:
    if deadline is not None and not _is_seconds(deadline, 1, DEADLINE_SECONDS_MAX):
        raise UsageError(
            f"{kind}: deadline: expected seconds, 1 to {DEADLINE_SECONDS_MAX:,}; got {deadline!r}"
        )
    return None if deadline is None else float(deadline)


def checked_lane(kind: str, lane: str | None, job_type: type[Job]) -> str | None:
    if lane is not None and lane != OWNER and lane not in job_type.model_fields:
        fields = ", ".join(job_type.model_fields) or "none"
        raise UsageError(f"{kind}: lane: expected a field of {job_type.__name__} ({fields}); got {lane!r}")
    return lane


def checked_aliases(kind: str, aliases: Any, app: str) -> tuple[str, ...]:
    given = tuple(aliases) if isinstance(aliases, Sequence) and not isinstance(aliases, str) else (None,)
    for alias in given:
        is_kind = isinstance(alias, str) and keys.KINDS.fullmatch(alias) is not None
        if not is_kind or not alias.startswith(f"{app}."):
            raise UsageError(
                f"{kind}: aliases: expected a list of kinds that begin with {app!r} and a dot, such as "
                f"[{app + '.old_name'!r}]; got {aliases!r}"
            )
    return given


def checked_batch(kind: str, batch: Any) -> int | None:
    is_number = isinstance(batch, int) and not isinstance(batch, bool)
    if batch is not None and not (is_number and 1 <= batch <= BATCH_MAX):
        raise UsageError(f"{kind}: batch: expected 1 to {BATCH_MAX} jobs, got {batch!r}")
    return None if batch is None else int(batch)


def checked_function(kind: str, function: F, *, takes_second: bool, batch: int | None) -> F:
    """takes_second -- beside the context: arguments, a job or several."""
    expected = (
        "(ctx, jobs)" if takes_second and batch is not None else "(ctx, args)" if takes_second else "(ctx)"
    )
    try:
        inspect.signature(function).bind(*[None] * (2 if takes_second else 1))
    except TypeError:
        raise UsageError(f"{kind}: its handler is called as {expected}") from None
    if takes_second and _has_context_second(function):
        raise UsageError(
            f"{kind}: its handler is called as {expected}, and its second parameter is the context"
        )
    return function


def _has_context_second(function: Callable[..., object]) -> bool:
    """Whether its two parameters stand the wrong way round, by their annotations or else by their names."""
    parameters = [*inspect.signature(function).parameters.values()]
    return len(parameters) > 1 and not _is_context(parameters[0]) and _is_context(parameters[1])


def _is_context(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return parameter.name in {"ctx", "context"}
    written = (
        annotation if isinstance(annotation, str) else getattr(annotation, "__qualname__", str(annotation))
    )
    return _CONTEXT.search(written) is not None
