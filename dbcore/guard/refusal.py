"""`Refuse`: the work's own no, with everything rolled back."""

from __future__ import annotations

import json


class Refuse(Exception):
    """Raise it in the work of a `transact` to roll everything back and to answer no. With a key, it is the key's answer
    from then on: every repetition raises it again, whatever has changed since.

    message -- for a person. reason -- for the program, such as "sold_out"; the ledger's own refusals have those of
    RejectionReason. replayed -- it was refused by an earlier call with the same key.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message, reason)
        self.message = message
        self.reason = reason
        self.replayed = False

    def __str__(self) -> str:
        return self.message

    def as_json(self) -> str:
        """As it is kept under a key."""
        return json.dumps({"message": str(self.message), "reason": self.reason})

    @classmethod
    def from_json(cls, text: str) -> Refuse:
        """As it was kept."""
        kept = json.loads(text)
        refuse = cls(kept["message"], kept["reason"])
        refuse.replayed = True
        return refuse
