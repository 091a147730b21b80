"""`python -m tests.conformance`: plays every case against an embedded PostgreSQL and prints what happened."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import structlog

from devstack.ports import free_port
from devstack.postgres import DATABASE, EmbeddedPostgres
from devstack.proxy import FaultProxy
from tests.conformance.cases import CASES, Case
from tests.conformance.playing import Played, play


def _as_expected(case: Case, played: Played) -> bool:
    expected = case.expected
    kind = None if case.expected.end == "the driver's error" else case.kind
    return (played.kind, played.tries, played.breaker, played.end) == (
        kind,
        expected.tries,
        expected.breaker,
        expected.end,
    )


def main() -> int:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # hundreds of failures, all meant
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="ballast-faults-") as folder:
        Path(folder).chmod(0o711)  # as root PostgreSQL runs as another user
        server = EmbeddedPostgres(Path(folder) / "postgres", free_port(), durable=False)
        server.start()
        try:
            with FaultProxy("127.0.0.1", server.port) as proxy:
                print(f"{'':2}{'kind':16}{'tries':>5}  {'breaker':22}{'the caller gets':20}case")
                for case in CASES:
                    played = play(case, proxy, DATABASE)
                    right = _as_expected(case, played)
                    wrong += not right
                    kind = next(iter(played.kinds), "-")
                    print(
                        f"{'  ' if right else '! '}{kind:16}{played.tries:>5}  {played.breaker:22}"
                        f"{played.end:20}{case}",
                        flush=True,
                    )
        finally:
            server.stop()
    print(f"{len(CASES)} failures played, {len(CASES) - wrong} as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
