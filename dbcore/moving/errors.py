"""What can go wrong with a move. The message is a sentence for an operator, without its full stop."""


class MoveFailed(Exception):
    """It was not begun, or was broken off. The old database is in charge, unless the message says otherwise."""


class HoldLost(MoveFailed):
    """The old database was no longer held: others may have written to it. Nothing was switched."""
