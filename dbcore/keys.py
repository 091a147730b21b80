"""One idempotency key is one effect, however its request comes: by a call of dbcore.integration, by an operator's
call of a task, or from the command line.

The release before kept operators' keys with a prefix of their own, so that one key could take effect twice. What it did
under a prefixed key is found too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OF_JOBS = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""What a key of a job looks like, whoever gives it."""

KINDS = re.compile(r"[a-z0-9_.]{1,64}")
"""What a kind of job looks like."""

RESERVED = (
    "pending:",
    "pending_adjustment:",
    "star_payment:",
    "star_refund:",
    "provider_payment:",
    "provider_refund:",
    "provider_fee:",
    "provider_dispute:",
    "hold:",
    "exchange:",
)
"""Keys that begin so are made by the ledger itself, for what somebody confirmed, what Telegram says of Stars,
what other providers say, what was held, and what was exchanged.
"""

OF_IMPORTS = ("opening:", "history:", "settle:", "reversal:")
"""Keys that begin so are made by `ballast import`."""

_OPERATORS = "operator-"


class Key(NamedTuple):
    """earlier -- under which the release before may have kept the same request."""

    key: str
    earlier: str | None = None


def require_of_job(key: str) -> None:
    """Raises ValueError for what cannot be a job's key."""
    if OF_JOBS.fullmatch(key) is None:
        raise ValueError(f"a job's key is 1 to 64 letters, digits or any of . _ : -, got {key[:80]!r}")


def of_caller(key: str) -> Key:
    """Of a direct call."""
    return Key(key, _OPERATORS + key)


def job_id_of(key: str) -> str:
    """Of the one job that an operator's key stands for."""
    return _OPERATORS + key


def of_job(job_id: str) -> Key:
    """Of a job: an operator's own key where they gave one, else the job's id."""
    key = job_id.removeprefix(_OPERATORS)
    if key == job_id or not key or key.startswith(RESERVED):
        return Key(job_id)
    return Key(key, job_id)
