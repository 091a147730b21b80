"""`make bench`: measures on servers of its own, prints a table to read and one line of JSON to keep.

python -m benchmarks [ledger] [guard] [breaker] [commands] [batch] [import] [broadcast] [sending] [history]
    [--seconds 10] [--commands 1000] [--people 100000] [--audience 1000000] [--sending-seconds 60] [--many 100000]

`sending` ends with status 1 where a free broadcast is slower than promised, meets a 429 or holds back replies.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import (
    batch,
    breaker,
    broadcast,
    commands,
    guard,
    history,
    importing,
    ledger,
    sending,
    under_load,
)
from dbcore.migrate import upgrade
from devstack.postgres import EmbeddedPostgres
from tests.harness.servers import running_postgres, temporary_folder

N = TypeVar("N", int, float)

BENCHES = ("ledger", "guard", "breaker", "commands", "batch", "import", "broadcast", "sending", "history")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measures Ballast on servers of its own.")
    parser.add_argument("bench", nargs="*", choices=BENCHES, help="which; all if none is named")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row of `ledger` and of `guard`")
    parser.add_argument(
        "--commands", type=int, default=1_000, help="in each turn of `commands` and of `batch`"
    )
    parser.add_argument("--people", type=int, default=100_000, help="of `import`")
    parser.add_argument("--audience", type=int, default=1_000_000, help="of `broadcast`")
    parser.add_argument(
        "--sending-seconds", type=float, default=60.0, help="of `sending`, for the free broadcast"
    )
    parser.add_argument(
        "--many",
        type=int,
        default=100_000,
        help="people in the large database of `history`, with 101 entries and 50 deliveries each",
    )
    options = parser.parse_args()
    chosen = options.bench or BENCHES
    results: dict[str, Any] = {"machine": _machine()}
    print("{cpu}, {cores} cores, Python {python}\n".format(**results["machine"]))
    if "ledger" in chosen:
        results["ledger"] = _with_database(ledger.run, options.seconds)
        _print_ledger(results["ledger"])
    if "guard" in chosen:
        results["guard"] = _with_database(guard.run, options.seconds)
        _print_guard(results["guard"])
    if "breaker" in chosen:
        results["breaker"] = breaker.run()
        _print_breaker(results["breaker"])
    if "commands" in chosen:
        results["commands"] = commands.run(options.commands)
        _print_commands(results["commands"])
        results["under_load"] = under_load.run(options.commands)
        _print_under_load(results["under_load"])
    if "batch" in chosen:
        results["batch"] = batch.run(options.commands)
        print("Jobs of an app per second, a keyed credit each")
        for how, rate in results["batch"]["per_second"].items():
            print(f"  {how:<12}{rate:>9,.1f}")
        print()
    if "import" in chosen:
        results["import"] = _with_database(importing.run, options.people)
        _print_import(results["import"])
    if "broadcast" in chosen:
        results["broadcast"] = broadcast.run(options.audience)
        _print_broadcast(results["broadcast"])
    if "sending" in chosen:
        results["sending"] = sending.run(options.sending_seconds)
        _print_sending(results["sending"])
    if "history" in chosen:
        with _server() as server:
            results["history"] = history.run(server, options.many)
        _print_history(results["history"])
    print(json.dumps(results))
    below = sending.shortfalls(results["sending"]) if "sending" in results else []
    if below:
        sys.exit("\n".join(below))


def _with_database(bench: Callable[[str, N], dict[str, Any]], amount: N) -> dict[str, Any]:
    with _server() as server:
        upgrade(server.url)
        return bench(server.url, amount)


@contextmanager
def _server() -> Iterator[EmbeddedPostgres]:
    with temporary_folder() as folder:
        folder.chmod(0o711)  # PostgreSQL runs as another user where we are root
        with running_postgres(folder, migrated=False) as server:
            yield server


def _print_ledger(found: dict[str, Any]) -> None:
    print("the ledger's transfer, one round trip each, fsync on")
    print(f"  {'connections':>11} {'psycopg2/s':>11} {'guarded/s':>11} {'ratio':>6}")
    for threads in (1, 8):
        row = found[f"connections_{threads}"]
        print(
            f"  {threads:>11} {row['bare_per_second']:>11,} {row['guarded_per_second']:>11,} {row['ratio']:>6.3f}"
        )
    print()


def _print_guard(found: dict[str, Any]) -> None:
    print("one transaction, ORM, fsync on, one connection")
    print(f"  {'':>24} {'ms':>8} {'of bare':>8} {'at most':>8}")
    for kind in ("write", "read"):
        for name, row in found[kind].items():
            bound = guard.TARGETS.get(name)
            print(
                f"  {kind + ' ' + name:>24} {row['milliseconds']:>8.3f} {row['ratio']:>8.3f} "
                f"{'' if bound is None else f'{bound:.1f}':>8}"
            )
    print()


def _print_breaker(found: dict[str, Any]) -> None:
    print("what a breaker adds to a call, in nanoseconds")
    print(f"  {'':>11} {'Ballast':>9} {'pybreaker':>9} {'interlock-cb':>12} {'times faster':>12}")
    for state in ("closed", "open"):
        row = found[state]
        print(
            f"  {state:>11} {row['ballast']:>9,} {row['pybreaker']:>9,} {row['interlock']:>12,} "
            f"{row['times_faster']:>12.1f}"
        )
    print()


def _print_commands(found: dict[str, Any]) -> None:
    print(
        f"commands end to end, update in to answer out, {found['commands']:,} of as many people at once, fsync on, "
        f"median of {found['rounds']}"
    )
    naive, ballast, noop = found["naive"], found["ballast"], found["noop"]["per_second"]
    print(f"  {'':>24} {'/balance':>9} {'credit':>9}")
    for side, what in (
        ("naive", "naive bot, a second"),
        ("ballast", "Ballast, a second"),
        ("without_inbox", "the same, no inbox"),
    ):
        print(f"  {what:>24} {found[side]['balance']:>9.1f} {found[side]['credit']:>9.1f}")
    for what, peer in (("Ballast / naive", naive), ("Ballast / no inbox", found["without_inbox"])):
        ratios = (ballast[name] / peer[name] for name in ("balance", "credit"))
        print(f"  {what:>24} " + " ".join(f"{ratio:>9.2f}" for ratio in ratios))
    print(
        f"  {'Ballast / Celery no-op':>24} {ballast['balance'] / noop:>9.2f} {ballast['credit'] / noop:>9.2f}"
    )
    for side in ("naive", "ballast"):
        for name, what in (
            ("cpu_ms", "CPU, ms each"),
            ("p50_ms", "p50 at 50/s, ms"),
            ("p99_ms", "p99 at 50/s, ms"),
        ):
            row = [found[side][f"{command}_{name}"] for command in ("balance", "credit")]
            print(f"  {f'{side}: {what}':>24} {row[0]:>9.1f} {row[1]:>9.1f}")
    print(f"  stock Celery, doing nothing: {noop:.0f} a second")
    limits = ", ".join(f"{what} {rate:,.0f}" for what, rate in found["limit"].items())
    print(f"  the limit, a second, 50 at once: {limits}")
    print()


def _print_under_load(found: dict[str, Any]) -> None:
    print("commands a second, by processes of the main worker")
    for processes, row in found["workers"].items():
        print(f"  {processes:>24} {row['balance']:>9.1f} {row['credit']:>9.1f}")
    beside = found["beside_broadcast"]
    print(f"/balance at {commands.PACE}/s beside a broadcast to {under_load.AUDIENCE:,}, p50 and p99 in ms")
    for name, what in (("alone", "none"), ("free", "at the free pace"), ("paid", "at the paid pace")):
        sent = f"  {beside[f'{name}_per_second']:.0f} of it a second" if name != "alone" else ""
        print(f"  {what:>24} {beside[f'{name}_p50_ms']:>9.1f} {beside[f'{name}_p99_ms']:>9.1f}{sent}")
    backlog = found["backlog"]
    print(f"/credit, {backlog['jobs']:,} that waited for an outage to end")
    print(f"  {'a second':>24} {backlog['per_second']:>9.1f}, in a burst {backlog['burst_per_second']:.1f}")
    print(f"  {'out of order':>24} {backlog['people_out_of_order']:>9} people")
    print(f"  {'memory, all workers':>24} {backlog['megabytes_more']:>+9.1f} MB")
    print()


def _print_import(found: dict[str, Any]) -> None:
    print(f"`ballast import` of {found['people']:,} people in a CSV file, with the audit, fsync on")
    for name, what in (("dry_run", "dry run"), ("first", "import"), ("again", "again"), ("undo", "undo")):
        print(f"  {what:<10}{found[f'{name}_seconds']:>7.1f} s {found[f'{name}_megabytes']:>8.1f} MB")
    print(f"  {importing.FEW:,} people: {found['megabytes_few']:.1f} MB")
    print()


def _print_broadcast(found: dict[str, Any]) -> None:
    print(f"a broadcast to {found['audience']:,}, sent to a sink, fsync on")
    print(f"  snapshot                {found['snapshot_seconds']:>9.2f} s")
    print(f"  all of it               {found['sending_seconds']:>9.1f} s in {found['chunks']:,} chunks")
    print(f"  a chunk at the start    {found['chunk_ms_at_start']:>9.1f} ms")
    print(
        f"  a chunk at the end      {found['chunk_ms_at_end']:>9.1f} ms  ({found['chunk_ratio']:.3f} times)"
    )
    print(
        f"  the sender's memory     {found['megabytes']:>9.1f} MB "
        f"({found['megabytes_more']:+.1f} MB to {broadcast.FEW:,})"
    )
    print()


def _print_history(found: dict[str, Any]) -> None:
    entries, sent = found["entries"], found["deliveries"]
    print(
        f"Calls on {entries['large']:,} entries and {sent['large']:,} deliveries, beside {entries['small']:,} and "
        f"{sent['small']:,}; milliseconds"
    )
    print(
        f"  {'':<50}{'p50':>8}{'p50':>8}{'ratio':>7}{'p95':>9}{'p95':>8}{'ratio':>7}{'CPU':>9}{'CPU':>8}{'ratio':>7}"
    )
    for call, shares in found["calls"].items():
        columns = "".join(
            f"{at['small']:>9.2f}{at['large']:>8.2f}{at['ratio']:>6.2f}x" for at in shares.values()
        )
        print(f"  {call:<49}{columns}")
    audits = found["audit_seconds_per_million_entries"]
    print(f"  the audit of a million entries: {audits['small']:.1f} s and {audits['large']:.1f} s\n")


def _print_sending(found: dict[str, Any]) -> None:
    free, paid = found["free"], found["paid"]
    print(f"free, for {free['seconds']:.0f} s, two bulk workers, a local Telegram that enforces its limits")
    print(
        f"  messages a second   {free['per_second']:>9.2f}, of them {free['of_them_news']:.2f} of the broadcast; "
        f"429s: {free['too_many_requests']}"
    )
    print(
        f"  {free['replies']} replies meanwhile    p50 {free['reply_seconds_p50']:.3f} s, "
        f"p99 {free['reply_seconds_p99']:.3f} s"
    )
    print(
        f"paid, messages a second to a sink that answers after {found['latency_ms']} ms, on {os.cpu_count()} cores"
    )
    cores = os.cpu_count() or 1
    for workers, row in paid["workers"].items():
        what = f"Ballast, bulk workers: {workers}"
        print(f"  {what:<38} {row['per_second']:>9.1f}  limited by {sending.limit(row, cores)}")
        print(
            f"  {'':<38} {'':>9}  cores busy: " + ", ".join(f"{k} {v:.2f}" for k, v in row["cores"].items())
        )
    needed = paid["workers_needed"] or f"more than {sending.WORKERS_MAX} on this machine"
    print(f"  workers that reach {sending.PAID_TARGET:.0f} a second: {needed}")
    for name, what in (
        ("bot_aiohttp", "the Bot alone, Ballast's transport"),
        ("bot_default", "the Bot alone, its default transport"),
        ("bot_rate_limiter", "the same with AIORateLimiter"),
    ):
        print(f"  {what:<38} {paid[name]:>9.1f}")
    print()


def _machine() -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
