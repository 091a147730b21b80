"""Seals over what the ledger has written, made in the background in bounded steps: nothing of them is on the way of a
transfer. A seal has the hash of some thousands of rows and of the seal before, so a row that is changed later is found,
and between which times it was changed.

Each step is one SQL function in one transaction: a process that is killed leaves a whole seal or none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

log = structlog.get_logger(__name__)

ROWS_MAX = 10_000
"""Entries, and as many transfers, of one seal."""

WAIT_MS = 1_000
"""For whoever writes to the ledger now, before the step is left to the next run."""

STEP_SECONDS_MAX = 60.0
"""The deadline of one step on a slow server."""

_SEAL = "SELECT * FROM ballast.ledger_seal(%s, %s)"
_CHECK = "SELECT * FROM ballast.ledger_check_seal()"
_STATE = """
SELECT s.id, s.hash, extract(epoch FROM s.sealed_at)::float8, s.entries_to,
       (SELECT count(*) FROM (SELECT FROM ballast.entries e WHERE e.id > coalesce(s.entries_to, 0) LIMIT 1000001) AS e),
       (SELECT count(*) FROM ballast.seal_checks c WHERE c.broken_at IS NOT NULL),
       (SELECT extract(epoch FROM min(coalesce(c.whole_at, e.sealed_at)))::float8
          FROM ballast.ledger_seals e LEFT JOIN ballast.seal_checks c ON c.seal_id = e.id)
  FROM (VALUES (1)) AS one LEFT JOIN LATERAL (SELECT * FROM ballast.ledger_seals ORDER BY id DESC LIMIT 1) AS s ON true
"""


@dataclass(frozen=True, slots=True)
class Seal:
    """hash -- of its rows and of the seal before: 64 hexadecimal digits. Who keeps it elsewhere can tell later that
    nothing before it was changed.
    """

    id: int
    hash: str
    entries: int
    transfers: int


@dataclass(frozen=True, slots=True)
class Run:
    """has_more -- there is more to seal, which is not waited for. checked -- the seal that was read again.
    broken -- it is not whole any more.
    """

    sealed: tuple[Seal, ...]
    has_more: bool
    checked: int | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """newest -- the last seal's id. sealed_at -- seconds since 1970. unsealed -- entries beyond it, up to a million.
    broken -- seals that were found not to be whole. read_since -- since then each sealed row was read once.
    """

    newest: int | None
    hash: str | None
    sealed_at: float | None
    entries_to: int | None
    unsealed: int
    broken: int
    read_since: float | None


def seal(
    engine: GuardedEngine, *, rows_max: int = ROWS_MAX, wait_ms: int = WAIT_MS
) -> tuple[Seal | None, bool]:
    """The next seal, and whether there may be more to seal at once. None if nothing is new, somebody else seals, or
    transactions that write to the ledger take too long.
    """
    seal_id, hashed, entries, transfers, waited_for = engine.fetch_row(
        _SEAL, (rows_max, wait_ms), name="seals.seal", deadline_seconds=STEP_SECONDS_MAX
    )
    if waited_for:
        log.info("ledger_seal_waits", transactions=waited_for)
    if seal_id is None:
        return None, False
    # With its hash in the log, which is kept elsewhere.
    log.info("ledger_sealed", seal=seal_id, hash=hashed, entries=entries, transfers=transfers)
    return Seal(seal_id, hashed, entries, transfers), max(entries, transfers) >= rows_max


def run(
    engine: GuardedEngine,
    *,
    seconds_max: float,
    rows_max: int = ROWS_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Seal what is new until the time is up. If nothing is left, read an old seal again."""
    until = clock() + seconds_max
    sealed: list[Seal] = []
    has_more = True
    while has_more and clock() < until:
        made, has_more = seal(engine, rows_max=rows_max)
        sealed += [made] if made is not None else []
    if has_more:
        return Run(tuple(sealed), has_more=True)
    checked, is_whole = engine.fetch_row(_CHECK, name="seals.check", deadline_seconds=STEP_SECONDS_MAX)
    if is_whole is False:
        log.error("ledger_seal_broken", seal=checked, repair="ballast audit --full")
    return Run(tuple(sealed), has_more=False, checked=checked, broken=is_whole is False)


def state(engine: GuardedEngine) -> State:
    return State(*engine.fetch_row(_STATE, name="seals.state", writes=False))
