"""What somebody wants: from a reading of an update, and the dialogue they are in, to the job that does it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bot_frontend import dialogue as dialogues
from bot_frontend import draft_questions, formatting, texts
from bot_frontend.dialogue import Dialogue, DraftQuestion, Question, Refusal, SendRequest
from bot_frontend.naming import Arguments, names_somebody, person_named
from bot_frontend.updates import (
    ButtonPress,
    MembershipChange,
    Payment,
    Reading,
    Sender,
    TextMessage,
    WordsOf,
)
from dbcore.money import AmountError, parse_amount_and_note
from dbcore.settings import Settings
from dbcore.text import one_line
from dbcore.users import UserRefError
from workers.jobs import (
    MEMO_LENGTH_MAX,
    AskAdjustment,
    CancelTransfers,
    CardButton,
    CardQuestion,
    ChooseBroadcasts,
    CreateTransfer,
    DecideAdjustment,
    DecideTransfer,
    DeliverReply,
    DraftBroadcast,
    GetOrCreateUser,
    Job,
    LinkButton,
    ListBroadcasts,
    PressBroadcast,
    RecordPayment,
    SetUserStatus,
    ShowBalance,
    ShowDatabaseStatus,
    ShowHistory,
)
from workers.origins import Origin
from workers.telegram.html import is_html

_COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]+)(?:@(?P<bot>\w+))?(?:\s+(?P<arguments>.*))?", re.DOTALL)
_HISTORY_BUTTON = re.compile(r"h:(?P<owner>\d{1,16}):(?P<version>[1-9]\d{0,15})")
_CARD_BUTTON = re.compile(r"b:(?P<id>[1-9]\d{0,17}):(?P<what>[a-z]{1,16})(?::(?P<shown>[0-9a-f]{1,16}))?")
_CARD_BUTTONS = frozenset(button.value for button in CardButton)
_QUESTIONS = frozenset(question.value for question in CardQuestion)
_NAMING_COMMANDS = frozenset({"send", "credit", "debit"})
_PUBLIC_COMMANDS = frozenset(name for name, _ in texts.COMMANDS)
_ADJUSTMENT_BUTTON = re.compile(r"a(?P<decision>[cx]):(?P<token>[\w-]{1,60})")
_TRANSFER_BUTTON = re.compile(r"(?P<decision>[cx]):(?P<token>[\w-]{1,60})")
_STARTED_WITH = frozenset({"balance", "history", "help", "dbstatus"})
"""What a link to the private chat may ask for: /start with it is that command."""

_LEAVING_A_DIALOGUE = frozenset({"start", "send", "cancel"})


@dataclass(frozen=True)
class Intention:
    """The job to be done, and where the dialogue stands after it; None for no dialogue."""

    job: Job
    dialogue: Dialogue | None = None


def interpret(
    reading: Reading, dialogue: Dialogue | None, settings: Settings, our_username: str | None = None
) -> Intention | None:
    """None where nothing is wanted: small talk in a group, or a command of another bot there.

    our_username -- None where Telegram has not said it yet.
    """
    match reading:
        case TextMessage():
            return _text(reading, dialogue, settings, our_username)
        case ButtonPress() if card := _CARD_BUTTON.fullmatch(reading.data):
            return _card_button(reading, int(card["id"]), card["what"], card["shown"], dialogue, settings)
        case ButtonPress():
            return _button(reading, dialogue, settings)
        case Payment():
            return Intention(_payment(reading), dialogue)
        case MembershipChange():
            return Intention(
                SetUserStatus(
                    telegram_id=reading.sender.telegram_id,
                    status="blocked" if reading.is_blocked else "active",
                ),
                dialogue,
            )


def is_for_another_bot(reading: Reading, our_username: str | None) -> bool:
    """Whether a command in a group names another bot. Where ours sees every message of the group, it sees these too.

    our_username -- None where Telegram has not said it yet: then every name is taken for ours.
    """
    if our_username is None or not isinstance(reading, TextMessage) or reading.is_private:
        return False
    command = _COMMAND.fullmatch(reading.text.strip())
    if command is None or _names_a_person(command, our_username):
        return False
    return (command["bot"] or our_username).lower() != our_username.lower()


def _names_a_person(command: re.Match[str], our_username: str | None) -> bool:
    """Whether it is `/send@carol 5`, with the space forgotten. Usernames of bots alone end in `bot`."""
    addressed = (command["bot"] or "").lower()
    if command["name"].lower() not in _NAMING_COMMANDS or addressed in {"", (our_username or "").lower()}:
        return False
    return not addressed.endswith("bot")


def _said(message: TextMessage) -> Arguments:
    """All of a message's text."""
    return Arguments(message.text, message.mentions, message.replied_author).part(0)


