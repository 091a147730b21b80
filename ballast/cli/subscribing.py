"""`ballast subscription-link` and `ballast subscriptions`: a link to subscribe by, and who is subscribed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ballast.cli.acts import act_of, key_option, reason_option, yes_option
from ballast.cli.commands import IMPOSSIBLE, REFUSED, Command, Group, open_database, require_agreement

if TYPE_CHECKING:
    from dbcore.ledger.star_subscriptions import Subscription, Wanted

WATCHED_SECONDS_MAX = 60.0
LOOK_EVERY_SECONDS = 0.5

_number = click.argument("number", type=click.IntRange(1), metavar="SUBSCRIPTION")
_reason = reason_option("It is in the audit log.")


@click.command("subscription-link", cls=Command)
@click.argument("plan", metavar="NAME")
@click.pass_context
def link(ctx: click.Context, *, plan: str) -> None:
    """Make a link by which anybody can subscribe to the plan NAME of STARS_SUBSCRIPTIONS, and print it."""
    from ballast.subscriptions import offering
    from dbcore.guard.refusal import Refuse
    from dbcore.settings import load_settings

    settings = load_settings()
    if offering.plan_named(plan, settings) is None:
        click.echo(
            f"ballast: {plan!r} is not on offer: it needs STARS_SUPPORT, STARS_TERMS, TELEGRAM_BOT_TOKEN, and a plan "
            "of this name in STARS_SUBSCRIPTIONS",
            err=True,
        )
        ctx.exit(REFUSED)
    try:
        click.echo(offering.link_to(plan, settings))
    except Refuse as refused:
        click.echo(f"ballast: {refused.message}", err=True)
        ctx.exit(IMPOSSIBLE)


@click.group(cls=Group)
def subscriptions() -> None:
    """Subscriptions: list them, cancel the renewal of one, and allow it again."""


@subscriptions.command("list", cls=Command)
@click.option("--user", type=click.IntRange(1), metavar="ID", help="Of this user alone.")
def list_(*, user: int | None) -> None:
    """Subscriptions, the newest first."""
    from dbcore.ledger import star_subscriptions

    engine, _ = open_database()
    before: int | None = None
    while found := star_subscriptions.listed(engine, telegram_id=user, before=before):
        for each in found:
            click.echo(_line(each))
        before = found[-1].number


@subscriptions.command(cls=Command)
@_number
@_reason
@key_option
@yes_option
@click.pass_context
def cancel(ctx: click.Context, *, number: int, reason: str, key: str | None, yes: bool) -> None:
    """Cancel the renewal: no more Stars are charged, and what is paid stays.

    Exit status: 0 once Telegram has done it, 1 if it cannot be or Telegram refuses, 2 if Telegram has not answered
    within a minute: it is asked on.
    """
    _have_changed(ctx, number, "cancelled", "Cancel its renewal?", reason, key, yes=yes)


@subscriptions.command(cls=Command)
@_number
@_reason
@key_option
@yes_option
@click.pass_context
def allow(ctx: click.Context, *, number: int, reason: str, key: str | None, yes: bool) -> None:
    """Let its user turn on a renewal again that this bot cancelled. Nothing is charged by this."""
    _have_changed(ctx, number, "allowed", "Allow its renewal again?", reason, key, yes=yes)


def _have_changed(
    ctx: click.Context, number: int, wanted: Wanted, question: str, reason: str, key: str | None, *, yes: bool
) -> None:
    from ballast.queueing import outbox_relay
    from ballast.subscriptions import changing
    from dbcore.ledger import star_subscriptions
    from dbcore.people.reasons import in_words

    engine, settings = open_database()
    found = star_subscriptions.find(engine, number)
    if found is None:
        click.echo(f"ballast: there is no subscription {number}", err=True)
        ctx.exit(REFUSED)
    require_agreement([_line(found)], question, yes=yes)
    outcome = changing.have_changed(engine, act_of(reason, key), number=number, wanted=wanted)
    if outcome.reason is not None:
        click.echo(f"ballast: nothing was changed: {in_words(outcome.reason)}", err=True)
        ctx.exit(REFUSED)
    outbox_relay.ask_from_outside(settings)
    until = time.monotonic() + WATCHED_SECONDS_MAX
    while time.monotonic() < until:
        after = star_subscriptions.find(engine, number)
        if after is not None and after.wanted is None:
            if after.refusal is not None:
                click.echo(f"ballast: Telegram refused: {after.refusal}", err=True)
                ctx.exit(REFUSED)
            click.echo(_line(after))
            return
        time.sleep(LOOK_EVERY_SECONDS)
    click.echo("ballast: Telegram has not answered yet; it is asked on by itself", err=True)
    ctx.exit(IMPOSSIBLE)


def _line(each: Subscription) -> str:
    until = each.expires_at.astimezone().isoformat(timespec="seconds")
    parts = [
        str(each.number),
        each.plan,
        f"{each.stars} Stars",
        f"user {each.owner.telegram_id}",
        f"{'paid until' if each.is_paid else 'ended'} {until}",
        f"renewal {each.renewal}" + (" by this bot" if each.cancelled_by_bot else ""),
    ]
    if each.wanted is not None:
        parts.append(f"Telegram is asked: {each.wanted}")
    return "  ".join(parts)
