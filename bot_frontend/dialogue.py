"""The dialogue of /send: what is still missing is asked for, one thing at a time. What a broadcast's card asks is
in draft_questions.py.

Pure: a state and a text make the next state, or a complete request, or a correction. Where the state is kept, and
that it changes together with the job or not at all, is the inbox's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from bot_frontend import texts
from dbcore.money import AmountError, parse_amount
from dbcore.users import UserRef, UserRefError
from workers.jobs import MEMO_LENGTH_MAX, CardQuestion


class DraftQuestion(BaseModel):
    """What an admin is asked about a broadcast.

    more -- it was answered, and may be again: an app cuts what is too long for one message.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    broadcast_id: int
    asks: CardQuestion
    more: bool = False


class Dialogue(BaseModel):
    """Asked so far.

    recipient -- as the user gave it; None while that is the question.
    draft -- the question is not of /send at all, but a broadcast's card's.
    asked_by -- the update that brought it here, so that no two states are equal by chance.
    command_id -- the message that the question answers; in a group, only a reply to something newer is an answer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    recipient: str | None = None
    draft: DraftQuestion | None = None
    asked_by: int
    command_id: int | None = None


@dataclass(frozen=True)
class Question:
    """Say `text`, and wait for an answer in state `dialogue`."""

    text: str
    dialogue: Dialogue


@dataclass(frozen=True)
class Refusal:
    """Say `text`; nothing is waited for."""

    text: str


@dataclass(frozen=True)
class SendRequest:
    """All that /send needs. `amount` in minor units."""

    recipient: str
    amount: int
    memo: str


def begin(arguments: str, update_id: int, currency_exponent: int) -> Question | Refusal | SendRequest:
    """/send with none, some or all of `<@user or id> <amount> [memo]`."""
    recipient, _, rest = arguments.strip().partition(" ")
    if not recipient:
        return Question(texts.ASK_RECIPIENT, Dialogue(asked_by=update_id))
    try:
        UserRef.parse(recipient)
    except UserRefError as error:
        return Refusal(f"{error} {texts.SEND_USAGE}")
    if not rest.strip():
        return Question(texts.ask_amount(recipient), Dialogue(recipient=recipient, asked_by=update_id))
    return _request(recipient, rest, currency_exponent)


def proceed(dialogue: Dialogue, text: str, update_id: int, currency_exponent: int) -> Question | SendRequest:
    """The answer to the question that was open. A wrong one is corrected and asked again."""
    answer = text.strip()
    if dialogue.recipient is None:
        try:
            UserRef.parse(answer)
        except UserRefError as error:
            return Question(f"{error} {texts.ASK_RECIPIENT}", Dialogue(asked_by=update_id))
        return Question(texts.ask_amount(answer), Dialogue(recipient=answer, asked_by=update_id))
    outcome = _request(dialogue.recipient, answer, currency_exponent)
    if isinstance(outcome, Refusal):
        again = Dialogue(recipient=dialogue.recipient, asked_by=update_id)
        return Question(f"{outcome.text} {texts.ask_amount(dialogue.recipient)}", again)
    return outcome


def _request(recipient: str, rest: str, currency_exponent: int) -> SendRequest | Refusal:
    amount_text, _, memo = rest.strip().partition(" ")
    try:
        amount = parse_amount(amount_text, currency_exponent)
    except AmountError as error:
        return Refusal(str(error))
    if len(memo.strip()) > MEMO_LENGTH_MAX:
        return Refusal(texts.MEMO_TOO_LONG)
    return SendRequest(recipient=recipient, amount=amount, memo=memo.strip())
