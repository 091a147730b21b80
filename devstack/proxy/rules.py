"""What is to go wrong, and when: small values, to be read aloud.

Rule(On(statement="ledger_transfer"), Cut())                                   # before it reaches the server
Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut())                     # done, and nobody hears of it
Rule(On(kind="Startup"), Answer(ServerError("sorry, too many clients already", "53300", "FATAL")))
Rule(On(Side.SERVER), Delay(0.2), times=None)                                  # a slow network
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devstack.proxy import wire
from devstack.proxy.wire import Message, Side


@dataclass(frozen=True, slots=True)
class On:
    """Which messages a rule is about: those for which everything that is given here is so.

    statement -- a part of the SQL that the message carries or belongs to.
    connection, position -- as in Message.
    nth -- only from the nth of those messages on, over all connections.
    """

    side: Side = Side.CLIENT
    kind: str | None = None
    statement: str | None = None
    connection: int | None = None
    position: int | None = None
    nth: int = 1

    def fits(self, message: Message) -> bool:
        """Whether the message is one of them, `nth` apart."""
        return (
            message.side is self.side
            and self.kind in {None, message.kind}
            and self.connection in {None, message.connection}
            and self.position in {None, message.position}
            and (self.statement is None or self.statement in message.statement)
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends on both sides, after so many bytes of the message have passed.

    passing -- bytes, or a share of the message: 0 is before it, 0.5 in the middle of it, 1.0 after it.
    reset -- by RST, not FIN.
    """

    passing: int | float = 0
    reset: bool = False

    def bytes_of(self, size: int) -> int:
        """How much of a message of this size passes."""
        share = self.passing
        return min(size, int(size * share) if isinstance(share, float) else share)


@dataclass(frozen=True, slots=True)
class ServerError:
    """What a server, a pooler or a provider's proxy says. FATAL and PANIC end the connection."""

    text: str
    sqlstate: str | None = None
    severity: str = "ERROR"

    @property
    def ends(self) -> bool:
        return self.severity in {"FATAL", "PANIC"}

    def encoded(self) -> bytes:
        return wire.error_response(severity=self.severity, sqlstate=self.sqlstate, text=self.text)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of ours in place of the server's, to a client's message.

    content -- an error; or bytes as they are, after which the connection ends.
    server_does_it -- the server gets the message and does what it says, and its answer is dropped.
    ends -- end the connection afterwards; default: as the error's severity says, and always at startup.
    """

    content: ServerError | bytes
    server_does_it: bool = False
    ends: bool | None = None

    @property
    def encoded(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.encoded()

    @property
    def ends_connection(self) -> bool:
        if self.ends is not None:
            return self.ends
        return isinstance(self.content, bytes) or self.content.ends


@dataclass(frozen=True, slots=True)
class Silence:
    """From this message on nothing passes either way; the connection stays up. A client's messages are taken
    from it and lost, as in a network that drops packets.
    """


@dataclass(frozen=True, slots=True)
class Delay:
    """The message, and what comes after it on its side, waits."""

    seconds: float


Fault = Cut | Answer | Silence | Delay


@dataclass(frozen=True, slots=True)
class Rule:
    """`do` happens to the first `times` messages of `on`; None: to each."""

    on: On
    do: Fault
    times: int | None = 1


@dataclass(slots=True)
class Placed:
    """A rule in force, and how often it has struck. Belongs to the proxy's thread; others only read."""

    rule: Rule
    struck: int = 0
    _seen: int = field(default=0, repr=False)

    def take(self, message: Message) -> Fault | None:
        """The fault that is to happen to this message, counted; or None."""
        times = self.rule.times
        if (times is not None and self.struck >= times) or not self.rule.on.fits(message):
            return None
        self._seen += 1
        if self._seen < self.rule.on.nth:
            return None
        self.struck += 1
        return self.rule.do
