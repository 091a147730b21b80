"""Whom somebody names, as people name each other: `@carol`, `carol`, a link, an id, a mention, a reply to a message of
hers. The person stands before the amount or behind it. Pure, and never a guess: where two may be meant, none is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bot_frontend import texts
from bot_frontend.updates import Author, Mention
from dbcore.ledger.users import UserRef, UserRefError
from dbcore.money import AmountError, NotANumber, parse_money, parse_money_and_note
from dbcore.settings import Settings

_WORD = re.compile(r"\S+")
_TO = re.compile(r"\s+to\s*$", re.IGNORECASE)
_PERSON_BEHIND_WORDS_MAX = 3
"""An amount has no more words than these: `5`, `5 EUR` or, to be refused, `1 000 000`. A person may stand behind it."""


@dataclass(frozen=True)
class Arguments:
    """What follows a command, or answers a question.

    mentions -- placed in `text`.
    author -- of the message that is replied to; None where none is, or where it names nobody.
    """

    text: str
    mentions: tuple[Mention, ...] = ()
    author: Author | None = None

    def part(self, begin: int, end: int | None = None) -> Arguments:
        """A part of the text without the white space around it, and with the mentions in it."""
        piece = self.text[begin:end]
        stripped = piece.strip()
        begin += len(piece) - len(piece.lstrip())
        end = begin + len(stripped)
        mentions = (
            replace(mention, begin=mention.begin - begin, end=mention.end - begin)
            for mention in self.mentions
            if begin <= mention.begin and mention.end <= end
        )
        return Arguments(stripped, tuple(mentions), self.author)


@dataclass(frozen=True)
class Named:
    """The person, and what is said besides: an amount and a note, where they are given.

    is_certain -- False where a bare word was taken for a name, or a number for an id.
    """

    user: UserRef
    rest: str
    is_certain: bool = True


@dataclass(frozen=True)
class _Found:
    user: UserRef
    begin: int
    end: int


def person_named(arguments: Arguments, settings: Settings) -> Named | None:
    """None where nothing is said at all. Raises UserRefError, whose message can be shown to the person."""
    arguments = arguments.part(0)
    text, author = arguments.text, arguments.author
    found = _certain(arguments)
    if found is not None and found.begin == 0:
        return Named(found.user, _rest(text[found.end :]))
    if found is not None and (amount := _meant_as_amount(text[: found.begin], settings)):
        if author is not None and not _is_same(found.user, author):
            raise UserRefError(texts.two_people(str(found.user)))
        return Named(found.user, f"{amount} {_rest(text[found.end :])}".strip())
    if author is not None and author.telegram_id is not None:
        if not text or _begins_with_amount(text, settings, or_wrong_one=True):
            return Named(UserRef(telegram_id=author.telegram_id), text)
    elif author is not None and text and _begins_with_amount(text, settings, or_wrong_one=False):
        raise UserRefError(texts.reply_names_nobody())
    if not text:
        return None
    word = _WORD.search(text)
    assert word is not None  # noqa: S101  there is text, and none but white space at its ends was cut
    return Named(UserRef.parse(_without_colon(word[0])), _rest(text[word.end() :]), is_certain=False)


def names_somebody(arguments: Arguments) -> bool:
    """Whether a person is certainly named at the beginning."""
    word = _WORD.search(arguments.text)
    is_mentioned = any(mention.begin == 0 for mention in arguments.mentions)
    return is_mentioned or (word is not None and UserRef.certain(_without_colon(word[0])) is not None)


def _certain(arguments: Arguments) -> _Found | None:
    """The first person who is certainly named, if that is at the place for one."""
    mention = min(arguments.mentions, key=lambda mention: mention.begin, default=None)
    for number, word in enumerate(_WORD.finditer(arguments.text)):
        if mention is not None and mention.begin <= word.start():
            if mention.telegram_id is None:
                raise UserRefError(texts.mentions_a_bot())
            return _Found(UserRef(telegram_id=mention.telegram_id), mention.begin, mention.end)
        if user := UserRef.certain(_without_colon(word[0])):
            return _Found(user, word.start(), word.end())
        if number >= _PERSON_BEHIND_WORDS_MAX:
            return None
    return None


def _meant_as_amount(text: str, settings: Settings) -> str | None:
    """Text before a person, if it is an amount, or was meant as one and will be refused for what it is."""
    amount = _TO.sub("", text).strip()
    if any(word[0].isalpha() for word in amount.split()[1:]):
        return amount if _is_amount(amount, settings) else None
    return amount if _begins_with_amount(amount, settings, or_wrong_one=True) else None


def _is_amount(text: str, settings: Settings) -> bool:
    try:
        return parse_money(text, settings.known_currencies).minor > 0
    except AmountError:
        return False


def _begins_with_amount(text: str, settings: Settings, *, or_wrong_one: bool) -> bool:
    try:
        parse_money_and_note(text, settings.known_currencies)
    except NotANumber:
        return False
    except AmountError:
        return or_wrong_one
    return True


def _is_same(user: UserRef, author: Author) -> bool:
    if author.telegram_id is None:
        return True  # who is replied to is nobody, so nobody else is meant
    if user.username is not None:
        return author.username is not None and author.username.lower() == user.username.lower()
    return user.telegram_id == author.telegram_id


def _rest(text: str) -> str:
    return text.lstrip(",:;").strip()


def _without_colon(word: str) -> str:
    return word.rstrip(",:;") or word
