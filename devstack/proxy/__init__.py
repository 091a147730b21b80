"""A proxy that breaks the connection to PostgreSQL or Redis on purpose, at the message it is told to.

    client ──▶ FaultProxy ──▶ server
                 │ each message is seen, counted, and held against the rules
                 └ Rule(On(...), Cut() | Answer(...) | Silence() | Delay(...), times=...)

For tests, benchmarks and the chaos command. It knows of the PostgreSQL protocol what it needs: where messages
begin and end, which statement they belong to, and how an error is told.
"""

from __future__ import annotations

from devstack.proxy.frozen import frozen, frozen_server, state_of
from devstack.proxy.proxy import FaultProxy
from devstack.proxy.rules import Answer, Cut, Delay, Fault, On, Placed, Rule, ServerError, Silence
from devstack.proxy.wire import Message, Side, Wire

__all__ = [
    "Answer",
    "Cut",
    "Delay",
    "Fault",
    "FaultProxy",
    "Message",
    "On",
    "Placed",
    "Rule",
    "ServerError",
    "Side",
    "Silence",
    "Wire",
    "frozen",
    "frozen_server",
    "state_of",
]
