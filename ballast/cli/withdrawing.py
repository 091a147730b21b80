"""`ballast withdrawals`: those that are open, an operator's word about one, and the switch that stops all payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ballast.cli.acts import act_of, key_option, reason_option, yes_option
from ballast.cli.commands import REFUSED, Command, Group, open_database, require_agreement, say_if_none

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.withdrawals import Stuck, Withdrawal, Word
    from dbcore.settings import Settings

_number = click.argument("number", type=click.IntRange(1), metavar="WITHDRAWAL")
_reason = reason_option("Its user reads it.")


@click.group(cls=Group)
def withdrawals() -> None:
    """Withdrawals: list them, approve or decline one, and stop all payouts."""


@withdrawals.command("list", cls=Command)
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
def list_(*, everything: bool) -> None:
    """Withdrawals, the newest first, and whether payouts are stopped."""
    from dbcore.ledger import withdrawals as kept

    engine, settings = open_database()
    _say_switch(engine)
    found = kept.listed(engine, only_open=not everything)
    say_if_none(found, "There are no withdrawals." if everything else "No withdrawal is open.")
    for each in found:
        click.echo(_line(each, settings))
    for stuck in kept.open_ones(engine).stuck:
        click.echo(_stuck(stuck))


@withdrawals.command(cls=Command)
@_number
@key_option
@yes_option
@click.pass_context
def approve(ctx: click.Context, *, number: int, key: str | None, yes: bool) -> None:
    """Approve one: it is paid out at once, or waits for you if you pay by hand."""
    _word(ctx, number, "approve", "", key, "Approve it?", yes=yes)


@withdrawals.command(cls=Command)
@_number
@_reason
@key_option
@yes_option
@click.pass_context
def decline(ctx: click.Context, *, number: int, reason: str, key: str | None, yes: bool) -> None:
    """Decline one that is not being paid: the money is its user's again."""
    _word(ctx, number, "decline", reason, key, "Decline it?", yes=yes)


@withdrawals.command(cls=Command)
@_number
@click.argument("reference", metavar="REFERENCE")
@key_option
@yes_option
@click.pass_context
def paid(ctx: click.Context, *, number: int, reference: str, key: str | None, yes: bool) -> None:
    """Say that one was paid: by your hand, or by a provider that does not tell. Its user reads the REFERENCE."""
    _word(ctx, number, "paid", reference, key, "It was paid?", yes=yes)


@withdrawals.command(cls=Command)
@_number
@_reason
@key_option
@yes_option
@click.pass_context
def unpaid(ctx: click.Context, *, number: int, reason: str, key: str | None, yes: bool) -> None:
    """Say that one that is being paid was not, and will not be: the money is its user's again. Look at the provider
    first; nothing here can take a payout back.
    """
    _word(ctx, number, "unpaid", reason, key, "You have looked, and it was not paid?", yes=yes)


@withdrawals.command(cls=Command)
@click.option("--reason", default="", help="Why. It is in the audit log.")
def stop(*, reason: str) -> None:
    """Stop all payouts, now and through restarts. What a provider was asked for already is brought to its end."""
    _turn(reason, is_stopped=True)


@withdrawals.command(cls=Command)
@click.option("--reason", default="", help="Why. It is in the audit log.")
def resume(*, reason: str) -> None:
    """Go on with payouts."""
    _turn(reason, is_stopped=False)


def _word(
    ctx: click.Context, number: int, word: Word, text: str, key: str | None, question: str, *, yes: bool
) -> None:
    from ballast.payouts import words
    from ballast.queueing import outbox_relay
    from dbcore.ledger import withdrawals as kept
    from dbcore.people.reasons import in_words

    engine, settings = open_database()
    found = kept.find(engine, number)
    if found is None:
        click.echo(f"ballast: there is no withdrawal {number}", err=True)
        ctx.exit(REFUSED)
    require_agreement([_line(found, settings)], question, yes=yes)
    outcome = words.say(engine, act_of(text, key), number=number, word=word)
    if outcome.reason is not None:
        click.echo(f"ballast: nothing was changed: {in_words(outcome.reason)}", err=True)
        ctx.exit(REFUSED)
    outbox_relay.ask_from_outside(settings)
    after = kept.find(engine, number)
    if after is not None:
        click.echo(_line(after, settings))


def _turn(reason: str, *, is_stopped: bool) -> None:
    from ballast.payouts import words

    engine, _ = open_database()
    words.turn(engine, act_of(reason), is_stopped=is_stopped)
    _say_switch(engine)


def _say_switch(engine: GuardedEngine) -> None:
    from dbcore.ledger import withdrawals as kept

    stands = kept.switch(engine)
    if stands.is_stopped:
        since = stands.changed_at.astimezone().isoformat(timespec="seconds")
        why = f": {stands.reason}" if stands.reason else ""
        click.echo(f"Payouts are stopped since {since} by {stands.actor}{why}")
    else:
        click.echo("Payouts go on")


def _stuck(each: Stuck) -> str:
    from ballast.payouts.paying import key_of
    from dbcore.ledger.withdrawals import WithdrawalState

    minutes = f"{each.seconds / 60:,.0f} min"
    if each.state is WithdrawalState.APPROVED:
        return f"{each.number} is stuck: approved, and no worker has begun to pay it for {minutes}"
    asked = f"look there for {key_of(each.token)}, then say `paid` or `unpaid`"
    return f"{each.number} is stuck: {each.adapter} has not said for {minutes} whether it is paid; {asked}"


def _line(each: Withdrawal, settings: Settings) -> str:
    from dbcore.money import format_amount

    amount = format_amount(each.amount, settings.currency_exponent, settings.currency)
    told = each.reference or each.reason or ""
    paid_as = f"{each.payout.adapter} to {each.payout.destination}"
    return f"{each.number}  {each.state}  {amount} of user {each.owner.telegram_id} by {paid_as}  {told}".rstrip()