def _arguments(command: re.Match[str], message: TextMessage, our_username: str | None) -> Arguments:
    if _names_a_person(command, our_username):
        return _said(message).part(command.start("bot") - 1)
    begin = command.start("arguments")
    return _said(message).part(begin if begin >= 0 else command.end())


def _text(
    message: TextMessage, dialogue: Dialogue | None, settings: Settings, our_username: str | None = None
) -> Intention | None:
    command = _COMMAND.fullmatch(message.text.strip())
    if message.words_of is not WordsOf.SENDER:
        return _not_own_words(message, command, dialogue, settings)
    if command is None:
        if not message.is_private and not _answers_a_question(message, dialogue, settings):
            return None
        is_admin = message.sender.telegram_id in settings.admin_ids
        if is_admin and message.is_private and message.posting is not None and message.posting.album:
            return None  # a piece of an album: an answer to each would be ten
        if dialogue is not None and dialogue.draft is not None:
            return (
                _card_answer(message, dialogue.draft, settings)
                if is_admin
                else _say(message, texts.ADMINS_ONLY)
            )
        if dialogue is not None:
            step = dialogues.proceed(dialogue, _said(message), message.update_id, settings)
            return _after(step, message)
        return _say(message, texts.NOT_A_COMMAND) if message.is_private else None
    intention = _command(
        command["name"].lower(), _arguments(command, message, our_username), message, dialogue, settings
    )
    if intention is None and (message.is_private or command["bot"]):
        intention = _say(message, texts.unknown_command(command["name"].lower()))
    if intention is not None and command["name"].lower() not in _LEAVING_A_DIALOGUE:
        # Whoever looks something up in the middle is still asked the same.
        intention = replace(intention, dialogue=intention.dialogue or dialogue)
    return intention


def _answers_a_question(message: TextMessage, dialogue: Dialogue | None, settings: Settings) -> bool:
    """Whether a group's message answers what the bot asks its author: it is a reply to the bot, and to nothing older
    than the command that the question belongs to.
    """
    if dialogue is None or message.replied_to is None:
        return False
    our_id = int(settings.require("telegram_bot_token").partition(":")[0])
    is_newer = message.replied_to.message_id > (dialogue.command_id or 0)
    return message.replied_to.author_id == our_id and is_newer


def _not_own_words(
    message: TextMessage, command: re.Match[str] | None, dialogue: Dialogue | None, settings: Settings
) -> Intention | None:
    """What somebody else wrote is never a command or an answer, whoever brings it."""
    if message.words_of is WordsOf.CHAT:
        is_for_us = command is not None and command["name"].lower() in _PUBLIC_COMMANDS
        return _say(message, texts.NOT_AS_A_CHAT) if is_for_us else None
    if not message.is_private:
        return None
    is_admin = message.sender.telegram_id in settings.admin_ids
    if is_admin and message.posting is not None and message.posting.album:
        return None  # as of the admin's own albums
    if command is None and dialogue is None:
        return _say(message, texts.FORWARDED_POST if is_admin else texts.NOT_A_COMMAND)
    return _say(message, texts.NOT_YOUR_WORDS, dialogue)


