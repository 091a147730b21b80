"""What a caller has done: once for its Idempotency-Key, and written down in the audit log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from ballast.texts import gettext
from bot_frontend.web.api.callers import Caller
from bot_frontend.web.api.models import REASON_LENGTH_MAX, Reason, SeenIfAny
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.refusals import key_reused, rejected, unknown_user
from dbcore import admin_actions, keys
from dbcore.admin_actions import AdminAction, RecordedAction
from dbcore.guard.engine import GuardedEngine
from dbcore.outcomes import Outcome, OutcomeStatus, RejectionReason
from dbcore.people.acts import Act, StatusOutcome

REPLAYED = "Idempotency-Replayed"
"""The header of an answer whose request took effect before."""


class Why(BaseModel):
    """What an act needs besides its target."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        str, Field(max_length=REASON_LENGTH_MAX, description="Why, for the audit log"), SeenIfAny
    ] = ""


class ReasonOrder(BaseModel):
    """An act that has to say why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


def idempotency_key(
    request: Request,
    given: Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            pattern=f"^{keys.OF_JOBS.pattern}$",
            description="Names this one request. With the same key the same request takes effect once, however often "
            "it is sent.",
        ),
    ],
) -> str:
    """A dependency. Raises Problem."""
    if len(request.headers.getlist("Idempotency-Key")) > 1:
        raise Problem(400, "bad-request", gettext("Idempotency-Key: expected one."))
    if given.startswith((*keys.RESERVED, *keys.OF_IMPORTS)):
        raise Problem(
            400,
            "bad-request",
            gettext("Idempotency-Key: expected none that begins as the ledger's own do."),
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
        return AdminAction(self._id, self.caller.actor, self.action, self.target, time.time(), self.reason)

    def was_done(self, engine: GuardedEngine) -> bool:
        """Whether it is in the audit log. Raises Problem where its key stands for another one."""
        return self.found(engine) is not None

    def found(self, engine: GuardedEngine) -> RecordedAction | None:
        """What is in the audit log of it, if it is. Raises Problem where its key stands for another one."""
        known = admin_actions.find(engine, self._id)
        if known is None:
            return None
        if (known.actor, known.action, known.target) != (self.caller.actor, self.action, self.target):
            raise Problem(
                409,
                "idempotency-key-reused",
                gettext(
                    "This Idempotency-Key came before, for {action} of {target}.",
                    action=known.action,
                    target=known.target,
                ),
            )
        return known


def act_of(key: str, caller: Caller, reason: str) -> Act:
    """An act on people or money, which sees to its key by itself."""
    return Act(key, caller.actor, reason, time.time())


def outcome_of(outcome: Outcome | StatusOutcome, response: Response, *, of_user: int | None = None) -> None:
    """Say whether it is a repetition. Raises Problem for what was refused.

    of_user -- whom the path names.
    """
    match outcome.reason:
        case None:
            if outcome.status is OutcomeStatus.REPLAYED:
                response.headers[REPLAYED] = "true"
        case RejectionReason.KEY_REUSED:
            raise key_reused()
        case RejectionReason.UNKNOWN_USER if of_user is not None:
            raise unknown_user(of_user)
        case reason:
            raise rejected(reason)
