"""The parts that what people are told is made of: money, people, memos. Telegram's HTML.

Names and memos are made harmless here and nowhere else: escaped, on one line, without what nobody sees, isolated, in
quotation marks that they have none of, and with nothing in them that Telegram makes a link of.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape as escape_html

from ballast.texts import gettext
from ballast.texts.formats import amount
from dbcore.ledger.users import UserAccount
from dbcore.outcomes import Party
from dbcore.settings import Settings
from dbcore.text import isolated, one_line, shows_something

NAME_SHOWN_MAX = 32
"""A first name may have 64 characters and a username 32; a page of history shows eight of each."""

_QUOTATION_MARKS = re.compile("[“”„‟❝❞〝〞〟″‶＂\U0001f676-\U0001f678]|['‘’‚‛′]{2,}")

_WITHOUT_LINKS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "So", "Sk"})
"""Letters, marks and pictures."""

_USERNAME = re.compile(r"\w{1,32}", re.ASCII)


def escape(text: str) -> str:
    """For Telegram's HTML, where quotes need no escape and would only make a message too long."""
    return escape_html(text, quote=False)


def money(minor: int, settings: Settings) -> str:
    return f"<b>{amount(minor, settings.currency_exponent, settings.currency)}</b>"


def reserved_of(balance: int, held: int, settings: Settings) -> str:
    """What stands behind a balance of which something is held."""
    return gettext(
        "Of this, {held} is reserved and {available} is available.",
        held=money(held, settings),
        available=money(balance - held, settings),
    )


def shown(text: str, length_max: int | None = None) -> str:
    """What somebody wrote, as it may stand in a sentence of ours; empty where nothing of it is seen."""
    line = one_line(text, length_max)
    return isolated(_without_links(line)) if shows_something(line) else ""


def quoted(text: str, length_max: int | None = None) -> str:
    """The same between quotation marks that it has none of, so that it cannot end before its end, and does not read as
    words of ours.
    """
    said = shown(_QUOTATION_MARKS.sub('"', one_line(text)), length_max)
    return f"“{said}”" if said else ""


def in_quotation_marks(text: str, length_max: int | None = None) -> str:
    """The same where no HTML is read, such as on a terminal."""
    line = one_line(_QUOTATION_MARKS.sub('"', text), length_max)
    return f"“{isolated(line)}”" if shows_something(line) else ""


def _without_links(line: str) -> str:
    """As HTML. Telegram makes links of addresses, @names, /commands, #tags, $tags and long numbers, and in fixed-width
    letters of none. Words that have no sign or digit which such a link begins with or needs stay as they are.
    """
    return escape(line) if all(map(_makes_no_link, line)) else f"<code>{escape(line)}</code>"


def _makes_no_link(letter: str) -> bool:
    return letter in " ,'’!?\"()-…\u200d" or unicodedata.category(letter) in _WITHOUT_LINKS


def first_name(party: Party | UserAccount) -> str:
    return quoted(party.first_name, NAME_SHOWN_MAX) or gettext("a user without a name")


def _username(party: Party | UserAccount) -> str | None:
    """As Telegram gives them: Latin letters, digits and underscores. Anything else is no username to show."""
    return party.username if party.username and _USERNAME.fullmatch(party.username) else None


def name(party: Party | UserAccount) -> str:
    """First name and @username, or the id: enough to tell two people of one name apart."""
    username = _username(party)
    handle = f"@{username}" if username else gettext("id {id}", id=str(party.telegram_id))
    return f"{first_name(party)} ({handle})"


def identified(party: Party) -> str:
    """Who it is, on a line of its own, which no name can begin: for whoever is to confirm."""
    username = _username(party)
    number = gettext("ID {id}", id=f"<code>{party.telegram_id}</code>")
    return f"<code>@{username}</code> · {number}" if username else number


def memo_line(memo: str) -> str:
    """On a line of its own."""
    said = quoted(memo)
    return f"\n{said}" if said else ""