def _command(
    name: str, arguments: Arguments, message: TextMessage, dialogue: Dialogue | None, settings: Settings
) -> Intention | None:
    """None for a command that there is not, or not for this sender."""
    sender = message.sender
    is_admin = sender.telegram_id in settings.admin_ids
    if name == "start" and arguments.text in _STARTED_WITH:
        name, arguments = arguments.text, Arguments("")
    match name:
        case "balance" | "history" if arguments.text:
            return _say(message, texts.only_your_own(name, is_admin))
        case "stop" | "resume" if names_somebody(arguments):
            return _say(message, texts.only_your_own(name, is_admin))
        case "start":
            return Intention(GetOrCreateUser(**_who(sender)))
        case "help":
            return _say_privately(message, texts.help_text(is_admin), opens="help")
        case "balance":
            return Intention(ShowBalance(**_who(sender)))
        case "history":
            return Intention(ShowHistory(**_who(sender)))
        case "stop" | "resume":
            return Intention(ChooseBroadcasts(**_who(sender), wanted=name == "resume"))
        case "send":
            return _after(dialogues.begin(arguments, message.update_id, settings), message)
        case "cancel":
            if dialogue is not None:
                return _say(message, texts.LEFT_DIALOGUE)
            return Intention(CancelTransfers(**_who(sender)))
        case "dbstatus" if is_admin:
            return Intention(ShowDatabaseStatus())
        case "credit" | "debit" if is_admin:
            return _adjust(name, arguments, message, settings)
        case "broadcast" if is_admin:
            return _broadcast(arguments.text, message)
        case "broadcasts" if is_admin:
            return Intention(ListBroadcasts(telegram_id=sender.telegram_id))
        case _:
            return None


def _after(step: Question | Refusal | SendRequest, message: TextMessage) -> Intention:
    match step:
        case Question():
            return _ask(message, step)
        case Refusal():
            return _say(message, step.text)
        case SendRequest():
            return Intention(
                CreateTransfer(
                    **_who(message.sender),
                    recipient=step.recipient,
                    amount=step.amount,
                    memo=one_line(step.memo),
                )
            )


def _adjust(name: str, arguments: Arguments, message: TextMessage, settings: Settings) -> Intention:
    try:
        target = person_named(arguments, settings)
        if target is None or not target.rest:
            return _say_privately(message, texts.adjust_usage(name))
        amount, reason = parse_amount_and_note(target.rest, settings.currency_exponent, settings.currency)
    except (UserRefError, AmountError) as error:
        return _say_privately(message, f"{error} {texts.adjust_usage(name)}")
    if len(reason.strip()) > MEMO_LENGTH_MAX:
        return _say_privately(message, texts.MEMO_TOO_LONG)
    return Intention(
        AskAdjustment(
            telegram_id=target.user.telegram_id,
            username=target.user.username,
            amount=amount if name == "credit" else -amount,
            reason=one_line(reason),
            admin_id=message.sender.telegram_id,
        )
    )


def _broadcast(arguments: str, message: TextMessage) -> Intention:
    if not message.is_private:
        return _say_privately(message, texts.BROADCASTS_IN_PRIVATE)
    admin = message.sender.telegram_id
    if arguments:
        start = len(message.text.rstrip()) - len(arguments)
        entities = formatting.of_part(message.text, start, arguments, message.entities)
        as_html = not entities and is_html(arguments)
        return Intention(
            DraftBroadcast(telegram_id=admin, text=arguments, entities=None if as_html else entities)
        )
    if message.replied_to is None:
        return _say(message, texts.BROADCAST_USAGE)
    original = message.replied_to
    buttons = tuple(tuple(LinkButton(text=each.text, url=each.url) for each in row) for row in original.links)
    return Intention(
        DraftBroadcast(
            telegram_id=admin,
            message_id=original.message_id,
            album=original.album,
            buttons=buttons,
            buttons_lost=original.other_buttons,
        )
    )


def _card_button(
    press: ButtonPress,
    broadcast_id: int,
    what: str,
    shown: str | None,
    dialogue: Dialogue | None,
    settings: Settings,
) -> Intention:
    """A button of a broadcast's card: a job, or a question that is answered in words."""
    admin = press.sender.telegram_id
    if admin not in settings.admin_ids or press.chat_id != admin:
        return _toast(press, texts.ADMINS_ONLY, dialogue)
    if what in _QUESTIONS:
        asked = DraftQuestion(broadcast_id=broadcast_id, asks=CardQuestion(what))
        question = _reply(press.origin, draft_questions.question(asked, settings))
        return Intention(question, Dialogue(draft=asked, asked_by=press.update_id))
    if what not in _CARD_BUTTONS:
        return _toast(press, texts.UNKNOWN_BUTTON, dialogue)
    pressed = PressBroadcast(broadcast_id=broadcast_id, telegram_id=admin, what=CardButton(what), shown=shown)
    return Intention(pressed, dialogue)


