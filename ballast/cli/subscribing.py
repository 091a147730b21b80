"""`ballast subscription-link` and `ballast subscriptions`: a link to subscribe by, and who is subscribed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ballast.cli.acts import act_of, key_option, reason_option, yes_option
from ballast.cli.commands import IMPOSSIBLE, REFUSED, Command, Group, open_database, require_agreement
from ballast.texts import gettext, ngettext, said

if TYPE_CHECKING:
    from dbcore.ledger.star_subscriptions import Subscription, Wanted

WATCHED_SECONDS_MAX = 60.0
LOOK_EVERY_SECONDS = 0.5

_number = click.argument("number", type=click.IntRange(1), metavar="SUBSCRIPTION")
_reason = reason_option("Why. It is in the audit log.")


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
        missing = gettext(
            "{name} is not on offer: it needs STARS_SUPPORT, STARS_TERMS, TELEGRAM_BOT_TOKEN, and a plan of this name "
            "in STARS_SUBSCRIPTIONS",
            name=repr(plan),
        )
        click.echo(f"ballast: {missing}", err=True)
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
    _have_changed(ctx, number, "cancelled", gettext("Cancel its renewal?"), reason, key, yes=yes)


@subscriptions.command(cls=Command)
@_number
@_reason
@key_option
@yes_option
@click.pass_context
def allow(ctx: click.Context, *, number: int, reason: str, key: str | None, yes: bool) -> None:
    """Let its user turn on a renewal again that this bot cancelled. Nothing is charged by this."""
    _have_changed(ctx, number, "allowed", gettext("Allow its renewal again?"), reason, key, yes=yes)


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
        missing = gettext("there is no subscription {number}", number=str(number))
        click.echo(f"ballast: {missing}", err=True)
        ctx.exit(REFUSED)
    require_agreement([_line(found)], question, yes=yes)
    outcome = changing.have_changed(engine, act_of(reason, key), number=number, wanted=wanted)
    if outcome.reason is not None:
        unchanged = gettext("nothing was changed: {why}", why=said(in_words(outcome.reason)))
        click.echo(f"ballast: {unchanged}", err=True)
        ctx.exit(REFUSED)
    outbox_relay.ask_from_outside(settings)
    until = time.monotonic() + WATCHED_SECONDS_MAX
    while time.monotonic() < until:
        after = star_subscriptions.find(engine, number)
        if after is not None and after.wanted is None:
            if after.refusal is not None:
                refused = gettext("Telegram refused: {why}", why=after.refusal)
                click.echo(f"ballast: {refused}", err=True)
                ctx.exit(REFUSED)
            click.echo(_line(after))
            return
        time.sleep(LOOK_EVERY_SECONDS)
    unanswered = gettext("Telegram has not answered yet; it is asked on by itself")
    click.echo(f"ballast: {unanswered}", err=True)
    ctx.exit(IMPOSSIBLE)


def _line(each: Subscription) -> str:
    until = each.expires_at.astimezone().isoformat(timespec="seconds")
    parts = [
        str(each.number),
        each.plan,
        ngettext("{count} Star", "{count} Stars", each.stars),
        gettext("user {id}", id=str(each.owner.telegram_id)),
        gettext("paid until {time}", time=until) if each.is_paid else gettext("ended {time}", time=until),
        _renewal(each),
    ]
    if each.cancelled_by_bot and each.renewal != "cancelled":
        parts.append(gettext("cancelled by this bot"))
    if each.wanted == "cancelled":
        parts.append(gettext("Telegram is asked to cancel the renewal"))
    elif each.wanted == "allowed":
        parts.append(gettext("Telegram is asked to allow the renewal"))
    return "  ".join(parts)


def _renewal(each: Subscription) -> str:
    if each.renewal == "on":
        return gettext("renewal on")
    if each.renewal == "failed":
        return gettext("renewal failed")
    return gettext("renewal cancelled by this bot") if each.cancelled_by_bot else gettext("renewal cancelled")
