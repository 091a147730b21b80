"""The proxy: a listener and an event loop in a thread of its own, with rules that may change at any time."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar
from urllib.parse import quote

from devstack.proxy.rules import Fault, Placed, Rule
from devstack.proxy.session import Session
from devstack.proxy.wire import Message, Side, Wire, statement_of

T = TypeVar("T")

_HOST = "127.0.0.1"
_REMEMBERED_MAX = 100_000
_ANSWER_SECONDS_MAX = 30.0


class FaultProxy:
    """Between clients and one server. `with FaultProxy("127.0.0.1", 5432) as proxy: connect(proxy.url_of("app"))`.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        port: int = 0,
        wire: Wire = Wire.POSTGRES,
        login: str = "",
        tls: ssl.SSLContext | None = None,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        """port -- 0: a free one, known after `start`.

        login -- `user:password` for `url` and `url_of`, as a URL has it. tls -- what a PostgreSQL client
            that asks for encryption gets; default: no encryption. Never used towards the server.
        on_message -- told of each message, in the proxy's thread.
        """
        self.target = (target_host, target_port)
        self.port = port
        self.wire = wire
        self._login = f"{login}@" if login else ""
        self.tls = tls
        self._on_message = on_message
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._listener: asyncio.Server | None = None
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._lock = threading.Lock()
        self._placed: list[Placed] = []
        self._accepted_ever = 0  # numbers the connections, also across `forget`
        self._forgotten = 0
        self._messages: deque[Message] = deque(maxlen=_REMEMBERED_MAX)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._thread.start()
        try:
            self.accept()
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop listening and end every connection. Stopped already is fine."""
        if self._loop.is_closed():
            return
        self.refuse()
        self.sever()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- what is to go wrong

    def add(self, rule: Rule) -> Placed:
        """From now on. Of several rules for one message, the one added first happens."""
        placed = Placed(rule)
        with self._lock:
            self._placed.append(placed)
        return placed

    def remove(self, placed: Placed) -> None:
        """Take one rule off. Taken off already is fine."""
        with self._lock:
            self._placed = [other for other in self._placed if other is not placed]

    def clear(self) -> None:
        """Take all rules off. What is silent stays silent; what is cut stays cut."""
        with self._lock:
            self._placed.clear()

    def refuse(self) -> None:
        """Close the listener: who connects is refused by the kernel. Connections that are up stay up."""
        self._do(self._close_listener())

    def accept(self) -> None:
        """Listen, again after `refuse`, on the same port."""
        self._do(self._open_listener())

    def sever(self, *, reset: bool = False) -> None:
        """End every connection now. Returns when they have ended."""
        self._do(self._sever(reset=reset))

    # --- what passed

    @property
    def connections(self) -> int:
        """How many came in, whatever became of them."""
        with self._lock:
            return self._accepted_ever - self._forgotten

    @property
    def connections_open(self) -> int:
        return len(self._sessions)

    def messages(self) -> list[Message]:
        """What was seen, in order, also what then did not pass; the last hundred thousand."""
        with self._lock:
            return list(self._messages)

    def statements(self, part: str = "") -> list[str]:
        """The SQL that clients sent, in order; only what contains `part`."""
        return [
            message.statement
            for message in self.messages()
            if message.side is Side.CLIENT
            and part in message.statement
            and statement_of(message.kind, message.data) is not None
        ]

    def count(self, kind: str) -> int:
        """How many messages of a kind clients sent: `Startup` is a login, tried or done."""
        return sum(message.side is Side.CLIENT and message.kind == kind for message in self.messages())

    def forget(self) -> None:
        """Start counting anew. The numbers of connections and messages go on."""
        with self._lock:
            self._forgotten = self._accepted_ever
            self._messages.clear()

    @property
    def url(self) -> str:
        """Where a client finds us, without a database: for Redis `{url}/0`."""
        scheme = "postgresql" if self.wire is Wire.POSTGRES else "redis"
        return f"{scheme}://{self._login}{_HOST}:{self.port}"

    def url_of(self, database: str) -> str:
        """A PostgreSQL database through us."""
        return f"{self.url}/{quote(database)}"

    # --- in the loop

    def judge(self, message: Message) -> Fault | None:
        """Note the message, and say what happens to it."""
        with self._lock:
            self._messages.append(message)
            fault = next((fault for placed in self._placed if (fault := placed.take(message))), None)
        if self._on_message is not None:
            self._on_message(message)
        return fault

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_ANSWER_SECONDS_MAX)

    async def _open_listener(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accepted, _HOST, self.port, reuse_address=True)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._lock:
            self._accepted_ever += 1
            number = self._accepted_ever
        session = Session(
            number, reader, writer, target=self.target, wire=self.wire, judge=self.judge, tls=self.tls
        )
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  asyncio runs this callback as a task
        self._sessions[session] = task
        try:
            await session.run()
        finally:
            del self._sessions[session]

    async def _sever(self, *, reset: bool) -> None:
        tasks = list(self._sessions.values())
        for session in list(self._sessions):
            session.end(reset=reset)
        if tasks:
            await asyncio.wait(tasks)
