"""A server's port that stops in the middle of what is said: whoever speaks by it can be killed right there."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CHUNK = 65_536


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

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", server_port)) as server:
                client: socket.socket = self.request
                holds = False
                while True:
                    for ready in select.select([client, server], [], [])[0]:
                        try:
                            data = ready.recv(CHUNK)
                        except ConnectionResetError:
                            return
                        if not data:
                            return
                        is_it = hold.command and hold.command in data and hold.about in data
                        if ready is client and is_it:
                            holds = hold.skip <= 0
                            hold.skip -= 1
                        if holds and (ready is client) == (hold.what == "request"):
                            hold.reached.set()
                            continue
                        (server if ready is client else client).sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield relay.server_address[1], hold
        relay.shutdown()
