"""The callback data of Ballast's own buttons: how each is written, beside the pattern by which it is read.

Buttons stay in people's chats: what one release writes, all later ones read. Telegram takes 64 bytes.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from dbcore.currencies import CODE

CONFIRM = "c"
CANCEL = "x"

# Release 0.1 wrote no owner, and its frontend, which is updated last, takes it for the token's end. See CardToken.
_CARD = r"(?P<token>[\w-]{16}(?=-[1-9])|[\w-]{1,60})(?:-(?P<owner>[1-9]\d{0,15}))?"
_DECISION = rf"(?P<decision>[{CONFIRM}{CANCEL}]):{_CARD}"

TRANSFER = re.compile(_DECISION)
ADJUSTMENT = re.compile("a" + _DECISION)
REFUND = re.compile("r" + _DECISION)
HISTORY = re.compile(rf"h:(?P<owner>\d{{1,16}}):(?P<version>[1-9]\d{{0,15}})(?::(?P<currency>{CODE}))?")
BROADCAST_CARD = re.compile(r"b:(?P<id>[1-9]\d{0,17}):(?P<what>[a-z]{1,16})(?::(?P<shown>[0-9a-f]{1,16}))?")
LANGUAGE = re.compile(r"l:(?P<owner>[1-9]\d{0,15}):(?P<language>[A-Za-z_]{2,12}|-)")
DEPOSIT = re.compile(r"s:(?P<owner>[1-9]\d{0,15}):(?P<stars>[1-9]\d{0,4})")
CHECKOUT = re.compile(
    r"p:(?P<owner>[1-9]\d{0,15}):(?P<provider>[a-z][a-z0-9_]{0,19}):(?P<amount>[1-9]\d{0,14})"
)
TIME_ZONE = re.compile(r"z:(?P<owner>[1-9]\d{0,15}):(?P<zone>[A-Za-z0-9_+/-]{1,44})")
APP = re.compile(r"j:(?P<token>[0-9a-f]{32})")


def _without_owner(token: str) -> str:
    card = re.fullmatch(_CARD, token)
    return token if card is None else card["token"]


CardToken = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_without_owner)]
"""The token of a card, in a job."""


def transfer(decision: str, token: str, owner_id: int) -> str:
    """decision -- CONFIRM or CANCEL. owner_id -- the Telegram id of the one person who may press it."""
    return f"{decision}:{token}-{owner_id}"


def adjustment(decision: str, token: str, owner_id: int) -> str:
    """As of a transfer; owner_id is the admin's."""
    return f"a{transfer(decision, token, owner_id)}"


def refund(decision: str, token: str, owner_id: int) -> str:
    """As of a transfer; owner_id is the admin's, or the payer's."""
    return f"r{transfer(decision, token, owner_id)}"


def history(owner_id: int, version: int, currency: str | None = None) -> str:
    """version -- of the account, up to which entries are shown. currency -- None for the first."""
    return f"h:{owner_id}:{version}" if currency is None else f"h:{owner_id}:{version}:{currency}"


def language(owner_id: int, chosen: str | None) -> str:
    """chosen -- None for what Telegram says."""
    return f"l:{owner_id}:{chosen or '-'}"


def time_zone(owner_id: int, chosen: str | None) -> str:
    """chosen -- None for that of TIMEZONE."""
    return f"z:{owner_id}:{chosen or '-'}"


def broadcast_card(broadcast_id: int, what: str, shown: str | None = None) -> str:
    """what -- a CardButton or a CardQuestion. shown -- the draft's fingerprint, if only that draft is to be sent."""
    return f"b:{broadcast_id}:{what}" if shown is None else f"b:{broadcast_id}:{what}:{shown}"


def deposit(owner_id: int, stars: int) -> str:
    """A package of Stars."""
    return f"s:{owner_id}:{stars}"


def checkout(owner_id: int, provider: str, amount: int) -> str:
    """A package of a provider's. amount -- minor units that it adds to the balance."""
    return f"p:{owner_id}:{provider}:{amount}"


def app(token: str) -> str:
    """token -- of the job that the button stands for (ballast/apps/buttons.py)."""
    return f"j:{token}"
