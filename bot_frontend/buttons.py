"""Which job a press on a button of Ballast's own is, by the names that buttons have in ballast/builtin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ballast.apps.command_names import not_your_history
from ballast.apps.installed import INSTALLED
from ballast.builtin.balances import DecideAdjustment
from ballast.builtin.broadcasts import CardButton, CardQuestion, PressBroadcast
from ballast.builtin.button_data import CONFIRM
from ballast.builtin.languages import ChooseLanguage, ChooseTimeZone
from ballast.builtin.providers import AskCheckout
from ballast.builtin.refunds import DecideRefund
from ballast.builtin.replies import PressAppButton
from ballast.builtin.transfers import DecideTransfer, ShowHistory
from ballast.builtin.words import unknown_button
from ballast.operators.permissions import Permission, may
from ballast.texts import available, time_zones
from bot_frontend import broadcast_form, deposits, texts
from bot_frontend.conversation import Conversation, DraftQuestion
from bot_frontend.routed import Routed, reply, toast, who
from bot_frontend.updates import ButtonPress
from dbcore.settings import Settings

_CARD_BUTTONS = frozenset(button.value for button in CardButton)
_QUESTIONS = frozenset(question.value for question in CardQuestion)


def is_button(data: str) -> bool:
    """Whether it is a button of Ballast's own, and not switched off."""
    return any(button.data.fullmatch(data) for button in INSTALLED.buttons)


def pressed(press: ButtonPress, conversation: Conversation | None, settings: Settings) -> Routed:
    for button in INSTALLED.buttons:
        if data := button.data.fullmatch(press.data):
            return BY_NAME[button.name](press, data, conversation, settings)
    return toast(press, unknown_button(), conversation)


def _card_button(
    press: ButtonPress, card: re.Match[str], conversation: Conversation | None, settings: Settings
) -> Routed:
    """A button of a broadcast's card: a job, or a question that is answered in words."""
    admin = press.sender.telegram_id
    broadcast_id, what, shown = int(card["id"]), card["what"], card["shown"]
    if not may(settings.role_of(admin), Permission.BROADCAST) or press.chat_id != admin:
        return toast(press, texts.admins_only(), conversation)
    if what in _QUESTIONS:
        asked = DraftQuestion(broadcast_id=broadcast_id, asks=CardQuestion(what))
        question = reply(press.origin, broadcast_form.question(asked, settings))
        return Routed(question, Conversation(draft=asked, asked_by=press.update_id))
    if what not in _CARD_BUTTONS:
        return toast(press, unknown_button(), conversation)
    pressed = PressBroadcast(broadcast_id=broadcast_id, telegram_id=admin, what=CardButton(what), shown=shown)
    return Routed(pressed, conversation)


def _app_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, _: Settings
) -> Routed:
    return Routed(PressAppButton(**who(press.sender), token=data["token"]), conversation)


def _is_somebody_elses(press: ButtonPress, card: re.Match[str]) -> bool:
    """Cards of release 0.1 say nobody's: the worker knows whose they are."""
    return card["owner"] not in {None, str(press.sender.telegram_id)}


def _adjustment_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, settings: Settings
) -> Routed:
    if not may(settings.role_of(press.sender.telegram_id), Permission.ADJUST):
        return toast(press, texts.admins_only(), conversation)
    if _is_somebody_elses(press, data):
        return toast(press, texts.not_your_adjustment(), conversation)
    decided = DecideAdjustment(**who(press.sender), token=data["token"], confirm=data["decision"] == CONFIRM)
    return Routed(decided, conversation)


def _refund_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, _: Settings
) -> Routed:
    if _is_somebody_elses(press, data):
        return toast(press, texts.not_your_buttons(), conversation)
    decided = DecideRefund(**who(press.sender), token=data["token"], confirm=data["decision"] == CONFIRM)
    return Routed(decided, conversation)


def _transfer_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, _: Settings
) -> Routed:
    if _is_somebody_elses(press, data):
        return toast(press, texts.not_your_transfer(), conversation)
    decided = DecideTransfer(**who(press.sender), token=data["token"], confirm=data["decision"] == CONFIRM)
    return Routed(decided, conversation)


def _history_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, _: Settings
) -> Routed:
    owner = int(data["owner"])
    if owner != press.sender.telegram_id:
        return toast(press, not_your_history(), conversation)
    shown = ShowHistory(
        **who(press.sender),
        owner_telegram_id=owner,
        upto_version=int(data["version"]),
        currency=data["currency"],
    )
    return Routed(shown, conversation)


def _language_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, _: Settings
) -> Routed:
    if int(data["owner"]) != press.sender.telegram_id:
        return toast(press, texts.not_your_buttons(), conversation)
    chosen = None if data["language"] == "-" else data["language"]
    if chosen is not None and chosen not in available():
        return toast(press, unknown_button(), conversation)
    return Routed(ChooseLanguage(**who(press.sender), language=chosen), conversation)


def _deposit_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, settings: Settings
) -> Routed:
    if int(data["owner"]) != press.sender.telegram_id:
        return toast(press, texts.not_your_buttons(), conversation)
    if not deposits.takes_payments(settings):
        return toast(press, deposits.off(), conversation)
    return Routed(deposits.deliver(deposits.invoice_of(data["stars"], press.origin, settings)), conversation)


def _checkout_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, settings: Settings
) -> Routed:
    if int(data["owner"]) != press.sender.telegram_id:
        return toast(press, texts.not_your_buttons(), conversation)
    if not deposits.takes_payments(settings):
        return toast(press, deposits.off(), conversation)
    asked = AskCheckout(**who(press.sender), provider=data["provider"], amount=int(data["amount"]))
    return Routed(asked, conversation)


def _time_zone_button(
    press: ButtonPress, data: re.Match[str], conversation: Conversation | None, _: Settings
) -> Routed:
    if int(data["owner"]) != press.sender.telegram_id:
        return toast(press, texts.not_your_buttons(), conversation)
    chosen = None if data["zone"] == "-" else data["zone"]
    if chosen is not None and not time_zones.is_known(chosen):
        return toast(press, unknown_button(), conversation)
    return Routed(ChooseTimeZone(**who(press.sender), zone=chosen), conversation)


BY_NAME: Mapping[str, Callable[[ButtonPress, re.Match[str], Conversation | None, Settings], Routed]] = {
    "card": _card_button,
    "app": _app_button,
    "adjustment": _adjustment_button,
    "transfer": _transfer_button,
    "refund": _refund_button,
    "history": _history_button,
    "language": _language_button,
    "deposit": _deposit_button,
    "checkout": _checkout_button,
    "timezone": _time_zone_button,
}
"""By the buttons' names."""
