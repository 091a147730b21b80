"""What `@app.job` and others take, checked. Each raises UsageError with what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ballast.batch import BATCH_MAX
from ballast.jobs import OWNER, Job
from ballast.replies import Reply
from dbcore import keys
from dbcore.errors import UsageError
from dbcore.last_known import LAST_KNOWN

WAIT_SECONDS_MAX = 86_400
DEADLINE_SECONDS_MAX = 30 * 86_400


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
