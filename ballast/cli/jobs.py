"""`ballast jobs`: where a job is, what to do with those that failed, and a run of a periodic one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ballast.cli.commands import (
    REFUSED,
    TIMES,
    Group,
    as_json,
    in_utc,
    open_database,
    print_json,
    require_agreement,
    say_if_none,
)
from ballast.texts import gettext, gettext_noop, ngettext, said
from ballast.texts.columns import left, right

if TYPE_CHECKING:
    from dbcore.failed_operations import Filters
    from dbcore.guard.engine import GuardedEngine

LISTED_MAX = 100
PROGRESS_EVERY = 100

_STATES = {
    "held_back": gettext_noop("held back"),
    "queued": gettext_noop("queued"),
    "running": gettext_noop("running"),
    "behind": gettext_noop("waiting"),
    "delayed": gettext_noop("delayed"),
    "answering": gettext_noop("answering"),
    "finished": gettext_noop("finished"),
}
"""Of a job, for people; in JSON the state itself."""

_reference = click.argument("reference")
_references = click.argument("references", nargs=-1, metavar="[REFERENCE]...")
_yes = click.option("--yes", is_flag=True, help="Do not ask before all that match; scripts need it.")


def _matching(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which failed jobs are meant."""
    for option in (
        click.option("--until", type=TIMES, metavar="TIME", help="Only those that failed before this time."),
        click.option(
            "--since", type=TIMES, metavar="TIME", help="Only those that failed from this time on, in UTC."
        ),
        click.option("--user", "telegram_id", type=int, metavar="ID", help="Only of this Telegram ID."),
        click.option("--error", help="Only those with this in their error."),
        click.option("--kind", help="Only of this kind, such as balances.adjust."),
    ):
        command = option(command)
    return command


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
    from ballast.jobs import JobInvalid
    from ballast.queueing import failed_jobs, lookup
    from ballast.queueing.failed_jobs import FailedJobRefused
    from dbcore.breaker import CachedStateReader
    from dbcore.breaker.override import iso_time
    from dbcore.errors import DatabaseAway
    from dbcore.redis_client import connect_redis

    wanted = lookup.normal(reference)
    if wanted is None:
        raise JobInvalid(
            gettext(
                "expected a reference of eight letters and digits, such as 7F3KQ2MA; got {text}",
                text=repr(reference),
            )
        )
    engine, settings = open_database()
    client = connect_redis(settings)
    found = lookup.find(client, wanted, CachedStateReader(client).read())
    answer = {} if found is None else {name: value for name, value in found.as_json().items() if value != ""}
    if found is None or found.state == "finished":
        try:
            letter = failed_jobs.described(engine, wanted)
            answer |= {"reference": wanted, "state": "failed", "dead_letter": letter}
        except FailedJobRefused:
            pass
        except DatabaseAway as away:
            unsearched = gettext(
                "the database does not answer ({error}): failed jobs were not searched", error=str(away)
            )
            click.echo(f"ballast: {unsearched}", err=True)
    if not answer:
        nothing = gettext(
            "no job has the reference {reference}: none on record, finished since yesterday, or failed",
            reference=wanted,
        )
        click.echo(f"ballast: {nothing}", err=True)
        ctx.exit(REFUSED)
    if "since" in answer:
        answer["since"] = iso_time(answer["since"])
    print_json(answer)


@jobs.command("list")
@_matching
@click.option(
    "--limit", type=click.IntRange(1), default=LISTED_MAX, show_default=True, help="How many to print."
)
@as_json
def list_(*, limit: int, as_json: bool, **wanted: Any) -> None:
    """List the failed jobs that are open, the oldest first."""
    from itertools import islice

    from ballast.queueing import failed_jobs
    from dbcore import failed_operations
    from dbcore.text import one_line

    engine, _ = open_database()
    filters = _filters(wanted)
    counts = failed_operations.count_matching(engine, filters)
    letters = [*islice(failed_jobs.each_matching(engine, filters), limit)]
    if as_json:
        names = ("reference", "created_at", "kind", "telegram_id", "error")
        print_json([{name: getattr(letter, name) for name in names} for letter in letters])
        return
    say_if_none(letters, gettext("No failed jobs."))
    for letter in letters:
        error = one_line(letter.error, 80)
        click.echo(f"{letter.reference}  {letter.created_at:%Y-%m-%d %H:%M}  {letter.kind:<22}  {error}")
    total = sum(counts.values())
    if total > len(letters):
        some = gettext(
            "{shown} of {count} are shown: {kinds}", shown=len(letters), count=total, kinds=_by_kind(counts)
        )
        click.echo(some, err=True)


@jobs.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=LISTED_MAX, show_default=True)
@as_json
def waiting(*, limit: int, as_json: bool) -> None:
    """List the jobs on record, whoever has waited longest first: whose, what, and what for. It only needs Redis."""
    from ballast.queueing import lookup
    from ballast.texts.formats import duration
    from dbcore.breaker import CachedStateReader
    from dbcore.redis_client import connect_redis
    from dbcore.settings import load_settings

    client = connect_redis(load_settings())
    page = lookup.waiting(client, CachedStateReader(client).read(), place=None, limit=limit)
    if as_json:
        print_json([job.as_json() for job in page.items])
        return
    say_if_none(page.items, gettext("No job waits."))
    for job in page.items:
        whose = gettext("nobody") if job.telegram_id is None else job.telegram_id
        waits = gettext(_STATES[job.state])
        if job.waits_for:
            waits = gettext("{state}, for {what}", state=waits, what=said(job.waits_for))
        age, kind = right(duration(job.age_seconds or 0), 12), left(job.kind or gettext("unknown"), 22)
        click.echo(f"{job.reference}  {age}  {kind}  {whose}  {waits}")
    if page.next_place is not None:
        click.echo(gettext("More wait: --limit shows them."), err=True)


