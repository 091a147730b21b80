"""What a caller has done: once for its Idempotency-Key, and written down in the audit log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from bot_frontend.web.api.callers import Caller
from bot_frontend.web.api.problems import Problem
from dbcore import admin_actions, keys
from dbcore.admin_actions import AdminAction
from dbcore.guard.engine import GuardedEngine

REASON_LENGTH_MAX = 200

REPLAYED = "Idempotency-Replayed"
"""The header of an answer whose request took effect before."""


class Why(BaseModel):
    """What an act needs besides its target."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=REASON_LENGTH_MAX, description="Why, for the audit log")


def idempotency_key(
    request: Request,
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Names this one request: 1 to 64 letters, digits or any of . _ : - . With the same key the "
            "same request takes effect once, however often it is sent.",
        ),
    ] = None,
) -> str:
    """A dependency. Raises Problem where the key is missing or cannot be one."""
    if given is None:
        raise Problem(400, "idempotency-key-missing", "Expected the header Idempotency-Key.")
    if not keys.OF_JOBS.fullmatch(given) or len(request.headers.getlist("Idempotency-Key")) > 1:
        raise Problem(
            400, "bad-request", "Idempotency-Key: expected 1 to 64 letters, digits or any of . _ : -"
        )
    if given.startswith((*keys.RESERVED, *keys.OF_IMPORTS)):
        raise Problem(
            400, "bad-request", "Idempotency-Key: expected none that begins as the ledger's own do."
        )
    return given


@dataclass(frozen=True, slots=True)
class Order:
    """One act, as its caller asked for it. target -- what it is about."""

    caller: Caller
    key: str
    action: str
    target: str
    reason: str = ""

    @property
    def _id(self) -> str:
        return f"{self.action} {self.key}"

    def for_the_audit_log(self) -> AdminAction:
        return AdminAction(self._id, self.caller.actor, self.action, self.target, time.time())

    def was_done(self, engine: GuardedEngine) -> bool:
        """Whether it is in the audit log. Raises Problem where its key stands for another one."""
        known = admin_actions.find(engine, self._id)
        if known is None:
            return False
        if (known.actor, known.action, known.target) != (self.caller.actor, self.action, self.target):
            raise Problem(
                422,
                "idempotency-key-reused",
                f"This Idempotency-Key came before, for {known.action} of {known.target}.",
            )
        return True
