"""Faults on order: what the bot's next requests meet instead of, before or after being served.

| kind | what the bot sees | took effect |
|---|---|---|
| flood | 429 with parameters.retry_after | no |
| blocked, deactivated, kicked, not_member, group_deleted, cannot_initiate | 403 in Telegram's words | no |
| chat_not_found, peer_id_invalid, migrated, bad_request | 400; `migrated` with its parameter | no |
| internal, bad_gateway, unavailable, gateway_timeout | 500, 502, 503, 504 | no |
| error | `error_code`, `description`, `parameters` as given | no |
| latency | the ordinary answer, `seconds` later | yes |
| hang | nothing for `seconds` (or until cleared), then a reset | `when`: before = no, after = yes |
| reset | the connection is reset | `when`: before = no, after = yes |
| outage | every connection is reset, whatever was asked | no |
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

from devstack.telegram.errors import ApiError, ControlError

ERRORS: dict[str, tuple[int, str]] = {
    "blocked": (403, "Forbidden: bot was blocked by the user"),
    "deactivated": (403, "Forbidden: user is deactivated"),
    "kicked": (403, "Forbidden: bot was kicked from the supergroup chat"),
    "not_member": (403, "Forbidden: bot is not a member of the supergroup chat"),
    "group_deleted": (403, "Forbidden: the group chat was deleted"),
    "cannot_initiate": (403, "Forbidden: bot can't initiate conversation with a user"),
    "chat_not_found": (400, "Bad Request: chat not found"),
    "peer_id_invalid": (400, "Bad Request: PEER_ID_INVALID"),
    "bad_request": (400, "Bad Request: wrong payload"),
    "internal": (500, "Internal Server Error"),
    "bad_gateway": (502, "Bad Gateway"),
    "unavailable": (503, "Service Unavailable"),
    "gateway_timeout": (504, "Gateway Timeout"),
}
KINDS = (*ERRORS, "flood", "migrated", "error", "latency", "hang", "reset", "outage")


@dataclass(slots=True)
class Fault:
    """One order. `methods` and `chat_id` narrow it, `skip` lets that many pass first, `count` bounds it."""

    kind: str
    methods: list[str] = field(default_factory=list)
    chat_id: int | None = None
    count: int | None = None
    skip: int = 0
    when: str = "before"
    seconds: float | None = None
    retry_after: int = 1
    migrate_to_chat_id: int | None = None
    error_code: int = 400
    description: str | None = None
    parameters: dict[str, Any] | None = None
    id: int = 0
    hits: int = 0

    def matches(self, method: str, chat_id: int | None) -> bool:
        if self.methods and method.lower() not in (name.lower() for name in self.methods):
            return False
        return self.chat_id is None or self.chat_id == chat_id

    def error(self) -> ApiError | None:
        """The answer this fault gives, when it gives one."""
        if self.kind == "flood":
            words = self.description or f"Too Many Requests: retry after {self.retry_after}"
            return ApiError(429, words, {"retry_after": self.retry_after})
        if self.kind == "migrated":
            words = self.description or "Bad Request: group chat was upgraded to a supergroup chat"
            return ApiError(400, words, {"migrate_to_chat_id": self.migrate_to_chat_id})
        if self.kind == "error":
            return ApiError(self.error_code, self.description or "Bad Request", self.parameters)
        if self.kind in ERRORS:
            code, words = ERRORS[self.kind]
            return ApiError(code, self.description or words, self.parameters)
        return None

    def described(self) -> dict[str, Any]:
        return asdict(self)


class Faults:
    """The orders in force, kept in memory: a restarted server is well again."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._next_id = 1
        self._cleared: dict[int, asyncio.Event] = {}

    def add(self, order: dict[str, Any]) -> Fault:
        fault = _read(order)
        fault.id = self._next_id
        self._next_id += 1
        self._faults[fault.id] = fault
        self._cleared[fault.id] = asyncio.Event()
        return fault

    def all(self) -> list[Fault]:
        return list(self._faults.values())

    def clear(self, fault_id: int | None = None) -> int:
        """Take back one order, or all; requests that hang on it go on. Returns how many."""
        ids = list(self._faults) if fault_id is None else [fault_id] if fault_id in self._faults else []
        for each in ids:
            del self._faults[each]
            self._cleared.pop(each).set()
        return len(ids)

    def take(self, method: str, chat_id: int | None) -> list[Fault]:
        """The faults this request meets: all delays, and the first of the others."""
        met: list[Fault] = []
        decided = False
        for fault in self.all():
            if not fault.matches(method, chat_id) or (decided and fault.kind != "latency"):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.count is not None:
                if fault.count <= 0:
                    continue
                fault.count -= 1
            fault.hits += 1
            decided = decided or fault.kind != "latency"
            met.append(fault)
        return met

    async def until_cleared(self, fault: Fault, seconds: float | None) -> None:
        """Wait out a hang: `seconds` long, or until the order is taken back."""
        cleared = self._cleared.get(fault.id)
        if cleared is None:
            return
        try:
            await asyncio.wait_for(cleared.wait(), seconds)
        except TimeoutError:
            return


def _read(order: dict[str, Any]) -> Fault:
    kind = order.get("kind")
    if kind not in KINDS:
        raise ControlError(400, f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    known = set(Fault.__dataclass_fields__) - {"id", "hits"}
    given = dict(order)
    method = given.pop("method", None)
    if method is not None:
        given["methods"] = [method]
    unknown = sorted(set(given) - known)
    if unknown:
        raise ControlError(400, f"a fault has no {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    fault = Fault(**given)
    if fault.when not in ("before", "after"):
        raise ControlError(400, f"when: expected before or after, got {fault.when!r}")
    if fault.kind == "latency" and fault.seconds is None:
        raise ControlError(400, "seconds: a latency needs a duration")
    if fault.kind == "migrated" and fault.migrate_to_chat_id is None:
        raise ControlError(400, "migrate_to_chat_id: a migration needs the new chat's id")
    return fault
