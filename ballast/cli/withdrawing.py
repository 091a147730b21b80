"""`ballast withdrawals`: those that are open, an operator's word about one, and the switch that stops all payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ballast.cli.acts import act_of, key_option, reason_option, yes_option
from ballast.cli.commands import REFUSED, Command, Group, open_database, require_agreement, say_if_none
from ballast.texts import gettext, gettext_noop, said

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.withdrawals import Stuck, Withdrawal, Word
    from dbcore.settings import Settings

_STATES = {
    "pending": gettext_noop("pending"),
    "held": gettext_noop("held"),
    "approved": gettext_noop("approved"),
    "paying": gettext_noop("paying"),
    "paid": gettext_noop("paid"),
    "returned": gettext_noop("returned"),
    "refused": gettext_noop("refused"),
    "cancelled": gettext_noop("cancelled"),
    "expired": gettext_noop("expired"),
}

_number = click.argument("number", type=click.IntRange(1), metavar="WITHDRAWAL")
_reason = reason_option("Why. Its user reads it.")


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
    none = gettext("There are no withdrawals.") if everything else gettext("No withdrawal is open.")
    say_if_none(found, none)
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
    _word(ctx, number, "approve", "", key, gettext("Approve it?"), yes=yes)


@withdrawals.command(cls=Command)
@_number
@_reason
@key_option
@yes_option
@click.pass_context
def decline(ctx: click.Context, *, number: int, reason: str, key: str | None, yes: bool) -> None:
    """Decline one that is not being paid: the money is its user's again."""
    _word(ctx, number, "decline", reason, key, gettext("Decline it?"), yes=yes)


@withdrawals.command(cls=Command)
@_number
@click.argument("reference", metavar="REFERENCE")
@key_option
@yes_option
@click.pass_context
def paid(ctx: click.Context, *, number: int, reference: str, key: str | None, yes: bool) -> None:
    """Say that one was paid: by your hand, or by a provider that does not tell. Its user reads the REFERENCE."""
    _word(ctx, number, "paid", reference, key, gettext("It was paid?"), yes=yes)


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
    question = gettext("You have looked, and it was not paid?")
    _word(ctx, number, "unpaid", reason, key, question, yes=yes)


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
        missing = gettext("there is no withdrawal {number}", number=str(number))
        click.echo(f"ballast: {missing}", err=True)
        ctx.exit(REFUSED)
    require_agreement([_line(found, settings)], question, yes=yes)
    outcome = words.say(engine, act_of(text, key), number=number, word=word)
    if outcome.reason is not None:
        unchanged = gettext("nothing was changed: {why}", why=said(in_words(outcome.reason)))
        click.echo(f"ballast: {unchanged}", err=True)
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
        if stands.reason:
            click.echo(
                gettext(
                    "Payouts are stopped since {time} by {name}: {reason}",
                    time=since,
                    name=stands.actor,
                    reason=stands.reason,
                )
            )
        else:
            click.echo(gettext("Payouts are stopped since {time} by {name}", time=since, name=stands.actor))
    else:
        click.echo(gettext("Payouts go on"))


def _stuck(each: Stuck) -> str:
    from ballast.payouts.paying import key_of
    from dbcore.ledger.withdrawals import WithdrawalState

    number, minutes = str(each.number), gettext("{minutes} min", minutes=round(each.seconds / 60))
    if each.state is WithdrawalState.APPROVED:
        return gettext(
            "{number} is stuck: approved, and no worker has begun to pay it for {time}",
            number=number,
            time=minutes,
        )
    return gettext(
        "{number} is stuck: {provider} has not said for {time} whether it is paid; look there for {key}, then say "
        "`paid` or `unpaid`",
        number=number,
        provider=each.adapter,
        time=minutes,
        key=key_of(each.token),
    )


def _line(each: Withdrawal, settings: Settings) -> str:
    from dbcore.money import format_amount

    amount = format_amount(each.amount, settings.currency_exponent, settings.currency)
    told = each.reference or each.reason or ""
    what = gettext(
        "{amount} of user {id} by {provider} to {destination}",
        amount=amount,
        id=str(each.owner.telegram_id),
        provider=each.payout.adapter,
        destination=each.payout.destination,
    )
    return f"{each.number}  {gettext(_STATES[each.state])}  {what}  {told}".rstrip()
