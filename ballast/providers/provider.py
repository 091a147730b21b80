"""What an adapter of a provider is. `CryptoPay` and `Stripe` are two, and an app adds its own by `App.provider`.

checkout        ──▶ the address where somebody pays
read_event      ◀── POST /pay/<name>: is it genuine, and which payment does it tell of?
payments_since  ──▶ what was paid or refunded since then, whether or not a webhook came
payment         ──▶ how one payment stands

ProviderError
├── Forged       what came is not the provider's: nothing is done
│   └── Unreadable   it is signed, and tells of a payment that cannot be one
├── Refused      the provider says no, and would say so again
└── Unanswered   no good answer: it may or may not be done there; ask again
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")
PAYMENT_ID_LENGTH_MAX = 200
ORDER_LENGTH_MAX = 200
OWN_PROVIDERS = ("crypto_pay", "stripe")
"""The names of those that Ballast has."""


GARBAGE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading an answer raises that is not as its provider's documentation has it."""


class ProviderError(Exception):
    """Of an adapter."""


class Forged(ProviderError):
    """What came is not signed by the provider, or too long ago."""


class Unreadable(Forged):
    """It is signed by the provider, and what it says cannot be so, such as an amount below zero."""


class Refused(ProviderError):
    """The provider says no. Its words are the message. status -- of HTTP."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Unanswered(ProviderError):
    """The provider gave no good answer. What it was asked for may be done or not.

    retry_after_seconds -- not to be asked before.
    """

    def __init__(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Checkout:
    """What somebody is to pay.

    order -- comes back with the payment: where only whoever has the provider's key can write, such as its metadata.
    price -- minor units of the provider's currency. title -- what the payer reads.
    key -- the same for the same checkout, if it is asked for again.
    """

    order: str
    price: int
    title: str
    key: str


@dataclass(frozen=True, slots=True)
class Payment:
    """How a payment stands at the provider. Amounts are minor units of `currency`.

    id -- the provider's, and the same in every event and list.
    refunded -- how much of it was given back so far, in all.
    fee -- what the provider keeps of it; None while that is not known.
    order -- of its Checkout; empty if it has none. paid_at -- seconds since 1970.
    """

    id: str
    amount: int
    currency: str
    order: str
    paid_at: int
    refunded: int = 0
    fee: int | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    """A payment whose payer's bank took it back, in whole or in part, until it is decided. amount -- minor units.

    id -- the provider's, and the same in every event and list. payment_id -- as of its Payment.
    state -- open: the money was taken from you; lost: it stays so; won: it was given back to you.
    """

    id: str
    payment_id: str
    amount: int
    currency: str
    state: Literal["open", "won", "lost"]


@dataclass(frozen=True, slots=True)
class Event:
    """What a provider told by its webhook, of a payment or of a dispute.

    id -- the same when it is told again.
    said -- what must be the same then, as text: without what changes from one try to the next, such as the time.
    """

    id: str
    said: str
    payment: Payment | Dispute


@runtime_checkable
class Provider(Protocol):
    """The functions that wait belong to one event loop, until `close`. They raise Unanswered and Refused.

    name -- in its address, /pay/<name>, and in the ledger: a-z, 0-9 and _.
    title -- its name for people.
    currency -- what is paid in. exponent -- of its minor units.
    rate -- units of the bot's currency for one of its own.
    """

    name: str
    title: str
    currency: str
    exponent: int
    rate: Decimal

    async def checkout(self, checkout: Checkout) -> str:
        """The address where it can be paid, for a day at most."""
        ...

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event | None:
        """What a POST tells; None if it tells of no payment. Connects to nothing.

        body -- as it came, byte for byte. headers -- in any case. Raises Forged if it is not the provider's.
        """
        ...

    def payments_since(self, since: float) -> AsyncIterator[Payment]:
        """Every payment that was paid or refunded since, at least. since -- seconds since 1970."""
        ...

    async def payment(self, payment_id: str) -> Payment | None:
        """How it stands now; None if there is none, or it was not paid."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@runtime_checkable
class TellsOfDisputes(Protocol):
    """A provider whose disputes can be listed too."""

    def disputes_since(self, since: float) -> AsyncIterator[Dispute]:
        """Every dispute that began since, at least, as it stands now. since -- seconds since 1970."""
        ...
