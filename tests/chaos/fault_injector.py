"""The seeded adversary: a schedule of faults, drawn before anything starts, and its execution."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import KINDS, Fault, Site

GAP_SECONDS = 1.3
TOGETHER_SHARE = 0.25
"""So many strikes are two faults within TOGETHER_SECONDS of each other."""
TOGETHER_SECONDS = 0.3


def schedule(seed: int, seconds: float) -> tuple[Fault, ...]:
    """Faults for so many seconds, in the order of their moments."""
    draw = random.Random(f"{seed}:adversary")
    faults: list[Fault] = []
    at = draw.expovariate(1 / GAP_SECONDS)
    while at < seconds:
        faults.append(_fault(draw, at))
        if draw.random() < TOGETHER_SHARE:
            faults.append(_fault(draw, at + draw.uniform(0, TOGETHER_SECONDS)))
        at += draw.expovariate(1 / GAP_SECONDS)
    return tuple(sorted(faults, key=lambda fault: fault.at_seconds))


def _fault(draw: random.Random, at: float) -> Fault:
    kind = draw.choices(list(KINDS.values()), [kind.weight for kind in KINDS.values()])[0]
    return Fault(
        at_seconds=round(at, 3),
        kind=kind.name,
        target=draw.choice(kind.targets),
        seconds=round(draw.uniform(kind.seconds_min, kind.seconds_max), 3),
        pick=draw.random(),
    )


@dataclass
class Damage:
    """What was done. `times` are unix times of each strike's begin and end."""

    injected: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    times: list[tuple[float, float]] = field(default_factory=list)


async def inject(site: Site, faults: Sequence[Fault]) -> Damage:
    """Carry out a schedule to its end; what a fault broke is healed when this returns, but for restarts."""
    damage = Damage()
    started = asyncio.get_running_loop().time()

    async def strike(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, started + fault.at_seconds - asyncio.get_running_loop().time()))
        began = time.time()
        struck = await KINDS[fault.kind].strike(site, fault)
        (damage.injected if struck else damage.missed)[f"{fault.kind}:{fault.target}"] += 1
        if struck:
            damage.times.append((began, time.time()))

    async with asyncio.TaskGroup() as strikes:
        for fault in faults:
            strikes.create_task(strike(fault))
    return damage
