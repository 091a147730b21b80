"""What can go wrong with a move, in a sentence for an operator, without its full stop."""

from __future__ import annotations

from dbcore.sentences import Refusal


class MoveFailed(Refusal):
    """It was not begun, or was broken off. The old database is in charge, unless the message says otherwise."""


class HoldLost(MoveFailed):
    """The old database was no longer held: others may have written to it. Nothing was switched."""
