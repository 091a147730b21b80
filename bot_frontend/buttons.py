"""Which job a press on a button of Ballast's own is, by the names that buttons have in ballast/builtin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ballast.builtin.button_data import CONFIRM
from ballast.builtin.words import unknown_button
from ballast.texts import available
from bot_frontend import draft_questions, texts
from bot_frontend.dialogue import Dialogue, DraftQuestion
from bot_frontend.intentions import Intention, reply, toast, who
from bot_frontend.updates import ButtonPress
from dbcore.settings import Settings
from workers.jobs import (
    INSTALLED,
    CardButton,
    CardQuestion,
    ChooseLanguage,
    DecideAdjustment,
    DecideTransfer,
    PressAppButton,
    PressBroadcast,
    ShowHistory,
)
from workers.texts import not_your_history

_CARD_BUTTONS = frozenset(button.value for button in CardButton)
_QUESTIONS = frozenset(question.value for question in CardQuestion)


def is_button(data: str) -> bool:
    """Whether it is a button of Ballast's own, and not switched off."""
    return any(button.data.fullmatch(data) for button in INSTALLED.buttons)


def pressed(press: ButtonPress, dialogue: Dialogue | None, settings: Settings) -> Intention:
    for button in INSTALLED.buttons:
        if data := button.data.fullmatch(press.data):
            return BY_NAME[button.name](press, data, dialogue, settings)
    return toast(press, unknown_button(), dialogue)


def _card_button(
    press: ButtonPress, card: re.Match[str], dialogue: Dialogue | None, settings: Settings
) -> Intention:
    """A button of a broadcast's card: a job, or a question that is answered in words."""
    admin = press.sender.telegram_id
    broadcast_id, what, shown = int(card["id"]), card["what"], card["shown"]
    if admin not in settings.admin_ids or press.chat_id != admin:
        return toast(press, texts.admins_only(), dialogue)
    if what in _QUESTIONS:
        asked = DraftQuestion(broadcast_id=broadcast_id, asks=CardQuestion(what))
        question = reply(press.origin, draft_questions.question(asked, settings))
        return Intention(question, Dialogue(draft=asked, asked_by=press.update_id))
    if what not in _CARD_BUTTONS:
        return toast(press, unknown_button(), dialogue)
    pressed = PressBroadcast(broadcast_id=broadcast_id, telegram_id=admin, what=CardButton(what), shown=shown)
    return Intention(pressed, dialogue)


def _app_button(press: ButtonPress, data: re.Match[str], dialogue: Dialogue | None, _: Settings) -> Intention:
    return Intention(PressAppButton(**who(press.sender), token=data["token"]), dialogue)


def _is_somebody_elses(press: ButtonPress, card: re.Match[str]) -> bool:
    """Cards of release 0.1 say nobody's: the worker knows whose they are."""
    return card["owner"] not in {None, str(press.sender.telegram_id)}


def _adjustment_button(
    press: ButtonPress, data: re.Match[str], dialogue: Dialogue | None, settings: Settings
) -> Intention:
    if press.sender.telegram_id not in settings.admin_ids:
        return toast(press, texts.admins_only(), dialogue)
    if _is_somebody_elses(press, data):
        return toast(press, texts.not_your_adjustment(), dialogue)
    decided = DecideAdjustment(**who(press.sender), token=data["token"], confirm=data["decision"] == CONFIRM)
    return Intention(decided, dialogue)


def _transfer_button(
    press: ButtonPress, data: re.Match[str], dialogue: Dialogue | None, _: Settings
) -> Intention:
    if _is_somebody_elses(press, data):
        return toast(press, texts.not_your_transfer(), dialogue)
    decided = DecideTransfer(**who(press.sender), token=data["token"], confirm=data["decision"] == CONFIRM)
    return Intention(decided, dialogue)


def _history_button(
    press: ButtonPress, data: re.Match[str], dialogue: Dialogue | None, _: Settings
) -> Intention:
    owner = int(data["owner"])
    if owner != press.sender.telegram_id:
        return toast(press, not_your_history(), dialogue)
    shown = ShowHistory(**who(press.sender), owner_telegram_id=owner, upto_version=int(data["version"]))
    return Intention(shown, dialogue)


def _language_button(
    press: ButtonPress, data: re.Match[str], dialogue: Dialogue | None, _: Settings
) -> Intention:
    if int(data["owner"]) != press.sender.telegram_id:
        return toast(press, texts.not_your_language(), dialogue)
    chosen = None if data["language"] == "-" else data["language"]
    if chosen is not None and chosen not in available():
        return toast(press, unknown_button(), dialogue)
    return Intention(ChooseLanguage(**who(press.sender), language=chosen), dialogue)


BY_NAME: Mapping[str, Callable[[ButtonPress, re.Match[str], Dialogue | None, Settings], Intention]] = {
    "card": _card_button,
    "app": _app_button,
    "adjustment": _adjustment_button,
    "transfer": _transfer_button,
    "history": _history_button,
    "language": _language_button,
}
"""By the buttons' names."""
