"""`ballast queues`: what waits in which queue, and pausing them one by one."""

from __future__ import annotations

from typing import Any

import click

from ballast.cli.commands import Group, as_json, print_json
from ballast.cli.fleet_orders import write_down
from ballast.queueing.queues import DATABASE_QUEUES, QUEUES
from ballast.texts import gettext
from ballast.texts.columns import right

_queue = click.argument("queue", type=click.Choice(DATABASE_QUEUES))


@click.group(cls=Group)
def queues() -> None:
    """List queues, pause and resume them. It only needs Redis.

    While a queue is paused no worker takes its jobs: they wait in order, and people are told that theirs are saved.
    """


@queues.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """List the queues with what waits in each, and who paused it."""
    from ballast.queueing import queue_pauses
    from ballast.texts.formats import number
    from dbcore.redis_client import connect_redis, redis_time
    from dbcore.settings import load_settings

    client = connect_redis(load_settings())
    paused, now = queue_pauses.read(client), redis_time(client)
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "length": client.llen(name),
            "paused_by": paused[name].by if name in paused else None,
            "paused_seconds": round(now - paused[name].at, 3) if name in paused else None,
        }
        for name in QUEUES
    ]
    if as_json:
        print_json(found)
        return
    for each in found:
        by = "  " + gettext("paused by {name}", name=each["paused_by"]) if each["paused_by"] else ""
        click.echo(f"{each['name']:<14}{right(number(each['length']), 8)}{by}")


@queues.command()
@_queue
def pause(*, queue: str) -> None:
    """Pause a queue, until it is resumed: also after restarts."""
    _order("pause", queue)
    click.echo(gettext("{name} is paused; every worker knows within four seconds", name=queue))


@queues.command()
@_queue
def resume(*, queue: str) -> None:
    """Resume a queue."""
    _order("resume", queue)
    click.echo(gettext("{name} is resumed; every worker knows within four seconds", name=queue))


def _order(word: str, queue: str) -> None:
    from ballast.queueing import queue_pauses
    from dbcore.breaker.override import user_here
    from dbcore.redis_client import connect_redis
    from dbcore.settings import load_settings

    client = connect_redis(load_settings())
    if word == "pause":
        queue_pauses.pause(client, queue, user_here())
    else:
        queue_pauses.resume(client, queue)
    write_down(client, f"queue.{word}", queue)
