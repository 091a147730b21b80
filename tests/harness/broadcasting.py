"""Ballast's workers against a local Telegram, an audience, and what became of it, by both their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from ballast.jobs import Job
from ballast.queueing.envelope import Envelope
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings
from devstack.telegram.control import TelegramControl
from tests.harness.queueing import queueing_at
from tests.harness.servers import Servers, running_servers

SENDING_SECONDS_MAX = 120.0
OPS_TOKEN = "a token for tests"


class Broadcasting:
    """The servers are its own and may be killed; whoever does starts them again.

    bulk -- its broadcast workers.
    """

    def __init__(self, servers: Servers, bulk: tuple[str, ...] = ("bulk", "bulk2")) -> None:
        self.bulk = bulk
        self.servers = servers
        self.stack = servers.stack(HEALTH_PROBE_SECONDS="1", OPS_TOKEN=OPS_TOKEN)
        self.engine = GuardedEngine(Settings(_env_file=None, database_url=servers.postgres.url))
        self._jobs = 0

    def start_missing(self) -> None:
        """The bulk workers, the light one and beat: those of them that do not run."""
        for name in (*self.bulk, "light", "beat"):
            if not self.stack.alive(name):
                self.start(name)
        processes = len(self.bulk) + 1
        self.stack.wait_until(
            lambda: self.stack.redis.zcard("ballast:inbox:owners") >= processes, "the workers beat"
        )

    def start(self, name: str) -> None:
        """`bulk2` is a second `bulk`, and so on."""
        kind = "bulk" if name.startswith("bulk") else name
        self.stack.run(name, self.stack.program(kind, node=name))

    def ask(self, job: Job) -> str:
        """Have a job done, as an operator does; its id."""
        self._jobs += 1
        job_id = f"operator-test-{self._jobs}"
        with queueing_at(self.servers.redis.url) as queueing:
            receipt = queueing.inbox.accept(Envelope.of(job, job_id=job_id, lane=job_id))
            assert receipt.dispatch is not None
            queueing.publisher.publish(receipt.dispatch)
        return job_id

    def started(self, job: Job) -> int:
        """The broadcast that `job` started; its id."""
        key = self.ask(job)
        found: list[Broadcast] = []

        def there() -> bool:
            broadcast = broadcasts.find_by_key(self.engine, key)
            if broadcast is not None and broadcast.status is not BroadcastStatus.DRAFT:
                found.append(broadcast)
            return bool(found)

        self.stack.wait_until(there, "the broadcast is there")
        return found[0].id

    def wait_for(
        self, broadcast_id: int, status: BroadcastStatus, seconds_max: float = SENDING_SECONDS_MAX
    ) -> Broadcast:
        self.stack.wait_until(
            lambda: broadcasts.require(self.engine, broadcast_id).status is status,
            f"broadcast {broadcast_id} is {status}",
            seconds_max,
        )
        return broadcasts.require(self.engine, broadcast_id)

    def wait_until_done(self, broadcast_id: int, count: int) -> None:
        """Until so many recipients have a final state."""
        self.stack.wait_until(
            lambda: broadcasts.require(self.engine, broadcast_id).done >= count,
            f"{count} recipients are done",
            SENDING_SECONDS_MAX,
        )

    def states(self, broadcast_id: int) -> dict[int, str]:
        """Each recipient's state, by Telegram id."""
        return dict(
            self.stack.query(
                "SELECT telegram_id, status FROM broadcast_deliveries WHERE broadcast_id = %s", broadcast_id
            )
        )

    def jobs(self) -> list[str]:
        """What is on record in the inbox."""
        found: list[bytes] = self.stack.redis.zrange("ballast:inbox:all", 0, -1)  # type: ignore[assignment]
        return [job_id.decode() for job_id in found]

    def stop(self) -> None:
        """End all processes but the servers."""
        self.stack.stop_all()
        self.engine.dispose()

    def register(self, first_id: int, count: int) -> range:
        """People whom the bot knows."""
        connection = psycopg2.connect(self.servers.postgres.url)
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO users (telegram_id, first_name) SELECT n, 'P' FROM generate_series(%s, %s) AS n",
                (first_id, first_id + count - 1),
            )
        connection.close()
        return range(first_id, first_id + count)


@contextmanager
def broadcasting(folder: Path | None = None, **options: Any) -> Iterator[Broadcasting]:
    """On servers of its own, migrated and running."""
    with running_servers(folder) as servers, ExitStack() as closing:
        cluster = Broadcasting(servers, **options)
        closing.callback(cluster.stop)
        cluster.start_missing()
        yield cluster


async def received(telegram: TelegramControl, people: range) -> Counter[int]:
    """How often each of these people got something, by Telegram's own record."""
    counts: Counter[int] = Counter()
    for method in ("sendMessage", "copyMessage"):
        after = 0
        while requests := await telegram.requests(method=method, took_effect=True, after=after, limit=1000):
            chats = (request.chat_id for request in requests if request.chat_id is not None)
            counts.update(chat_id for chat_id in chats if chat_id in people)
            after = requests[-1].id
    return counts


def assert_each_got_what_the_table_says(
    broadcast: Broadcast, states: dict[int, str], got: Counter[int], audience: range
) -> None:
    """One final state each, nobody twice, and the counts add up."""
    assert set(states) == set(audience)
    tally = Counter(states.values())
    assert set(tally) <= {"sent", "blocked", "failed", "unknown"}
    counted: dict[str, Any] = {
        "sent": broadcast.sent,
        "blocked": broadcast.blocked,
        "failed": broadcast.failed,
        "unknown": broadcast.unknown,
    }
    assert {state: count for state, count in counted.items() if count} == dict(tally)
    assert broadcast.done == broadcast.audience == len(audience)
    assert [person for person, count in got.items() if count > 1] == []
    for person in audience:
        match states[person]:
            case "sent":
                assert got[person] == 1, person
            case "blocked" | "failed":
                assert got[person] == 0, person