def _card_answer(message: TextMessage, asked: DraftQuestion, settings: Settings) -> Intention | None:
    now = datetime.fromtimestamp(message.date, UTC)
    try:
        change = draft_questions.answered(asked, message.text, message.sender.telegram_id, settings, now=now)
    except draft_questions.AnswerError as error:
        if asked.more:
            return _text(message, None, settings)
        again = f"{error} {draft_questions.question(asked, settings)}"
        return _say(message, again, Dialogue(draft=asked, asked_by=message.update_id))
    if asked.asks is not CardQuestion.IDS:
        return Intention(change)
    more = asked.model_copy(update={"more": True})
    return Intention(change, Dialogue(draft=more, asked_by=message.update_id))


def _button(press: ButtonPress, dialogue: Dialogue | None, settings: Settings) -> Intention:
    if adjustment := _ADJUSTMENT_BUTTON.fullmatch(press.data):
        if press.sender.telegram_id not in settings.admin_ids:
            return _toast(press, texts.ADMINS_ONLY, dialogue)
        adjusting = DecideAdjustment(
            **_who(press.sender), token=adjustment["token"], confirm=adjustment["decision"] == "c"
        )
        return Intention(adjusting, dialogue)
    if transfer := _TRANSFER_BUTTON.fullmatch(press.data):
        decision = DecideTransfer(
            **_who(press.sender), token=transfer["token"], confirm=transfer["decision"] == "c"
        )
        return Intention(decision, dialogue)
    if page := _HISTORY_BUTTON.fullmatch(press.data):
        owner = int(page["owner"])
        if owner != press.sender.telegram_id:
            return _toast(press, texts.NOT_YOUR_HISTORY, dialogue)
        shown = ShowHistory(**_who(press.sender), owner_telegram_id=owner, upto_version=int(page["version"]))
        return Intention(shown, dialogue)
    return _toast(press, texts.UNKNOWN_BUTTON, dialogue)


def _payment(payment: Payment) -> RecordPayment:
    return RecordPayment(
        **_who(payment.sender),
        event=payment.kind.value,
        charge_id=payment.charge_id,
        amount=payment.amount,
        currency=payment.currency,
        payload=payment.payload,
        details=payment.details,
        said_at=payment.date,
    )


def _say(message: TextMessage, text: str, dialogue: Dialogue | None = None) -> Intention:
    """What everybody in the chat may read."""
    return Intention(_reply(message.origin, text), dialogue)


def _say_privately(message: TextMessage, text: str, *, opens: str = "start") -> Intention:
    return Intention(DeliverReply(messages=tuple(message.origin.privately(text, opens=opens))))


def _ask(message: TextMessage, question: Question) -> Intention:
    """In a group the question is shown as one to be replied to, for the bot may see nothing else there."""
    origin = message.origin
    asked = DeliverReply(messages=(origin.publicly(question.text, asks=True),))
    return Intention(asked, question.dialogue.model_copy(update={"command_id": origin.command_id}))


def _toast(press: ButtonPress, text: str, dialogue: Dialogue | None) -> Intention:
    """What only the presser needs to know, and only now: it is shown, and no message is sent."""
    message = press.origin.publicly(text)
    shown = message.model_copy(update={"toast": press.callback_id, "matters": False})
    return Intention(DeliverReply(messages=(shown,)), dialogue)


def _reply(origin: Origin, text: str) -> DeliverReply:
    return DeliverReply(messages=(origin.publicly(text),))


def _who(sender: Sender) -> dict[str, Any]:
    return {
        "telegram_id": sender.telegram_id,
        "username": sender.username,
        "first_name": sender.first_name,
        "language_code": sender.language_code,
    }
