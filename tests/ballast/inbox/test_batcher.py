from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from ballast.inbox import Batcher
from ballast.inbox.batcher import BATCH_MAX


class Gate:
    """Work that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Event()
        self.open = threading.Event()

    def do(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.begun.set()
        assert self.open.wait(30)
        if -1 in numbers:
            raise ValueError("one is wrong")
        return [2 * number for number in numbers]


async def _begun(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.begun.wait, 30)


async def test_one_alone_is_done_at_once_and_what_comes_meanwhile_is_the_next_batch() -> None:
    gate = Gate()
    batcher = Batcher(gate.do)
    first = asyncio.create_task(batcher.do(0))
    await _begun(gate)
    others = [asyncio.create_task(batcher.do(number)) for number in range(1, BATCH_MAX + 6)]
    await asyncio.sleep(0)
    others[2].cancel()  # nobody waits for it any more, and it is done all the same
    gate.open.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    assert [result for result in results if isinstance(result, int)] == [
        2 * number for number in range(BATCH_MAX + 6) if number != 3
    ]
    assert gate.batches == [[0], [*range(1, BATCH_MAX + 1)], [*range(BATCH_MAX + 1, BATCH_MAX + 6)]]


async def test_what_fails_fails_for_all_of_its_batch_and_the_next_batch_is_done() -> None:
    gate = Gate()
    gate.open.set()
    batcher = Batcher(gate.do)
    results = await asyncio.gather(batcher.do(1), batcher.do(-1), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError]
    assert await batcher.do(4) == 8


async def test_who_waits_when_the_work_is_given_up_is_told() -> None:
    gate = Gate()
    batcher = Batcher(gate.do)
    waiting = asyncio.create_task(batcher.do(1))
    await _begun(gate)
    (running,) = (task for task in asyncio.all_tasks() if task not in {waiting, asyncio.current_task()})
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 30)
    gate.open.set()
