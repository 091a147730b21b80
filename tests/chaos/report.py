"""What a run is told as: a few lines for people, one line of JSON for machines."""

from __future__ import annotations

import json
import math
import os
import platform
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.chaos.run import Outcome

MIB = 1024 * 1024
FINDINGS_SHOWN = 40


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: a value that was measured, not one between two."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Count, median, p99 and maximum, in seconds."""
    if not values:
        return {"count": 0}
    return {
        "count": len(values),
        "p50": round(percentile(values, 0.5), 3),
        "p99": round(percentile(values, 0.99), 3),
        "max": round(max(values), 3),
    }


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"


def facts(outcome: Outcome) -> dict[str, Any]:
    """Everything in values that JSON knows."""
    verdict, storms = outcome.verdict, outcome.damage.times
    first = min((began for began, _ in storms), default=math.inf)
    last = max((ended for _, ended in storms), default=-math.inf)
    stormy = [latency for at, latency in verdict.latencies if first <= at <= last]
    calm = [latency for at, latency in verdict.latencies if at < first]
    by_kind: Counter[str] = Counter()
    for name, count in outcome.damage.injected.items():
        by_kind[name.partition(":")[0]] += count
    return {
        "seed": outcome.seed,
        "seconds": outcome.seconds,
        "passed": outcome.passed,
        "faults": sum(by_kind.values()),
        "faults_by_kind": dict(sorted(by_kind.items())),
        "faults_missed": sum(outcome.damage.missed.values()),
        "restarts": dict(sorted(outcome.restarts.items())),
        "updates_handed_out": outcome.updates,
        "jobs": verdict.commands,
        "commands": len(outcome.record.written),
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "replies_doubled": verdict.replies_doubled,
        "queued_notices": verdict.notices,
        "queued_notices_left": verdict.notices_left,
        "answer_seconds_under_fire": spread(stormy),
        "answer_seconds_in_calm": spread(calm),
        "settle_seconds": round(outcome.settle_seconds, 2),
        "worker_memory_mib": {
            "fresh": outcome.memory_fresh_bytes // MIB,
            "peak": outcome.memory_peak_bytes // MIB,
        },
        "findings": len(verdict.findings),
    }


def lines(outcome: Outcome) -> list[str]:
    """For people. A failed run ends with what was found, its schedule and how to replay it."""
    found = facts(outcome)
    fire, calm = found["answer_seconds_under_fire"], found["answer_seconds_in_calm"]
    told = [
        f"seed {outcome.seed}, {outcome.seconds:.0f} s, {machine()}",
        f"faults injected: {found['faults']} ({found['faults_missed']} found nothing to strike)",
        *(f"    {kind:24}{count:4}" for kind, count in found["faults_by_kind"].items()),
        f"restarts: {', '.join(f'{name} {count}' for name, count in found['restarts'].items()) or 'none'}",
        f"commands written: {found['commands']}   updates handed out: {found['updates_handed_out']}"
        f"   jobs: {found['jobs']}",
        f"lost: {found['lost']}   doubled: {found['doubled']}   replies doubled: {found['replies_doubled']}"
        f"   said to be queued: {found['queued_notices']}, left standing: {found['queued_notices_left']}",
        f"seconds to the answer: in calm {_shown(calm)}, under fire {_shown(fire)}",
        f"settled {found['settle_seconds']} s after the last fault; worker memory"
        f" {found['worker_memory_mib']['fresh']} MiB fresh, {found['worker_memory_mib']['peak']} MiB at most",
    ]
    if outcome.passed:
        return [*told, "PASSED"]
    findings = outcome.verdict.findings
    told += [
        f"FAILED: {len(findings)} findings",
        *(f"  - {finding}" for finding in findings[:FINDINGS_SHOWN]),
    ]
    told += ["schedule:"]
    told += [
        f"  {fault.at_seconds:7.3f} {fault.kind} {fault.target} for {fault.seconds:.2f} s, pick {fault.pick:.3f}"
        for fault in outcome.faults
    ]
    told += [f"replay: make chaos SECONDS={outcome.seconds:.0f} SEED={outcome.seed}"]
    return told


def json_line(outcome: Outcome) -> str:
    return json.dumps(facts(outcome), separators=(",", ":"))


def _shown(found: dict[str, float]) -> str:
    if not found["count"]:
        return "none"
    return f"p50 {found['p50']}, p99 {found['p99']}, max {found['max']} of {found['count']}"
