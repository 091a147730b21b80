"""Makes a worker swallow a message: frozen while it waits in BRPOP, it is handed one that nobody writes down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psutil
import redis


def freeze_in_brpop(
    client: redis.Redis,
    tree: Callable[[], Sequence[psutil.Process]],
    until: Callable[[Callable[[], bool]], None],
) -> Sequence[psutil.Process]:
    """Freeze a worker, the only one, in the middle of its BRPOP. It lasts a second: publish at once.

    until -- waits for a condition, and gives up at some time.
    """
    frozen: Sequence[psutil.Process] = []

    def caught() -> bool:
        nonlocal frozen
        for process in frozen:
            process.resume()
        if not _waits(client):
            frozen = []
            return False
        frozen = tree()
        for process in frozen:
            process.suspend()
        return _waits(client)

    until(caught)
    return frozen


def _waits(client: redis.Redis) -> bool:
    return any(entry["cmd"] == "brpop" and "b" in entry["flags"] for entry in client.client_list())
