"""The pages of operators, the API and Flower."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from dbcore.sentences import Refusal, sentence
from dbcore.settings.options import Section

OPS_TOKEN_LENGTH_MIN = 16


class OpsOptions(Section):
    """Where pages are served, and to whom."""

    ops_host: str = "127.0.0.1"
    ops_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    ops_token: SecretStr | None = None
    public_status: bool = False
    api_requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    trusted_proxies: str = "127.0.0.1,::1"
    flower_port: Annotated[int, Field(ge=1, le=65535)] = 5555
    flower_basic_auth: SecretStr | None = None
    simulator_port: Annotated[int, Field(ge=1, le=65535)] = 8081

    @field_validator("ops_host")
    @classmethod
    def _host(cls, value: str) -> str:
        labels = value.split(".")
        if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", value) or not all(
            0 < len(label) < 64 for label in labels
        ):
            raise Refusal(sentence("expected an address of this machine, such as 127.0.0.1 or ::1"))
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        try:
            for part in parts:
                ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise Refusal(
                sentence("expected addresses or networks, comma separated, such as 127.0.0.1,10.0.0.0/8")
            ) from None
        return ",".join(parts)

    @field_validator("ops_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < OPS_TOKEN_LENGTH_MIN:
            raise Refusal(
                sentence(
                    "expected at least {number} characters; `{command}` draws such a one",
                    number=OPS_TOKEN_LENGTH_MIN,
                    command="openssl rand -hex 24",
                )
            )
        return value

    @field_validator("flower_basic_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(
            re.fullmatch("[^:]+:.+", pair) for pair in value.get_secret_value().split(",")
        ):
            raise Refusal(sentence("expected user:password, or several of them, comma separated"))
        return value

    @model_validator(mode="after")
    def _listen_as_the_platform_says(self) -> Self:
        """PORT is what Heroku, Railway, Render and Cloud Run set, and they ask from outside. All addresses only where a
        token guards the pages: a PORT may stand in anybody's shell.
        """
        if self.port is not None and "ops_port" not in self.model_fields_set:
            object.__setattr__(self, "ops_port", self.port)
            if "ops_host" not in self.model_fields_set and self.ops_token is not None:
                object.__setattr__(self, "ops_host", "0.0.0.0")  # noqa: S104  as decided above
        return self
