"""`ballast workers`: what each worker does, and draining them one by one."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.acts import yes_option
from ballast.cli.commands import Group, as_json, print_json, require_agreement
from ballast.cli.fleet_orders import write_down
from ballast.texts import gettext, said

if TYPE_CHECKING:
    import redis

    from ballast.queueing.worker_drains import Worker

LOOK_SECONDS = 0.5
TOLD_EVERY_SECONDS = 5.0

_worker = click.argument("worker", metavar="WORKER")
_reason = click.option("--reason", default="", help="Why. It is in the audit log.")


@click.group(cls=Group)
def workers() -> None:
    """List workers with what each does, drain and resume them. It only needs Redis.

    A worker that is drained takes no more jobs and finishes what it has. It stays drained until it is resumed or
    restarted.
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
        state = _state(each)
        if each.drained_by:
            state = gettext("{state}, by {name}", state=state, name=each.drained_by)
        click.echo(f"{each.name:<28}{state}  {', '.join(each.queues)}")
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
            waits = gettext(
                "Jobs of {queues} wait until another worker runs, or this one is resumed.",
                queues=", ".join(last.queues),
            )
            question = gettext("Drain {name} all the same?", name=worker)
            require_agreement([waits], question, yes=yes)
            worker_drains.drain(client, worker, user_here(), _processes(client), even_last=True)
            action = "worker.drain_last"
    except NoSuchWorker as missing:
        raise NotDone(said(missing)) from None
    write_down(client, action, worker, reason)
    click.echo(_wait(client, worker, wait_seconds))


@workers.command()
@_worker
@_reason
def resume(*, worker: str, reason: str) -> None:
    """Let a worker take jobs again."""
    from ballast.people.doing import NotDone
    from ballast.queueing import worker_drains

    client = _connected()
    if worker not in worker_drains.read(client):
        raise NotDone(gettext("{name} is not drained", name=worker))
    worker_drains.resume(client, worker)
    write_down(client, "worker.resume", worker, reason)
    click.echo(gettext("{name} takes jobs again within four seconds", name=worker))


def _wait(client: redis.Redis, worker: str, seconds: int) -> str:
    """What came of it. Raises NotDone if that is not known by then."""
    from ballast.people.doing import NotDone
    from ballast.queueing.worker_drains import WorkerState

    until = time.monotonic() + seconds
    told_at = float("-inf")
    while True:
        found = next((each for each in _all(client) if each.name == worker), None)
        if found is None or found.state is WorkerState.WORKING:
            raise NotDone(gettext("{name} was resumed or restarted meanwhile, and takes jobs", name=worker))
        if found.state is WorkerState.DRAINED:
            return gettext("{name} is drained: nothing is left that it had", name=worker)
        if found.state is WorkerState.GONE:
            return gettext("{name} ended; what it had went to other workers", name=worker)
        jobs, is_silent = "; ".join(_jobs(found)), found.state is WorkerState.SILENT
        if time.monotonic() >= until:
            if is_silent:
                raise NotDone(gettext("{name} is still silent, and goes on: {jobs}", name=worker, jobs=jobs))
            raise NotDone(gettext("{name} is still draining, and goes on: {jobs}", name=worker, jobs=jobs))
        if time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
            told_at = time.monotonic()
            if is_silent:
                click.echo(gettext("{name} is silent: {jobs}", name=worker, jobs=jobs))
            else:
                click.echo(gettext("{name} is draining: {jobs}", name=worker, jobs=jobs))
        time.sleep(LOOK_SECONDS)


def _jobs(found: Worker) -> list[str]:
    from ballast.queueing.worker_drains import WorkerState

    lines = [
        gettext(
            "{kind} for {seconds} s, pid {pid}",
            kind=job["kind"],
            seconds=round(job["seconds"]),
            pid=str(job["pid"]),
        )
        for job in found.jobs
    ]
    if found.state is WorkerState.SILENT:
        lines.append(gettext("its main process has not answered: it hangs, or is of an older release"))
    return lines or [gettext("no job is being done")]


def _state(found: Worker) -> str:
    from ballast.queueing.worker_drains import WorkerState

    match found.state:
        case WorkerState.WORKING:
            return gettext("working")
        case WorkerState.DRAINING:
            return gettext("draining")
        case WorkerState.DRAINED:
            return gettext("drained")
        case WorkerState.SILENT:
            return gettext("silent")
        case WorkerState.GONE:
            return gettext("gone")


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
