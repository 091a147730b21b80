"""The built-in commands whose job is made of more than their sender, by the names that they have in ballast/builtin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape

from ballast.apps.registered import Command
from ballast.builtin.balances import AskAdjustment
from ballast.builtin.broadcasts import DraftBroadcast
from ballast.builtin.composition import LinkButton
from ballast.builtin.exchange import TEXT_LENGTH_MAX as EXCHANGE_TEXT_LENGTH_MAX
from ballast.builtin.exchange import AskExchange
from ballast.builtin.jobs import MEMO_LENGTH_MAX
from ballast.builtin.languages import ChooseTimeZone
from ballast.builtin.operators import GrantRole, ShowRoles, SignIn
from ballast.builtin.people import QUERY_LENGTH_MAX, ShowPerson
from ballast.builtin.refunds import PAYMENT_NAME_LENGTH_MAX, AskRefund
from ballast.builtin.subscriptions import ShowPlans
from ballast.builtin.transfers import CancelTransfers, CreateTransfer, ShowHistory
from ballast.builtin.withdrawals import StartWithdrawal
from ballast.chat.markup import is_html
from ballast.operators.permissions import Permission, may
from ballast.subscriptions.chat_texts import nothing_to_subscribe_to
from ballast.texts import said, time_zones
from bot_frontend import conversation as dialogues
from bot_frontend import deposits, formatting, texts
from bot_frontend.conversation import Conversation, Question, Refusal, SendRequest
from bot_frontend.naming import Arguments, person_named
from bot_frontend.routed import Routed, ask, say, say_privately, who
from bot_frontend.updates import TextMessage
from dbcore.ledger.users import UserRefError
from dbcore.ledger.withdrawals import TEXT_LENGTH_MAX
from dbcore.money import AmountError, parse_money_and_note
from dbcore.roles import Role
from dbcore.settings import Settings
from dbcore.text import one_line, shows_something

_NO_ROLE = "none"


@dataclass(frozen=True)
class Typed:
    """A built-in command as somebody wrote it."""

    command: Command
    arguments: Arguments
    message: TextMessage
    conversation: Conversation | None
    settings: Settings


def _help(typed: Typed) -> Routed:
    help_text = texts.help_text(
        typed.settings.role_of(typed.message.sender.telegram_id),
        payments=deposits.takes_payments(typed.settings),
        refunds=typed.settings.stars_refund_hours > 0,
        withdrawals=typed.settings.withdrawals_by is not None,
        subscriptions=bool(typed.settings.subscription_plans),
        exchange=bool(typed.settings.currencies),
    )
    return say_privately(typed.message, help_text, opens="help")


def _language(typed: Typed) -> Routed:
    buttons = texts.language_buttons(typed.message.sender.telegram_id)
    return say_privately(typed.message, texts.ask_language(), buttons, opens="language")


def _time_zone(typed: Typed) -> Routed:
    message, named = typed.message, typed.arguments.text
    found = time_zones.find(named)
    if len(found) == 1:
        return Routed(ChooseTimeZone(**who(message.sender), zone=found[0]))
    now = datetime.fromtimestamp(message.date, UTC)
    buttons = texts.time_zone_buttons(message.sender.telegram_id, found, now, typed.settings)
    if not shows_something(named):
        text = texts.ask_time_zone()
    else:
        text = texts.which_time_zone(named) if found else texts.unknown_time_zone(named)
    return say_privately(message, text, buttons, opens="timezone")


def _send(typed: Typed) -> Routed:
    step = dialogues.begin(typed.arguments, typed.message.update_id, typed.settings)
    return intention_after(step, typed.message)


def intention_after(step: Question | Refusal | SendRequest, message: TextMessage) -> Routed:
    match step:
        case Question():
            return ask(message, step)
        case Refusal():
            return say(message, step.text)
        case SendRequest():
            return Routed(
                CreateTransfer(
                    **who(message.sender),
                    recipient=step.recipient,
                    amount=step.amount,
                    currency=step.currency,
                    memo=one_line(step.memo),
                )
            )


def _cancel(typed: Typed) -> Routed:
    if typed.conversation is not None:
        return say(typed.message, texts.left_send() if typed.conversation.is_send else texts.left_question())
    return Routed(CancelTransfers(**who(typed.message.sender)))


def _history(typed: Typed) -> Routed:
    message, wanted, currencies = typed.message, typed.arguments.text.strip(), typed.settings.known_currencies
    if not wanted:
        return Routed(ShowHistory(**who(message.sender)))
    if len(currencies) == 1:
        is_operator = typed.settings.role_of(message.sender.telegram_id) is not None
        return say(message, texts.only_your_own(typed.command.name, is_operator))
    currency = currencies.meant_by(wanted)
    if currency is None:
        return say(message, texts.history_usage(typed.command.name, currencies))
    return Routed(ShowHistory(**who(message.sender), currency=currencies.code_if_further(currency)))


def _adjust(typed: Typed, sign: int) -> Routed:
    name, message, settings = typed.command.name, typed.message, typed.settings
    try:
        target = person_named(typed.arguments, settings)
        if target is None or not target.rest:
            return say_privately(message, texts.adjust_usage(name))
        money, reason = parse_money_and_note(target.rest, settings.known_currencies)
    except (UserRefError, AmountError) as error:
        return say_privately(message, f"{said(error)} {texts.adjust_usage(name)}")
    if len(reason.strip()) > MEMO_LENGTH_MAX:
        return say_privately(message, texts.memo_too_long())
    return Routed(
        AskAdjustment(
            telegram_id=target.user.telegram_id,
            username=target.user.username,
            amount=sign * money.minor,
            currency=settings.known_currencies.code_if_further(money.currency),
            reason=one_line(reason),
            admin_id=message.sender.telegram_id,
        )
    )


def _user(typed: Typed) -> Routed:
    """What is looked for may be anything; a mention and the author of a message replied to are people."""
    query = typed.arguments.text.strip()
    try:
        named = (
            None if query and not typed.arguments.mentions else person_named(typed.arguments, typed.settings)
        )
    except UserRefError as error:
        return say_privately(typed.message, said(error))
    if named is not None:
        query = str(named.user)
    if not query:
        return say_privately(typed.message, texts.user_usage(typed.command.name))
    return Routed(ShowPerson(**who(typed.message.sender), query=query[:QUERY_LENGTH_MAX]))


def _withdraw(typed: Typed) -> Routed:
    text = typed.arguments.text.strip()[: TEXT_LENGTH_MAX + 64]
    return Routed(StartWithdrawal(**who(typed.message.sender), text=text))


def _sign_in(typed: Typed) -> Routed:
    if typed.settings.ops_token is None:
        return say_privately(typed.message, texts.nobody_can_sign_in(), opens="start")
    return Routed(SignIn(**who(typed.message.sender)))


def _exchange(typed: Typed) -> Routed:
    text = typed.arguments.text.strip()[:EXCHANGE_TEXT_LENGTH_MAX]
    return Routed(AskExchange(**who(typed.message.sender), text=text))


def _role(typed: Typed) -> Routed:
    arguments, sender = typed.arguments, who(typed.message.sender)
    if not arguments.text and arguments.author is None:
        return Routed(ShowRoles(**sender))
    try:
        target = person_named(arguments, typed.settings)
    except UserRefError as error:
        return say_privately(typed.message, said(error))
    word, _, reason = ("" if target is None else target.rest).partition(" ")
    if target is None or word.lower() not in {*Role, _NO_ROLE}:
        return say_privately(typed.message, texts.role_usage(typed.command.name))
    role = None if word.lower() == _NO_ROLE else Role(word.lower())
    reason = one_line(reason, MEMO_LENGTH_MAX)
    return Routed(GrantRole(**sender, person=str(target.user), role=role, reason=reason))


def _broadcast(typed: Typed) -> Routed:
    arguments, message = typed.arguments.text, typed.message
    if not message.is_private:
        return say_privately(message, texts.broadcasts_in_private())
    admin = message.sender.telegram_id
    if arguments:
        start = len(message.text.rstrip()) - len(arguments)
        entities = formatting.of_part(message.text, start, arguments, message.entities)
        as_html = not entities and is_html(arguments)
        return Routed(
            DraftBroadcast(telegram_id=admin, text=arguments, entities=None if as_html else entities)
        )
    if message.replied_to is None:
        return say(message, texts.broadcast_usage())
    original = message.replied_to
    buttons = tuple(tuple(LinkButton(text=each.text, url=each.url) for each in row) for row in original.links)
    return Routed(
        DraftBroadcast(
            telegram_id=admin,
            message_id=original.message_id,
            album=original.album,
            buttons=buttons,
            buttons_lost=original.other_buttons,
        )
    )


def _deposit(typed: Typed) -> Routed:
    message, settings = typed.message, typed.settings
    if not deposits.takes_payments(settings):
        return say_privately(message, deposits.off(), opens="deposit")
    written = typed.arguments.text
    checkout = deposits.checkout_of(written, who(message.sender), message.origin, settings)
    if checkout is not None:
        return Routed(checkout)
    if deposits.asks(written, settings):
        answer = deposits.packages(message.origin, message.sender.telegram_id, settings)
    else:
        answer = deposits.invoice_of(written, message.origin, settings)
    return Routed(deposits.deliver(answer))


def _subscribe(typed: Typed) -> Routed:
    message, settings = typed.message, typed.settings
    if not deposits.takes_payments(settings):
        return say_privately(message, deposits.off(), opens="subscribe")
    if not settings.subscription_plans:
        return say_privately(message, nothing_to_subscribe_to(), opens="subscribe")
    return Routed(ShowPlans(**who(message.sender)))


def _refund(typed: Typed) -> Routed:
    message, settings, named = typed.message, typed.settings, typed.arguments.text
    may_for_others = may(settings.role_of(message.sender.telegram_id), Permission.REFUND)
    if not deposits.takes_payments(settings):
        return say_privately(message, deposits.off())
    if len(named) > PAYMENT_NAME_LENGTH_MAX or (
        may_for_others and not named and not settings.stars_refund_hours
    ):
        return say_privately(message, texts.refund_usage())
    if not may_for_others and not settings.stars_refund_hours:
        return say_privately(message, texts.ask_support_for_refunds())
    by_payer = not (may_for_others and named)
    return Routed(AskRefund(**who(message.sender), payment=named or None, by_payer=by_payer))


def _operators_words(typed: Typed, words: str | None) -> Routed:
    opens = typed.command.declared.word if typed.command.declared else "start"
    if words is None or not deposits.takes_payments(typed.settings):
        return say_privately(typed.message, deposits.off(), opens=opens)
    return say_privately(typed.message, escape(words, quote=False), opens=opens)


def _paysupport(typed: Typed) -> Routed:
    return _operators_words(typed, typed.settings.stars_support)


def _terms(typed: Typed) -> Routed:
    return _operators_words(typed, typed.settings.stars_terms)


BY_WORD: Mapping[str, Callable[[Typed], Routed]] = {
    "help": _help,
    "language": _language,
    "timezone": _time_zone,
    "send": _send,
    "history": _history,
    "cancel": _cancel,
    "credit": partial(_adjust, sign=1),
    "debit": partial(_adjust, sign=-1),
    "user": _user,
    "withdraw": _withdraw,
    "signin": _sign_in,
    "exchange": _exchange,
    "role": _role,
    "broadcast": _broadcast,
    "deposit": _deposit,
    "subscribe": _subscribe,
    "refund": _refund,
    "paysupport": _paysupport,
    "terms": _terms,
}
