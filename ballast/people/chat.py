"""/user and the buttons of its card. Each is a job, and a press is done once: what changes something asks first, and is
an act by the id of the job behind Confirm.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ballast.apps.registered import Outcome
from ballast.asking import Ask
from ballast.builtin.balances import AskAdjustment
from ballast.builtin.people import (
    AskAmount,
    AskFreeze,
    AskMessage,
    AskReversal,
    AskWhy,
    ConfirmFreeze,
    ConfirmMessage,
    ConfirmReversal,
    Freeze,
    OrderAdjustment,
    Reverse,
    SendMessage,
    ShowFailures,
    ShowMovements,
    ShowPerson,
)
from ballast.builtin.subscriptions import ShowSubscriptionsOf
from ballast.builtin.words import cancel, confirm
from ballast.context import JobContext
from ballast.operators.permissions import Permission, may
from ballast.people import chat_texts as texts
from ballast.people import orders
from ballast.replies import Button, Reply
from dbcore.ledger import star_subscriptions
from dbcore.ledger.users import UserRef
from dbcore.outcomes import Party
from dbcore.people import card, lists, search
from dbcore.people import movements as history
from dbcore.people import refusals as failed
from dbcore.people.acts import Act
from dbcore.people.person import Person

CHOICES_MAX = 8
SHOWN_MAX = 8
REVERSIBLE_IN_ROW = 4


def show(ctx: JobContext, job: ShowPerson) -> Outcome:
    found = search.search(ctx._engine, job.query, limit=CHOICES_MAX)
    people = [each.person for each in found if each.by != "name"] or [each.person for each in found]
    if not people:
        return Reply(texts.nobody(job.query), html=True, edit=True)
    if len(people) == 1:
        return _card(ctx, people[0])
    rows = [[Button(texts.choice(person), _shown_again(ctx, person))] for person in people]
    return Reply(texts.which(), html=True, edit=True, buttons=rows)


def movements(ctx: JobContext, job: ShowMovements) -> Outcome:
    def page(person: Person) -> Reply:
        about = {"telegram_id": ctx.user.telegram_id, "person": person.telegram_id}
        found = history.movements(ctx._engine, person.telegram_id, before=job.before, limit=SHOWN_MAX)
        reversible = [
            Button(f"↩ #{each.transfer_id}", AskReversal(**about, transfer=each.transfer_id))
            for each in found.movements
            if texts.may_be_reversed(each) and _may(ctx, Permission.REVERSE)
        ]
        rows = [
            reversible[at : at + REVERSIBLE_IN_ROW] for at in range(0, len(reversible), REVERSIBLE_IN_ROW)
        ]
        last = [_back(ctx, person)]
        if found.next_before is not None:
            last.append(Button(texts.older(), ShowMovements(**about, before=found.next_before)))
        text = texts.movements(person, found, ctx.settings)
        return Reply(text, html=True, edit=True, buttons=[*rows, last])

    return _about(ctx, job.person, page)


def failures(ctx: JobContext, job: ShowFailures) -> Outcome:
    def page(person: Person) -> Reply:
        found = failed.refusals(ctx._engine, person.user_id, person.telegram_id, limit=SHOWN_MAX)
        text = texts.failures(person, found, ctx.settings)
        return Reply(text, html=True, edit=True, buttons=[[_back(ctx, person)]])

    return _about(ctx, job.person, page)


def ask_amount(ctx: JobContext, job: AskAmount) -> Outcome:
    return _about(
        ctx,
        job.person,
        lambda person: Ask(
            texts.how_much(_party(person), is_credit=job.is_credit),
            AskWhy,
            given={"person": job.person, "is_credit": job.is_credit},
        ),
    )


def ask_why(ctx: JobContext, job: AskWhy) -> Outcome:
    given = {"person": job.person, "is_credit": job.is_credit, "amount": job.amount}
    return Ask(texts.why_as_they_read_it(), OrderAdjustment, given=given)


def adjust(ctx: JobContext, job: OrderAdjustment) -> Outcome:
    """From here on it is as by /credit and /debit, with their limits."""
    return AskAdjustment(
        telegram_id=job.person,
        amount=job.amount if job.is_credit else -job.amount,
        reason=job.reason,
        admin_id=ctx.user.telegram_id,
    )


def ask_freeze(ctx: JobContext, job: AskFreeze) -> Outcome:
    return Ask(texts.why(), ConfirmFreeze, given={"person": job.person, "is_frozen": job.is_frozen})


def confirm_freeze(ctx: JobContext, job: ConfirmFreeze) -> Outcome:
    def question(person: Person) -> Reply:
        text = texts.freeze_question(
            _party(person), job.reason, is_frozen=job.is_frozen, refuses=ctx.settings.freeze_refuses
        )
        return _question(ctx, person, text, Freeze(**job.model_dump()))

    return _about(ctx, job.person, question)


def freeze(ctx: JobContext, job: Freeze) -> Outcome:
    def act(person: Person) -> Reply:
        target = UserRef(telegram_id=job.person)
        if job.is_frozen:
            orders.freeze(
                ctx._engine, _act(ctx, job.reason), target=target, refuses=ctx.settings.freeze_refuses
            )
        else:
            orders.unfreeze(ctx._engine, _act(ctx, job.reason), target=target)
        ctx._announce()
        return _card(ctx, card.find(ctx._engine, target) or person)

    return _about(ctx, job.person, act)


def ask_message(ctx: JobContext, job: AskMessage) -> Outcome:
    return _about(
        ctx,
        job.person,
        lambda person: Ask(texts.what_to_say(_party(person)), ConfirmMessage, given={"person": job.person}),
    )


def confirm_message(ctx: JobContext, job: ConfirmMessage) -> Outcome:
    return _about(
        ctx,
        job.person,
        lambda person: _question(
            ctx, person, texts.message_question(_party(person), job.text), SendMessage(**job.model_dump())
        ),
    )


def send_message(ctx: JobContext, job: SendMessage) -> Outcome:
    def act(person: Person) -> Reply:
        orders.message(ctx._engine, _act(ctx, job.text), target=UserRef(telegram_id=job.person))
        ctx._announce()
        return _done(ctx, person, texts.message_sent(_party(person)))

    return _about(ctx, job.person, act)


def ask_reversal(ctx: JobContext, job: AskReversal) -> Outcome:
    return Ask(texts.why(), ConfirmReversal, given={"person": job.person, "transfer": job.transfer})


def confirm_reversal(ctx: JobContext, job: ConfirmReversal) -> Outcome:
    def question(person: Person) -> Reply:
        made = lists.transfer(ctx._engine, job.transfer)
        left = lists.left_to_reverse(ctx._engine, job.transfer) or 0
        payer = None
        if made is not None and made.recipient is not None:
            payer = card.find(ctx._engine, UserRef(telegram_id=made.recipient.telegram_id))
        if made is None:
            return _done(ctx, person, texts.not_reversible(job.transfer))
        has = None if payer is None else payer.balance_in(made.currency)
        amount = left if has is None else max(0, min(left, has.balance - has.held))
        if amount == 0:
            return _done(ctx, person, texts.not_reversible(job.transfer))
        text = texts.reversal_question(made, amount, left, job.reason, ctx.settings)
        return _question(ctx, person, text, Reverse(**job.model_dump(), amount=amount))

    return _about(ctx, job.person, question)


def reverse(ctx: JobContext, job: Reverse) -> Outcome:
    def act(person: Person) -> Reply:
        outcome = orders.reverse(
            ctx._engine, _act(ctx, job.reason), transfer_id=job.transfer, amount=job.amount
        )
        ctx._announce()
        return _done(ctx, person, texts.reversed_(outcome, ctx.settings))

    return _about(ctx, job.person, act)


def _may(ctx: JobContext, permission: Permission) -> bool:
    return may(ctx.settings.role_of(ctx.user.telegram_id), permission)


def _about(ctx: JobContext, telegram_id: int, answer: Callable[[Person], Reply | Ask]) -> Outcome:
    person = card.find(ctx._engine, UserRef(telegram_id=telegram_id))
    return Reply(texts.nobody(str(telegram_id)), html=True) if person is None else answer(person)


def _act(ctx: JobContext, reason: str) -> Act:
    return Act(ctx.job_id, f"telegram:{ctx.user.telegram_id}", reason, time.time())


def _party(person: Person) -> Party:
    return Party(person.telegram_id, person.username, person.first_name)


def _card(ctx: JobContext, person: Person) -> Reply:
    about = {"telegram_id": ctx.user.telegram_id, "person": person.telegram_id}
    found = failed.refusals(ctx._engine, person.user_id, person.telegram_id, limit=1)
    waiting = card.unconfirmed(ctx._engine, person.user_id)
    text = texts.card(person, _party(person), found, len(waiting), ctx.settings)
    offered = {
        Permission.SEE_PEOPLE: [
            Button(texts.transactions(), ShowMovements(**about)),
            Button(texts.failed_requests(), ShowFailures(**about)),
            *(
                [Button(texts.subscriptions(), ShowSubscriptionsOf(**about))]
                if star_subscriptions.listed(ctx._engine, telegram_id=person.telegram_id, limit=1)
                else []
            ),
        ],
        Permission.ADJUST: [
            Button(texts.credit(), AskAmount(**about, is_credit=True)),
            Button(texts.debit(), AskAmount(**about, is_credit=False)),
        ],
        Permission.FREEZE: [
            Button(texts.unfreeze(), AskFreeze(**about, is_frozen=False))
            if person.frozen
            else Button(texts.freeze(), AskFreeze(**about, is_frozen=True)),
        ],
        Permission.MESSAGE: [Button(texts.message(), AskMessage(**about))],
    }
    buttons = [each for needs, some in offered.items() if _may(ctx, needs) for each in some]
    rows = [buttons[at : at + 2] for at in range(0, len(buttons), 2)]
    return Reply(text, html=True, edit=True, buttons=rows)


def _shown_again(ctx: JobContext, person: Person) -> ShowPerson:
    return ShowPerson(telegram_id=ctx.user.telegram_id, query=str(person.telegram_id))


def _back(ctx: JobContext, person: Person) -> Button:
    return Button(texts.back(), _shown_again(ctx, person))


def _question(ctx: JobContext, person: Person, text: str, job: Freeze | SendMessage | Reverse) -> Reply:
    row = [Button(confirm(), job), Button(cancel(), _shown_again(ctx, person))]
    return Reply(text, html=True, edit=True, buttons=[row])


def _done(ctx: JobContext, person: Person, text: str) -> Reply:
    return Reply(text, html=True, edit=True, buttons=[[_back(ctx, person)]])
