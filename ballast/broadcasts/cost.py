"""What a paid broadcast costs: a tenth of a Star for each message above the free thirty a second.

Counted as if none of it were free, for replies and other broadcasts use the free share too: it costs less, never more.
"""

from __future__ import annotations

from ballast.texts import ngettext
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.sentences import sentence

MESSAGES_A_STAR = 10


def stars_for(messages: int) -> int:
    """The most that so many paid messages can cost, in whole Stars."""
    return -(-messages // MESSAGES_A_STAR)


def stars_counted(stars: int) -> str:
    return ngettext("{count} Star", "{count} Stars", stars)


def messages_for(stars: int) -> int:
    """The most messages that cost no more than so many Stars."""
    return stars * MESSAGES_A_STAR


def refuse_paid_album(pieces: int) -> None:
    """Raises BroadcastRefused where a paid broadcast is an album: Telegram's copyMessages takes no payment."""
    if pieces > 1:
        raise BroadcastRefused(
            sentence(
                "an album cannot be paid for: Telegram takes Stars for single messages only; send it free, or one "
                "piece of it"
            )
        )
