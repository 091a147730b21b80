"""The conversation of /send: what is still missing is asked for, one thing at a time. What a broadcast's card asks is
in draft_questions.py, what an app's command asks in app_commands.py, what its handlers ask in app_questions.py.

Pure: a state and a text make the next state, or a complete request, or a correction. Where the state is kept, and
that it changes together with the job or not at all, is the inbox's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict

from ballast.apps.questions import JobQuestion
from ballast.builtin.broadcasts import CardQuestion
from ballast.builtin.jobs import MEMO_LENGTH_MAX
from ballast.texts import said
from bot_frontend import texts
from bot_frontend.naming import Arguments, person_named
from dbcore.ledger.users import UserRef, UserRefError
from dbcore.money import AmountError, parse_money_and_note
from dbcore.settings import Settings


class DraftQuestion(BaseModel):
    """What an admin is asked about a broadcast.

    more -- it was answered, and may be again: an app cuts what is too long for one message.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    broadcast_id: int
    asks: CardQuestion
    more: bool = False


class CommandQuestion(BaseModel):
    """What somebody is asked for an app's command.

    asks -- the field. given -- the words of those that are known.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    command: str
    asks: str
    given: dict[str, str]


class Conversation(BaseModel):
    """Asked so far.

    recipient -- `@name` or an id; None while that is the question.
    draft -- the question is not of /send at all, but a broadcast's card's.
    command -- nor is it of /send if it is of an app's command. job -- nor if an app's handler asked it.
    asked_by -- the update that brought it here, so that no two states are equal by chance.
    command_id -- the message that the question answers; in a group, only a reply to something newer is an answer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    recipient: str | None = None
    draft: DraftQuestion | None = None
    command: CommandQuestion | None = None
    job: JobQuestion | None = None
    asked_by: int
    command_id: int | None = None

    @property
    def is_send(self) -> bool:
        return self.draft is None and self.command is None and self.job is None


@dataclass(frozen=True)
class Question:
    """Say `text`, and wait for an answer in state `conversation`."""

    text: str
    conversation: Conversation


@dataclass(frozen=True)
class Refusal:
    """Say `text`; nothing is waited for."""

    text: str


@dataclass(frozen=True)
class SendRequest:
    """All that /send needs. `amount` in minor units. currency -- None for the first."""

    recipient: str
    amount: int
    currency: str | None
    memo: str


def begin(arguments: Arguments, update_id: int, settings: Settings) -> Question | Refusal | SendRequest:
    """/send with none, some or all of whom, how much and a note."""
    try:
        named = person_named(arguments, settings)
    except UserRefError as error:
        return Refusal(f"{said(error)} {texts.send_usage()}")
    if named is None:
        return Question(texts.ask_recipient(), Conversation(asked_by=update_id))
    if not named.rest:
        return _ask_amount(named.user, update_id)
    return _request(named.user, named.rest, settings)


def advance(
    conversation: Conversation, answer: Arguments, update_id: int, settings: Settings
) -> Question | SendRequest:
    """The answer to the question that was open. A wrong one is corrected and asked again.

    An answer may reply to the question, so whose message it replies to says nothing.
    """
    answer = replace(answer, author=None)
    if conversation.recipient is None:
        return _whom(answer, update_id, settings)
    recipient = UserRef.parse(conversation.recipient)
    outcome = _request(recipient, answer.text, settings)
    return _ask_amount(recipient, update_id, outcome.text) if isinstance(outcome, Refusal) else outcome


def _whom(answer: Arguments, update_id: int, settings: Settings) -> Question | SendRequest:
    ask_again = Question(f"{said(UserRefError())} {texts.ask_recipient()}", Conversation(asked_by=update_id))
    try:
        named = person_named(answer, settings)
    except UserRefError as error:
        return Question(f"{said(error)} {texts.ask_recipient()}", Conversation(asked_by=update_id))
    if named is None:
        return ask_again
    if not named.rest:
        return _ask_amount(named.user, update_id)
    outcome = _request(named.user, named.rest, settings)
    if not isinstance(outcome, Refusal):
        return outcome
    # Of `the usual` nobody is meant; of `@carol a lot` she is.
    return _ask_amount(named.user, update_id, outcome.text) if named.is_certain else ask_again


def _ask_amount(recipient: UserRef, update_id: int, correction: str = "") -> Question:
    asked = f"{correction} {texts.ask_amount(str(recipient))}".strip()
    return Question(asked, Conversation(recipient=str(recipient), asked_by=update_id))


def _request(recipient: UserRef, rest: str, settings: Settings) -> SendRequest | Refusal:
    try:
        money, memo = parse_money_and_note(rest, settings.known_currencies)
    except AmountError as error:
        return Refusal(said(error))
    if len(memo) > MEMO_LENGTH_MAX:
        return Refusal(texts.memo_too_long())
    currency = settings.known_currencies.code_if_further(money.currency)
    return SendRequest(recipient=str(recipient), amount=money.minor, currency=currency, memo=memo)
