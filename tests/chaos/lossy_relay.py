"""A relay before Redis that swallows the answer to one push: the message has landed, and its sender is told nothing."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 65536


@contextmanager
def lossy_relay(redis_port: int) -> Iterator[tuple[int, threading.Event]]:
    """A port to use in place of Redis's, and the event that arms it: it steals once and disarms itself."""
    armed = threading.Event()

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", redis_port)) as server:
                client: socket.socket = self.request
                stealing = False
                while True:
                    for ready in select.select([client, server], [], [])[0]:
                        data = ready.recv(CHUNK)
                        if not data or (stealing and ready is server):  # the answer: Redis has it
                            return
                        (server if ready is client else client).sendall(data)
                        # Celery's workers push by a script, so that a full Redis lets them.
                        if ready is client and armed.is_set() and (b"LPUSH" in data or b"EVALSHA" in data):
                            armed.clear()
                            stealing = True  # a large command comes in pieces

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        thread = threading.Thread(target=relay.serve_forever, daemon=True)
        thread.start()
        yield relay.server_address[1], armed
        relay.shutdown()
        thread.join()
