"""What people are told of each kind of failure, by the bot's own processes."""

from __future__ import annotations

from pathlib import Path

from devstack.postgres import EmbeddedPostgres
from tests.conformance.cases import EXPECTED
from tests.conformance.notices import as_expected, running_cluster


async def test_people_are_told_of_each_kind_of_failure_and_served_once(
    tmp_path: Path, postgres_server: EmbeddedPostgres, database_url: str, redis_url: str
) -> None:
    """One cluster for all kinds, for its processes take longer to start than a kind to be played."""
    database = database_url.rsplit("/", 1)[1]
    async with running_cluster(tmp_path, postgres_server, database, redis_url) as bot:
        heard = {kind: await bot.hear(kind) for kind in EXPECTED}
    assert {kind: told for kind, told in heard.items() if not as_expected(kind, told)} == {}
