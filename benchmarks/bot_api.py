"""`python -m benchmarks.bot_api --port 8083`: as little of a Bot API server as bots need, so that they are measured.

It hands over updates by getUpdates, takes what is sent, and knows who still waits for an answer. Benchmarks steer it:

    POST /control/ask      {"users": [first, last], "text": "/balance"}, or "press": true for the first button of each
                           one's last message that has any; "per_second" spreads them, else all are there at once
    GET  /control/state    {"waiting": 7, "latencies": [seconds, …], "other": how many requests of other methods,
                           "taken": how many messages}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import urllib.request
from typing import Any, cast
from urllib.parse import parse_qs

from benchmarks.lean_http import Connection, ServerProcess, serve

BOT = {"id": 123456, "is_bot": True, "first_name": "Bot", "username": "bench_bot"}
UPDATES_MAX = 100
_FIXED = {
    "getMe": BOT,
    "getWebhookInfo": {"url": "", "has_custom_certificate": False, "pending_update_count": 0},
    "getMyCommands": [],
}


class _Api:
    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.next_id = int(time.time())
        self.arrived = asyncio.Event()
        self.asked_at: dict[int, float] = {}
        self.latencies: list[float] = []
        self.cards: dict[int, tuple[int, str]] = {}
        self.message_id = 1000
        self.other = 0
        self.taken = 0

    async def answer(self, path: str, body: bytes) -> Any:
        if path == "/control/ask":
            return await self._ask(json.loads(body))
        if path == "/control/state":
            found, self.latencies = self.latencies, []
            return {
                "waiting": len(self.asked_at),
                "latencies": found,
                "other": self.other,
                "taken": self.taken,
            }
        method, _, query = path.rpartition("/")[2].partition("?")
        fields = {name: values[-1] for name, values in parse_qs(query or body.decode()).items()}
        return {"ok": True, "result": await self._do(method, fields)}

    async def _do(self, method: str, fields: dict[str, str]) -> Any:
        if method == "getUpdates":
            return await self._hand_over(int(fields.get("offset", 0)), float(fields.get("timeout", 0)))
        if method in {"sendMessage", "editMessageText"}:
            self.taken += 1
            return self._take(int(fields["chat_id"]), fields)
        if method != "answerCallbackQuery":
            self.other += 1
        return _FIXED.get(method, True)

    async def _hand_over(self, offset: int, seconds: float) -> list[dict[str, Any]]:
        self.updates = [update for update in self.updates if update["update_id"] >= offset]
        if not self.updates and seconds:
            self.arrived.clear()
            try:
                await asyncio.wait_for(self.arrived.wait(), seconds)
            except TimeoutError:
                return []
        return self.updates[:UPDATES_MAX]

    def _take(self, chat_id: int, fields: dict[str, str]) -> dict[str, Any]:
        self.message_id += 1
        message_id = int(fields.get("message_id", self.message_id))
        if "reply_markup" in fields:
            keyboard = json.loads(fields["reply_markup"]).get("inline_keyboard")
            if keyboard:
                self.cards[chat_id] = (message_id, keyboard[0][0]["callback_data"])
        asked_at = self.asked_at.pop(chat_id, None)
        if asked_at is not None:
            self.latencies.append(time.perf_counter() - asked_at)
        return self._message(chat_id, message_id, fields["text"], BOT)

    @staticmethod
    def _message(chat_id: int, message_id: int, text: str, sender: dict[str, Any]) -> dict[str, Any]:
        message = {
            "message_id": message_id,
            "date": int(time.time()),
            "chat": {"id": chat_id, "type": "private", "first_name": f"P{chat_id}"},
            "from": sender,
            "text": text,
        }
        if text.startswith("/"):
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split(" ")[0])}]
        return message

    async def _ask(self, order: dict[str, Any]) -> Any:
        first, last = order["users"]
        pace = order.get("per_second")
        began = time.perf_counter()
        for number, user in enumerate(range(first, last + 1)):
            if pace:
                await asyncio.sleep(max(0.0, began + number / pace - time.perf_counter()))
            self.updates.append(self._update(user, order))
            self.asked_at[user] = time.perf_counter()
            if pace:
                self.arrived.set()
        self.arrived.set()
        return {}

    def _update(self, user: int, order: dict[str, Any]) -> dict[str, Any]:
        sender = {"id": user, "is_bot": False, "first_name": f"P{user}", "language_code": "en"}
        self.next_id += 1
        self.message_id += 1
        if not order.get("press"):
            text = order["text"].replace(
                "{next}", str(user + 1 if user < order["users"][1] else order["users"][0])
            )
            return {"update_id": self.next_id, "message": self._message(user, self.message_id, text, sender)}
        message_id, data = self.cards.pop(user)
        press = {
            "id": str(self.next_id),
            "from": sender,
            "chat_instance": "1",
            "data": data,
            "message": self._message(user, message_id, "card", BOT),
        }
        return {"update_id": self.next_id, "callback_query": press}


class _Connection(Connection):
    api: _Api

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def request(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        task = asyncio.get_running_loop().create_task(self._answer(path, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, path: str, body: bytes) -> None:
        self.respond(json.dumps(await self.api.answer(path, body)).encode())


class BotApi(ServerProcess):
    """The process, inside a `with` block."""

    def __init__(self, port: int) -> None:
        super().__init__("benchmarks.bot_api", port)

    def look(self) -> dict[str, Any]:
        return self.state()

    def ask(self, users: tuple[int, int], **order: Any) -> None:
        self._request("/control/ask", {"users": users, **order})

    def state(self) -> dict[str, Any]:
        return self._request("/control/state")

    def _request(self, path: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if order is None else json.dumps(order).encode()
        with urllib.request.urlopen(f"{self.url}{path}", data, timeout=120) as answer:  # noqa: S310  our own server
            return cast(dict[str, Any], json.loads(answer.read()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bot_api", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    _Connection.api = _Api()
    asyncio.run(serve(_Connection, parser.parse_args().port))


if __name__ == "__main__":
    main()
