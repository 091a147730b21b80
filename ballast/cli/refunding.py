"""`ballast refund`: give back a payment in Telegram Stars."""

from __future__ import annotations

import time
import uuid

import click

from ballast.cli.commands import IMPOSSIBLE, REFUSED, Command, open_database, require_agreement
from ballast.texts import gettext, gettext_noop, said

WATCHED_SECONDS_MAX = 60.0
LOOK_EVERY_SECONDS = 0.5

_ENDED = {
    "refused": gettext_noop("refused"),
    "cancelled": gettext_noop("cancelled"),
    "expired": gettext_noop("expired"),
}


@click.command(cls=Command)
@click.argument("payment")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation; scripts need it.")
@click.pass_context
def refund(ctx: click.Context, *, payment: str, yes: bool) -> None:
    """Refund a payment in Telegram Stars. PAYMENT is a receipt number or a charge ID.

    The payer's money is held, a worker asks Telegram, and the answer is booked. Exit status: 0 if the payment is
    refunded, 1 if it cannot be or Telegram refuses, 2 if Telegram has not answered within a minute: the refund goes on.
    """
    from ballast.builtin.refunds import FinishRefund
    from ballast.inbox import Acceptance, Inbox, Publisher
    from ballast.queueing.envelope import Envelope
    from dbcore.breaker.override import user_here
    from dbcore.currencies import STARS
    from dbcore.ledger import star_refunds
    from dbcore.ledger.star_refunds import RefundState
    from dbcore.money import format_amount
    from dbcore.people.reasons import in_words
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    key = f"refund-{uuid.uuid4().hex}"
    asked = star_refunds.create(engine, key=key, payment=payment, presser_id=None, actor=user_here())
    found = asked.payment
    if asked.reason is not None or found is None:
        cannot = gettext(
            "{payment} cannot be refunded: {why}", payment=payment, why=said(in_words(asked.reason or ""))
        )
        click.echo(f"ballast: {cannot}", err=True)
        ctx.exit(REFUSED)

    def money(minor: int) -> str:
        return format_amount(minor, settings.currency_exponent, settings.currency)

    number = str(found.number)
    lines = [
        gettext(
            "Payment {number} ({charge}): {amount} of user {id}",
            number=number,
            charge=found.charge_id,
            amount=f"{found.stars} {STARS}",
            id=str(found.payer.telegram_id),
        ),
        gettext("{amount} will be taken from their balance", amount=money(found.amount))
        if found.amount
        else gettext(
            "It paid for a subscription, which loses that time. The last period's refund ends the renewal"
        ),
    ]
    if found.amount and (debt := found.amount - max(0, asked.available or 0)) > 0:
        lines.append(gettext("They have spent {amount} of it, and will owe that", amount=money(debt)))
    require_agreement(lines, gettext("Refund it?"), yes=yes)
    client = connect_redis(settings)
    receipt = Inbox(client).accept(
        Envelope.of(FinishRefund(token=asked.token), job_id=key, lane=f"refund:{asked.token}")
    )
    if receipt.status is not Acceptance.ACCEPTED:
        full = gettext("too many jobs wait; nothing was refunded")
        click.echo(f"ballast: {full}", err=True)
        ctx.exit(REFUSED)
    if receipt.dispatch is not None:
        Publisher(client).publish(receipt.dispatch)
    until = time.monotonic() + WATCHED_SECONDS_MAX
    while time.monotonic() < until:
        state, reason = star_refunds.state_of(engine, token=asked.token)
        if state is RefundState.DONE:
            click.echo(gettext("Payment {number} is refunded", number=number))
            return
        if state not in {RefundState.PENDING, RefundState.ASKED}:
            why = said(in_words(reason)) if reason else gettext(_ENDED[state])
            not_done = gettext("payment {number} is not refunded: {why}", number=number, why=why)
            click.echo(f"ballast: {not_done}", err=True)
            ctx.exit(REFUSED)
        time.sleep(LOOK_EVERY_SECONDS)
    unanswered = gettext("Telegram has not answered yet; the refund goes on by itself")
    click.echo(f"ballast: {unanswered}", err=True)
    ctx.exit(IMPOSSIBLE)
