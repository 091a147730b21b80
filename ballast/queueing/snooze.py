"""How a task says that its job is to be done later."""

from __future__ import annotations


class Snoozed(Exception):
    """A job is put off: it goes back to the inbox, due after `seconds`. That says nothing against it.

    uncertain -- it sent a message, and nobody knows whether that arrived: it is counted (`TaskContext.uncertain`).
    """

    def __init__(self, seconds: float, *, uncertain: bool = False) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.uncertain = uncertain
