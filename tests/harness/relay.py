"""Relays before a server: one stops in the middle of what is said, so that whoever speaks by it can be killed right
there; one swallows an answer.
"""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from devstack.proxy import Side

CHUNK = 65_536


class Fate(Enum):
    """What becomes of it."""

    PASSED_ON = "passed on"
    KEPT = "kept"
    HUNG_UP = "hung up"


Judge = Callable[[Side, bytes], Fate]
"""Of one connection; asked about each piece before it goes on."""


@dataclass
class Hold:
    """The command to stop at: it has both words. `what` of it does not go on, its request or its answer, nor whatever
    follows on its connection.

    skip -- so many of them go on first.
    """

    command: bytes = b""
    about: bytes = b""
    what: str = ""
    skip: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def stop_at(self, wanted: Hold) -> None:
        """From now on at what another one says. It was not reached yet."""
        self.command, self.about, self.what, self.skip = (
            wanted.command,
            wanted.about,
            wanted.what,
            wanted.skip,
        )
        self.reached.clear()


@contextmanager
def holding_relay(server_port: int) -> Iterator[tuple[int, Hold]]:
    """A port to use in place of a server's, behind which one command never ends."""
    hold = Hold()

    def of_a_connection() -> Judge:
        holds = False

        def judge(side: Side, piece: bytes) -> Fate:
            nonlocal holds
            if side is Side.CLIENT and hold.command and hold.command in piece and hold.about in piece:
                holds = hold.skip <= 0
                hold.skip -= 1
            if not holds or (side is Side.CLIENT) != (hold.what == "request"):
                return Fate.PASSED_ON
            hold.reached.set()
            return Fate.KEPT

        return judge

    with _relay(server_port, of_a_connection) as port:
        yield port, hold


@contextmanager
def lossy_relay(redis_port: int) -> Iterator[tuple[int, threading.Event]]:
    """A port to use in place of Redis's, and the event that arms it: once, the answer to a push is swallowed. The
    message has landed, and its sender is told nothing.
    """
    armed = threading.Event()

    def of_a_connection() -> Judge:
        steals = False

        def judge(side: Side, piece: bytes) -> Fate:
            nonlocal steals
            if side is Side.SERVER:
                return Fate.HUNG_UP if steals else Fate.PASSED_ON
            # Celery's workers push by a script, so that a full Redis lets them. A large command comes in pieces.
            if armed.is_set() and (b"LPUSH" in piece or b"EVALSHA" in piece):
                armed.clear()
                steals = True
            return Fate.PASSED_ON

        return judge

    with _relay(redis_port, of_a_connection) as port:
        yield port, armed


@contextmanager
def _relay(server_port: int, judge_of_a_connection: Callable[[], Judge]) -> Iterator[int]:
    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            judge = judge_of_a_connection()
            client: socket.socket = self.request
            with socket.create_connection(("127.0.0.1", server_port)) as server:
                while True:
                    for ready in select.select([client, server], [], [])[0]:
                        try:
                            piece = ready.recv(CHUNK)
                        except ConnectionResetError:
                            return
                        if not piece:
                            return
                        match judge(Side.CLIENT if ready is client else Side.SERVER, piece):
                            case Fate.HUNG_UP:
                                return
                            case Fate.PASSED_ON:
                                (server if ready is client else client).sendall(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield relay.server_address[1]
        relay.shutdown()
