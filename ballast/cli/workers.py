"""`ballast workers`: what each worker does, and draining them one by one."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.acts import yes_option
from ballast.cli.commands import Group, as_json, print_json, require_agreement
from ballast.cli.fleet_orders import write_down

if TYPE_CHECKING:
    import redis

    from ballast.queueing.worker_drains import Worker

LOOK_SECONDS = 0.5
TOLD_EVERY_SECONDS = 5.0

_worker = click.argument("worker", metavar="WORKER")
_reason = click.option("--reason", default="", help="Why. It is in the audit log.")


@click.group(cls=Group)
def workers() -> None:
    """List workers with what each does, drain and resume them. It needs Redis alone.

    A worker that is drained takes no more jobs and finishes what it has. It stays so until it is resumed, or started
    anew.
    """


@workers.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """List the workers, what each does now, and who drains it."""
    found = _all(_connected())
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        by = f", by {each.drained_by}" if each.drained_by else ""
        click.echo(f"{each.name:<28}{each.state}{by}  {', '.join(each.queues)}")
        for line in _jobs(each):
            click.echo(f"    {line}")


@workers.command()
@_worker
@_reason
@click.option(
    "--wait-seconds",
    type=click.IntRange(0, 3600),
    default=120,
    show_default=True,
    help="How long to wait until it is drained. It goes on after that.",
)
@yes_option
def drain(*, worker: str, reason: str, wait_seconds: int, yes: bool) -> None:
    """Drain a worker, and wait until nothing is left that it had.

    WORKER is a name that `ballast workers list` shows, such as main@host. If no other worker takes the jobs of one of
    its queues, it asks first.
    """
    from ballast.people.doing import NotDone
    from ballast.queueing import worker_drains
    from ballast.queueing.worker_drains import NoSuchWorker, WouldLeaveAlone
    from dbcore.breaker.override import user_here

    client = _connected()
    try:
        try:
            worker_drains.drain(client, worker, user_here(), _processes(client), even_last=False)
            action = "worker.drain"
        except WouldLeaveAlone as last:
            waits = (
                f"Jobs of {', '.join(last.queues)} wait until another worker runs, or this one is resumed."
            )
            require_agreement([waits], f"Drain {worker} all the same?", yes=yes)
            worker_drains.drain(client, worker, user_here(), _processes(client), even_last=True)
            action = "worker.drain_last"
    except NoSuchWorker as missing:
        raise NotDone(str(missing)) from None
    write_down(client, action, worker, reason)
    click.echo(_wait(client, worker, wait_seconds))


@workers.command()
@_worker
@_reason
def resume(*, worker: str, reason: str) -> None:
    """Have a worker take jobs again."""
    from ballast.people.doing import NotDone
    from ballast.queueing import worker_drains

    client = _connected()
    if worker not in worker_drains.read(client):
        raise NotDone(f"{worker} is not drained")
    worker_drains.resume(client, worker)
    write_down(client, "worker.resume", worker, reason)
    click.echo(f"{worker} takes jobs again within four seconds")


def _wait(client: redis.Redis, worker: str, seconds: int) -> str:
    """What came of it. Raises NotDone if that is not known by then."""
    from ballast.people.doing import NotDone
    from ballast.queueing.worker_drains import WorkerState

    until = time.monotonic() + seconds
    told_at = float("-inf")
    while True:
        found = next((each for each in _all(client) if each.name == worker), None)
        if found is None or found.state is WorkerState.WORKING:
            raise NotDone(f"{worker} was resumed or started anew meanwhile, and takes jobs")
        if found.state is WorkerState.DRAINED:
            return f"{worker} is drained: nothing is left that it had"
        if found.state is WorkerState.GONE:
            return f"{worker} ended; what it had went to other workers"
        if time.monotonic() >= until:
            raise NotDone(f"{worker} is {found.state} still, and goes on: {'; '.join(_jobs(found))}")
        if time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
            told_at = time.monotonic()
            click.echo(f"{worker} is {found.state}: {'; '.join(_jobs(found))}")
        time.sleep(LOOK_SECONDS)


def _jobs(found: Worker) -> list[str]:
    from ballast.queueing.worker_drains import WorkerState

    lines = [f"{job['kind']} for {job['seconds']:.0f} s, pid {job['pid']}" for job in found.jobs]
    if found.state is WorkerState.SILENT:
        lines.append("its main process has not answered: it hangs, or is of an older release")
    return lines or ["no job is being done"]


def _connected() -> redis.Redis:
    from dbcore.redis_client import connect_redis
    from dbcore.settings import load_settings

    return connect_redis(load_settings())


def _processes(client: redis.Redis) -> dict[str, dict[str, object]]:
    from ballast.inbox import Inbox

    return Inbox(client).processes()


def _all(client: redis.Redis) -> list[Worker]:
    from ballast.queueing import worker_drains
    from dbcore.redis_client import redis_time
    from dbcore.redis_pace import pace_of
    from dbcore.settings import load_settings

    return worker_drains.workers(
        _processes(client), worker_drains.read(client), redis_time(client), pace_of(load_settings())
    )
