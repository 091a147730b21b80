"""The bot at Telegram, and who its admins are."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from dbcore.roles import Role
from dbcore.sentences import Refusal, sentence
from dbcore.settings.options import Section, is_http

TELEGRAM_API_URL = "https://api.telegram.org"
WEBHOOK_PORTS = frozenset({443, 80, 88, 8443})
ADMIN_ID_DIGITS_MAX = 19


def bot_id_of(token: str) -> int:
    return int(token.partition(":")[0])


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class TelegramOptions(Section):
    """The bot, how Telegram is reached and reaches it, and the admins."""

    telegram_bot_token: SecretStr | None = None
    telegram_api_url: str = TELEGRAM_API_URL
    telegram_proxy_url: SecretStr | None = None
    telegram_webhook_url: str | None = None
    telegram_webhook_secret: SecretStr | None = None
    admin_ids: Annotated[frozenset[int], NoDecode] = frozenset()
    admin_roles: Annotated[Mapping[int, Role], NoDecode] = {}

    @field_validator("telegram_bot_token")
    @classmethod
    def _token_shape(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[0-9]{1,16}:[A-Za-z0-9_-]+", value.get_secret_value()):
            raise Refusal(sentence("expected a bot token such as 123456:ABC-DEF, as BotFather gives it"))
        return value

    @field_validator("telegram_api_url", "telegram_webhook_url")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        if value is not None and not is_http(value):
            raise Refusal(sentence("expected http://host:port or https://host"))
        return None if value is None else value.rstrip("/")

    @field_validator("telegram_proxy_url")
    @classmethod
    def _http_proxy_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_http(value.get_secret_value()):
            raise Refusal(
                sentence("expected http://user:password@host:port, or https:// to a proxy behind TLS")
            )
        return value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _secret_alphabet(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value.get_secret_value()):
            raise Refusal(
                sentence("expected 1 to 256 characters of A-Z a-z 0-9 _ - (Telegram allows no others)")
            )
        return value

    @field_validator("admin_ids", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not all(
            part.isascii() and part.isdecimal() and len(part) <= ADMIN_ID_DIGITS_MAX for part in parts
        ):
            raise Refusal(sentence("expected Telegram user ids, comma separated, such as 12345,67890"))
        return frozenset(int(part) for part in parts)

    @field_validator("admin_roles", mode="before")
    @classmethod
    def _roles_of_ids(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        if not all(
            re.fullmatch(rf"[0-9]{{1,{ADMIN_ID_DIGITS_MAX}}}", who) and role in {*Role}
            for who, _, role in pairs
        ):
            raise Refusal(
                sentence(
                    "expected Telegram user ids, each with a colon and one of {roles}, comma separated, such as "
                    "{example}",
                    roles=", ".join(Role),
                    example="12345:support,67890:treasurer",
                )
            )
        if len({int(who) for who, _, _ in pairs}) < len(pairs):
            raise Refusal(sentence("expected one role for each Telegram user id"))
        return {int(who): Role(role) for who, _, role in pairs}

    @model_validator(mode="after")
    def _webhook_that_telegram_takes(self) -> Self:
        """A Bot API server of one's own takes what Telegram does not: any port, http and private addresses."""
        if self.telegram_webhook_url is None or self.telegram_api_url != TELEGRAM_API_URL:
            return self
        parts = urlsplit(self.telegram_webhook_url)
        objection = None
        if parts.scheme != "https":
            objection = sentence("Telegram delivers by https:// only")
        elif (parts.port or 443) not in WEBHOOK_PORTS:
            objection = sentence("Telegram delivers to the ports 443, 80, 88 and 8443 only")
        elif _is_private(parts.hostname or ""):
            objection = sentence("Telegram cannot reach a private address")
        if objection is not None:
            raise Refusal(
                sentence(
                    "TELEGRAM_WEBHOOK_URL: {objection}; got {value}. With a Bot API server of your own, set "
                    "TELEGRAM_API_URL too",
                    objection=objection,
                    value=repr(self.telegram_webhook_url),
                )
            )
        return self

    @model_validator(mode="after")
    def _webhook_secret_from_token(self) -> Self:
        """All frontends behind one webhook must expect the same secret: unset, it is derived, not drawn."""
        if self.telegram_webhook_url and self.telegram_webhook_secret is None and self.telegram_bot_token:
            digest = hmac.new(
                self.telegram_bot_token.get_secret_value().encode(), b"ballast webhook secret", hashlib.sha256
            ).hexdigest()
            object.__setattr__(self, "telegram_webhook_secret", SecretStr(digest))
        return self

    @property
    def bot_id(self) -> int | None:
        token = self.telegram_bot_token
        return None if token is None else bot_id_of(token.get_secret_value())

    @property
    def operator_ids(self) -> list[int]:
        """Telegram ids of all who have a role by the settings, in order."""
        return sorted({*self.admin_ids, *self.admin_roles})

    def role_of(self, telegram_id: int) -> Role | None:
        """What they are in the chat and on the page; None for who is no operator."""
        return self.admin_roles.get(telegram_id, Role.OWNER if telegram_id in self.admin_ids else None)