@jobs.command()
@_references
@_matching
@_yes
@click.pass_context
def retry(ctx: click.Context, /, *, references: tuple[str, ...], yes: bool, **wanted: Any) -> None:
    """Queue failed jobs again: those of these references, or all that match. Each under its own ID, so what took effect
    does not do so twice.
    """
    from ballast.cli.broadcast_actions import action_here
    from ballast.inbox import Inbox, Publisher
    from ballast.queueing import failed_jobs
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    client = connect_redis(settings)
    inbox, publisher = Inbox(client), Publisher(client)

    def again(reference: str) -> None:
        order = action_here("dead_letter.retry", reference)
        failed_jobs.retry(engine, inbox, publisher, reference, order)

    words = _Words(
        question=lambda count: ngettext("Retry {count}?", "Retry {count}?", count),
        one=lambda reference: gettext("{reference} is queued again", reference=reference),
        all=lambda count: ngettext("{count} queued again", "{count} queued again", count),
    )
    _each(ctx, engine, references, wanted, again, words, yes)


@jobs.command()
@_references
@_matching
@_yes
@click.pass_context
def discard(ctx: click.Context, /, *, references: tuple[str, ...], yes: bool, **wanted: Any) -> None:
    """Close failed jobs without doing them: those of these references, or all that match."""
    from ballast.cli.broadcast_actions import action_here
    from ballast.queueing import failed_jobs

    engine, _ = open_database()

    def close(reference: str) -> None:
        failed_jobs.discard(engine, reference, action_here("dead_letter.discard", reference))

    words = _Words(
        question=lambda count: ngettext("Discard {count}?", "Discard {count}?", count),
        one=lambda reference: gettext("{reference} is discarded", reference=reference),
        all=lambda count: ngettext("{count} discarded", "{count} discarded", count),
    )
    _each(ctx, engine, references, wanted, close, words, yes)


@jobs.command()
@click.argument("name")
def run(*, name: str) -> None:
    """Run an app's periodic function once, now, beside its periods. NAME is the function's."""
    from ballast.inbox import Inbox, Publisher
    from ballast.queueing.envelope import reference_of
    from ballast.queueing.periodic_runs import run_now
    from dbcore.redis_client import connect_redis
    from dbcore.settings import load_settings

    client = connect_redis(load_settings())
    job_id = run_now(Inbox(client), Publisher(client), name)
    click.echo(gettext("{name} is queued, reference {reference}", name=name, reference=reference_of(job_id)))


@jobs.command(hidden=True, deprecated="use `ballast jobs list`")
@as_json
@click.pass_context
def failed(ctx: click.Context, *, as_json: bool) -> None:
    """List the failed jobs that are open."""
    ctx.invoke(list_, as_json=as_json)


@jobs.command(hidden=True, deprecated="use `ballast jobs show`")
@_reference
def failure(*, reference: str) -> None:
    """Show all that is known of a failed job, as JSON."""
    from ballast.queueing import failed_jobs

    engine, _ = open_database()
    print_json(failed_jobs.described(engine, reference))


def _filters(wanted: dict[str, Any]) -> Filters:
    from dbcore.failed_operations import Filters

    return Filters(**in_utc(wanted))


def _by_kind(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


class _Words(NamedTuple):
    """What is said of something that is done with failed jobs: before it, and after it of one and of so many."""

    question: Callable[[int], str]
    one: Callable[[str], str]
    all: Callable[[int], str]


def _each(
    ctx: click.Context,
    engine: GuardedEngine,
    references: tuple[str, ...],
    wanted: dict[str, Any],
    act: Callable[[str], None],
    words: _Words,
    yes: bool,
) -> None:
    """What came of each; exit status 1 if one was refused."""
    from ballast.queueing import failed_jobs
    from ballast.queueing.failed_jobs import FailedJobRefused
    from dbcore import failed_operations

    is_filtered = any(value is not None for value in wanted.values())
    if bool(references) == is_filtered:
        raise click.UsageError(
            gettext("expected references, or options that say which: --kind, --since and the like")
        )
    filters = _filters(wanted)
    if is_filtered:
        counts = failed_operations.count_matching(engine, filters)
        if not counts:
            click.echo(gettext("no failed job that is open matches"))
            return
        require_agreement([_by_kind(counts)], words.question(sum(counts.values())), yes=yes)
    matching = (letter.reference for letter in failed_jobs.each_matching(engine, filters))
    count, refused = 0, 0
    for reference in references or matching:
        try:
            act(reference)
        except FailedJobRefused as error:
            refused += 1
            click.echo(f"ballast: {said(error)}", err=True)
            continue
        count += 1
        if references:
            click.echo(words.one(reference))
        elif count % PROGRESS_EVERY == 0:
            click.echo(words.all(count), err=True)
    if is_filtered:
        not_done = [ngettext("{count} refused", "{count} refused", refused)] if refused else []
        click.echo(", ".join([words.all(count), *not_done]))
    if refused:
        ctx.exit(REFUSED)
