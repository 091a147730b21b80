"""What `@app.job` and others take, and the functions that they decorate, checked. Each raises UsageError with what was
expected and what came.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ballast.batch import BATCH_MAX
from ballast.jobs import OWNER, Job
from ballast.replies import Reply
from dbcore import keys
from dbcore.errors import UsageError
from dbcore.last_known import LAST_KNOWN

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


def checked_function(kind: str, function: F, *, second: str | None) -> F:
    """second -- what it gets beside the context: `args`, `jobs` or `update`; None if nothing."""
    expected = "(ctx)" if second is None else f"(ctx, {second})"
    try:
        inspect.signature(function).bind(*[None] * (1 if second is None else 2))
    except TypeError:
        raise UsageError(f"{kind}: its handler is called as {expected}") from None
    if second is not None and _has_context_second(function):
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


def require_unavailable(named: str, unavailable: Any, database: str, *, remembers: bool) -> None:
    """remembers -- whether LAST_KNOWN is one of the choices."""
    known = ["queue", "refuse", *([LAST_KNOWN] if remembers else [])]
    if not isinstance(unavailable, Reply) and unavailable not in known:
        choices = '"queue", "refuse", LAST_KNOWN or a Reply' if remembers else '"queue", "refuse" or a Reply'
        raise UsageError(f"{named}: unavailable is {choices}, got {unavailable!r}")
    if isinstance(unavailable, Reply) and (unavailable.buttons or unavailable.to is not None):
        raise UsageError(
            f"{named}: the Reply that needs no database has no buttons, and goes to whoever asked"
        )
    if database == "none" and unavailable != "queue":
        raise UsageError(f"{named} uses no database, so it has nothing to say while that is unavailable")
