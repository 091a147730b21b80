"""How busy the machine's cores are meanwhile, and by whom: what is measured beside a rate says what limits it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil


class Cores:
    """From when it is made on. roles -- the processes, by a name; their children count with them."""

    def __init__(self, roles: Mapping[str, list[int]]) -> None:
        self._roles = roles
        self._since = time.perf_counter()
        self._before = {role: _seconds(pids) for role, pids in roles.items()}
        self._machine_before = _machine_seconds()

    def busy(self) -> dict[str, float]:
        """Cores' worth of work of each role, and of the whole `machine`."""
        elapsed = time.perf_counter() - self._since
        found = {
            role: round((_seconds(pids) - self._before[role]) / elapsed, 2)
            for role, pids in self._roles.items()
        }
        return {**found, "machine": round((_machine_seconds() - self._machine_before) / elapsed, 2)}


def _seconds(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:  # it ended since it was listed
                continue
            total += times.user + times.system
    return total


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)
