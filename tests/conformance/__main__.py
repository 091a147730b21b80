"""`python -m tests.conformance`: plays every case against an embedded PostgreSQL and prints what happened."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from dbcore.migrate import upgrade
from devstack.ports import free_port
from devstack.postgres import DATABASE, EmbeddedPostgres
from devstack.proxy import FaultProxy
from devstack.redis import EmbeddedRedis
from tests.conformance.cases import CASES, EXPECTED, Case, Told, example
from tests.conformance.notices import as_expected, running_cluster
from tests.conformance.runner import Played, play


def _as_expected(case: Case, played: Played) -> bool:
    expected = case.expected
    kind = None if case.expected.end == "the driver's error" else case.kind
    return (played.kind, played.tries, played.breaker, played.end) == (
        kind,
        expected.tries,
        expected.breaker,
        expected.end,
    )


async def _tell(server: EmbeddedPostgres, folder: Path) -> int:
    """What people are told, by the bot's own processes. Returns how many kinds went otherwise than they should."""
    redis = EmbeddedRedis(folder / "redis", free_port())
    redis.start()
    wrong = 0
    try:
        async with running_cluster(folder, server, DATABASE, redis.url) as bot:
            print(
                f"{'':2}{'kind':16}{'who moves money is told':42}{'who asks for a balance':42}by the example of"
            )
            for kind in EXPECTED:
                heard = await bot.hear(kind)
                right = as_expected(kind, heard)
                wrong += not right
                print(
                    f"{'  ' if right else '! '}{kind or '-':16}{_in_words(heard.write):42}"
                    f"{_in_words(heard.read):42}{example(kind)}",
                    flush=True,
                )
    finally:
        redis.stop()
    return wrong


def _in_words(told: tuple[Told, ...]) -> str:
    return ", then ".join(told)


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
            with FaultProxy("127.0.0.1", server.port, login=server.login) as proxy:
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
            print(f"{len(CASES)} failures played, {len(CASES) - wrong} as expected\n")
            upgrade(server.url)
            wrong += asyncio.run(_tell(server, Path(folder)))
        finally:
            server.stop()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
