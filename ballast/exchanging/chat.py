"""/exchange and its buttons. Each is a job, and a press is done once."""

from __future__ import annotations

from ballast.apps.registered import Outcome
from ballast.builtin.exchange import AskExchange, DecideExchange
from ballast.builtin.words import cancel, confirm
from ballast.context import JobContext
from ballast.exchanging import chat_texts as texts
from ballast.exchanging import reading
from ballast.replies import Button, Reply
from ballast.texts import said
from dbcore.ledger import exchanges
from dbcore.ledger.users import Profile
from dbcore.money import AmountError
from dbcore.outcomes import Decision, OutcomeStatus


def ask(ctx: JobContext, job: AskExchange) -> Outcome:
    currencies, settings = ctx.settings.known_currencies, ctx.settings
    if len(currencies) == 1:
        return Reply(texts.one_currency())
    try:
        wanted = reading.read(job.text, currencies)
    except AmountError as error:
        return Reply(said(error))
    if wanted is None:
        return Reply(texts.usage(exchanges.rates(ctx._engine)))
    outcome = exchanges.create(
        ctx._engine,
        key=ctx.job_id,
        profile=job.profile,
        given_amount=wanted.given.minor,
        given_currency=wanted.given.currency.code,
        got_currency=wanted.got.code,
    )
    if outcome.reason is not None:
        return Reply(texts.refused(outcome, settings), html=True)
    if outcome.status is OutcomeStatus.REPLAYED:
        # Asked before, by a run whose question never came: it may have expired.
        exchanges.restart_expiry(ctx._engine, key=ctx.job_id)
    row = [
        Button(confirm(), DecideExchange(telegram_id=job.telegram_id, token=outcome.token, confirm=True)),
        Button(cancel(), DecideExchange(telegram_id=job.telegram_id, token=outcome.token, confirm=False)),
    ]
    return Reply(texts.question(outcome, settings), html=True, buttons=[row])


def decide(ctx: JobContext, job: DecideExchange) -> Outcome:
    user = ctx.user
    outcome = exchanges.decide(
        ctx._engine,
        key=ctx.job_id,
        token=job.token,
        presser=Profile(user.telegram_id, user.username, user.first_name),
        confirm=job.confirm,
        waited_seconds=ctx._waited_seconds,
    )
    if outcome.reason is not None:
        return Reply(texts.refused(outcome, ctx.settings), html=True, edit=True)
    if outcome.decision is Decision.CANCELLED:
        return Reply(texts.cancelled(), edit=True)
    return Reply(texts.done(outcome, ctx.settings), html=True, edit=True)
