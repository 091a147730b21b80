"""Long polls of the control API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from devstack.telegram.live import ChangeNotifier

T = TypeVar("T")


async def wait_until_some(look: Callable[[], T], notifier: ChangeNotifier, seconds: float) -> T:
    """Look again at every ring until there is something, at most `seconds`; returns the last look."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = look()
        left = deadline - asyncio.get_running_loop().time()
        if found or left <= 0:
            return found
        await notifier.wait(left)
