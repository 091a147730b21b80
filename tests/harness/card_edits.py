"""How a broadcast's card was edited, by the local Telegram's record."""

from __future__ import annotations

import itertools

from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl

EDITS_SEEN_MAX = 1000
SECONDS_BETWEEN = 3.0


async def assert_the_card_went_forwards(telegram: TelegramControl, *, audience: int) -> int:
    """It counted up to all of the audience, never back, and not more often than every three seconds. Returns how many
    edits there were.
    """
    requests = await telegram.requests(
        method="editMessageText", chat_id=ADMIN_ID, took_effect=True, limit=EDITS_SEEN_MAX
    )
    made = [
        (request.started_at, int(line.partition(" of ")[0].replace(",", "")))
        for request in requests
        for line in str(request.params["text"]).splitlines()
        if line.endswith(f" of {audience:,}")
    ]
    counts = [count for _, count in made]
    assert counts == sorted(counts)
    assert counts[-1] == audience
    # The first is for the admin who pressed Confirm, and waits for no pace.
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(made[1:])]
    assert all(gap >= SECONDS_BETWEEN for gap in gaps), gaps
    return len(made)
