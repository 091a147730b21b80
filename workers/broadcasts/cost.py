"""What a paid broadcast costs: a tenth of a Star for each message above the free thirty a second.

Counted for the top speed, where the free share is smallest: at a lower speed it costs less, never more.
"""

from __future__ import annotations

from dbcore.broadcasts import BroadcastRefused
from workers.telegram.pacer import FREE_PER_SECOND, PAID_PER_SECOND

MESSAGES_A_STAR = 10

_PAID_IN_A_SECOND = PAID_PER_SECOND - FREE_PER_SECOND


def stars_for(audience: int) -> int:
    """The most that a paid broadcast to so many people can cost, in whole Stars."""
    if audience <= FREE_PER_SECOND:
        return 0
    return -(-audience * _PAID_IN_A_SECOND // (PAID_PER_SECOND * MESSAGES_A_STAR))


def audience_for(stars: int) -> int:
    """The largest audience whose broadcast costs no more than so many Stars."""
    return max(FREE_PER_SECOND, stars * PAID_PER_SECOND * MESSAGES_A_STAR // _PAID_IN_A_SECOND)


def refuse_paid_album(pieces: int) -> None:
    """Raises BroadcastRefused where a paid broadcast is an album: Telegram's copyMessages takes no payment."""
    if pieces > 1:
        raise BroadcastRefused(
            "an album cannot be paid for: Telegram takes Stars for single messages only; "
            "send it free, or one piece of it"
        )
