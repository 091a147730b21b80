"""What an adapter of payouts is. `CryptoPay` and `Manual` are two; a provider of an app's is another if it has these
functions too.

pay      ──▶ pays, once for its key: asked again by the same key, it pays nothing more
payout   ──▶ how the payout of a key stands there
balance  ──▶ what is there to pay from

They raise Refused and Unanswered of ballast/providers/provider.py. Refused says that nothing was paid by this request.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class PayoutState:
    """What a provider says of a key. text -- the reference of what was paid; of what failed, why.

    failed -- it was not paid, and will not be by this key.
    """

    state: Literal["paid", "under_way", "failed"]
    text: str = ""


@runtime_checkable
class PayoutAdapter(Protocol):
    """The functions that wait belong to one event loop, until `close`.

    name -- as in WITHDRAWALS_BY. title -- its name for people.
    currency -- what it pays in. exponent -- of its minor units. rate -- units of the bot's currency for one of its own.
    asks_destination -- people say where to; else it is known by who they are.
    """

    name: str
    title: str
    currency: str
    exponent: int
    rate: Decimal
    asks_destination: bool

    def read_destination(self, text: str, telegram_id: int) -> str:
        """The destination that somebody wrote, as it is shown to them and paid to. Raises Refusal, which they read."""
        ...

    async def pay(self, key: str, amount: int, destination: str) -> str:
        """Pay `amount` minor units of its currency, once for the key. Returns its reference there."""
        ...

    async def payout(self, key: str, amount: int, destination: str) -> PayoutState | None:
        """How it stands; None if the provider knows no payout by this key.

        Raises Unanswered if what it knows is another amount or destination.
        """
        ...

    async def balance(self) -> int:
        """Minor units that are there to pay from."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
