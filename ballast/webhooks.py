"""What a provider sends to an app by HTTP, and what the app makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from ballast.jobs import Job
from dbcore.errors import UsageError
from dbcore.guard.refusal import Refuse

S = TypeVar("S", bound=BaseModel)

PREFIX = "/apps"
"""Of all webhooks: the app's name and the path follow."""

PATH = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,59}){1,5}")
KEY_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class Received:
    """A job that is to be done for what a provider sent.

    key -- names the event, as the provider does, in 1 to 500 characters. What comes again under the same key is the
        same job, and is done once.
    """

    job: Job
    key: str

    def __post_init__(self) -> None:
        if not isinstance(self.job, Job):
            raise TypeError(f"expected a Job, got {type(self.job).__name__}")
        if not isinstance(self.key, str) or not 1 <= len(self.key) <= KEY_LENGTH_MAX:
            raise ValueError(f"key: expected the event's id, a text of 1 to {KEY_LENGTH_MAX} characters")


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A POST of a provider's.

    body -- as it came, byte for byte: what the signature is over.
    headers -- by their names; `Stripe-Signature` and `stripe-signature` are the same one.
    query -- what the address has behind its `?`.
    """

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False, default_factory=dict)
    own_settings: BaseModel | None = field(repr=False, default=None)
    """The app's; `app_settings` has them by their model."""

    def json(self) -> Any:
        """The body's JSON. Raises Refuse if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # the latter: brackets without end
            raise Refuse("expected JSON") from None

    def app_settings(self, model: type[S]) -> S:
        """The options of the app that it is for.

        model -- what the app has as `App(…, settings=model)`. Raises UsageError if it has another, or none.
        """
        if not isinstance(self.own_settings, model):
            raise UsageError(f"the app has no settings={model.__name__}")
        return self.own_settings


Answered = Received | None
Receiving = Callable[[WebhookRequest], Answered | Awaitable[Answered]]
