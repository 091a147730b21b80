"""Where events are sent to."""

from __future__ import annotations

import base64
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from dbcore.sentences import Refusal, sentence
from dbcore.settings.options import Section, is_http


class EventOptions(Section):
    """Signed events out."""

    events_url: SecretStr | None = None
    events_secret: SecretStr | None = None
    events_keep_days: Annotated[int, Field(ge=1, le=365)] = 7

    @field_validator("events_url")
    @classmethod
    def _receiver(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_http(value.get_secret_value()):
            raise Refusal(sentence("expected http://… or https://…, where events are sent to"))
        return value

    @field_validator("events_secret")
    @classmethod
    def _of_standard_webhooks(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not 24 <= len(_event_secret(value)) <= 64:
            raise Refusal(
                sentence(
                    "expected whsec_ and 24 to 64 bytes in base64; {command} draws such a one",
                    command="echo whsec_$(openssl rand -base64 32)",
                )
            )
        return value

    @model_validator(mode="after")
    def _events_are_signed(self) -> Self:
        if self.events_url is not None and self.events_secret is None:
            raise Refusal(
                sentence("EVENTS_SECRET: expected one beside EVENTS_URL: events are signed with it")
            )
        return self

    @property
    def events_secret_bytes(self) -> bytes:
        """What EVENTS_SECRET stands for; empty without one."""
        return b"" if self.events_secret is None else _event_secret(self.events_secret)


def _event_secret(value: SecretStr) -> bytes:
    """Empty for what is none."""
    prefix, _, encoded = value.get_secret_value().partition("whsec_")
    try:
        return b"" if prefix else base64.b64decode(encoded, validate=True)
    except ValueError:
        return b""
