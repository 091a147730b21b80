"""`ballast jobs`: where a job is, what to do with those that failed, and a run of a periodic one."""

from __future__ import annotations

from dataclasses import asdict

import click

from ballast.cli.commands import REFUSED, Group, as_json, open_database, print_json

LISTED_MAX = 100

_reference = click.argument("reference")


@click.group(cls=Group)
def jobs() -> None:
    """Find jobs, retry or discard those that failed, and run periodic ones.

    A REFERENCE is what the job's user was told, such as 7F3KQ2MA.
    """


@jobs.command()
@_reference
@click.pass_context
def show(ctx: click.Context, *, reference: str) -> None:
    """Show where a job is, and what it waits for, as JSON."""
    from ballast import failed_jobs, lookup
    from ballast.failed_jobs import FailedJobRefused
    from ballast.jobs import JobInvalid
    from dbcore.breaker import CachedStateReader
    from dbcore.breaker.override import iso_time
    from dbcore.errors import DatabaseAway
    from dbcore.redis_client import connect_redis

    wanted = lookup.normal(reference)
    if wanted is None:
        raise JobInvalid(
            f"expected a reference of eight letters and digits, such as 7F3KQ2MA; got {reference!r}"
        )
    engine, settings = open_database()
    client = connect_redis(settings)
    found = lookup.find(client, wanted, CachedStateReader(client).read())
    answer = {} if found is None else {name: value for name, value in asdict(found).items() if value != ""}
    if found is None or found.state == "finished":
        try:
            letter = failed_jobs.described(engine, wanted)
            answer |= {"reference": wanted, "state": "failed", "dead_letter": letter}
        except FailedJobRefused:
            pass
        except DatabaseAway as away:
            click.echo(
                f"ballast: the database does not answer ({away}): failed jobs were not searched", err=True
            )
    if not answer:
        click.echo(
            f"ballast: no job has the reference {wanted}: none on record, finished since yesterday, or failed",
            err=True,
        )
        ctx.exit(REFUSED)
    if "since" in answer:
        answer["since"] = iso_time(answer["since"])
    print_json(answer)


@jobs.command()
@as_json
def failed(*, as_json: bool) -> None:
    """List the oldest 100 failed jobs that are still open."""
    from ballast import failed_jobs
    from dbcore.text import one_line

    engine, _ = open_database()
    letters = failed_jobs.open_ones(engine, LISTED_MAX)
    if as_json:
        print_json(
            [
                {
                    "reference": letter.reference,
                    "created_at": letter.created_at,
                    "kind": letter.kind,
                    "error": letter.error,
                }
                for letter in letters
            ]
        )
        return
    for letter in letters:
        error = one_line(letter.error, 80)
        click.echo(f"{letter.reference}  {letter.created_at:%Y-%m-%d %H:%M}  {letter.kind:<22}  {error}")


@jobs.command()
@_reference
def failure(*, reference: str) -> None:
    """Show all that is known of a failed job, as JSON."""
    from ballast import failed_jobs

    engine, _ = open_database()
    print_json(failed_jobs.described(engine, reference))


@jobs.command()
@_reference
def retry(*, reference: str) -> None:
    """Queue a failed job again. Under its own ID, so what took effect does not do so twice."""
    from ballast import failed_jobs
    from ballast.cli.broadcast_actions import action_here
    from ballast.inbox import Inbox, Publisher
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    client = connect_redis(settings)
    order = action_here("dead_letter.retry", reference)
    failed_jobs.retry(engine, Inbox(client), Publisher(client), reference, order)
    click.echo(f"{reference} is queued again")


@jobs.command()
@click.argument("name")
def run(*, name: str) -> None:
    """Run an app's periodic function once, now, beside its periods. NAME is the function's."""
    from ballast.envelope import reference_of
    from ballast.inbox import Inbox, Publisher
    from ballast.periodic_runs import run_now
    from dbcore.redis_client import connect_redis
    from dbcore.settings import load_settings

    client = connect_redis(load_settings())
    job_id = run_now(Inbox(client), Publisher(client), name)
    click.echo(f"{name} is queued, reference {reference_of(job_id)}")


@jobs.command()
@_reference
def discard(*, reference: str) -> None:
    """Close a failed job without doing it."""
    from ballast import failed_jobs
    from ballast.cli.broadcast_actions import action_here

    engine, _ = open_database()
    failed_jobs.discard(engine, reference, action_here("dead_letter.discard", reference))
    click.echo(f"{reference} is discarded")
