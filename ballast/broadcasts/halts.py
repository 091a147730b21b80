"""Why a broadcast stopped itself: as it is kept with the broadcast, and as people read it."""

from __future__ import annotations

import re

from ballast.texts import gettext, gettext_noop
from ballast.texts.phrases import escape
from dbcore.text import one_line

_DELETED = gettext_noop(
    "the message that it copies was deleted. Draw the broadcast up again for those who are left"
)


def source_deleted(telegrams_reason: str) -> str:
    """As it is kept, in English."""
    return f"{telegrams_reason}: {_DELETED}"


_CANARY = re.compile(r"canary: (?P<out>\d+) out, (?P<failed>\d+) not delivered")
"""As broadcast_record writes it."""


def shown(reason: str) -> str:
    """On one line of HTML: Telegram's words as they are, ours in the language that is spoken."""
    canary = _CANARY.fullmatch(reason)
    if canary is not None:
        return gettext(
            "the first {out} are done, {failed} of them not delivered. Resume sends to the others",
            out=int(canary["out"]),
            failed=int(canary["failed"]),
        )
    telegrams_reason, ours, _ = reason.partition(f": {_DELETED}")
    told = escape(one_line(telegrams_reason))
    return f"{told}: {gettext(_DELETED)}" if ours else told
