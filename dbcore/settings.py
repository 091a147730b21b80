"""Every option of Ballast, read once from the environment.

Entry points call `load_settings()` and hand the result on; nothing else reads the environment. Values come
from, strongest first: environment variables, `.env` in the current folder, `.ballast/running.env` (written by
`make run` while its embedded servers are up, so that `python -m dbcore audit` and `celery -A workers …` in a
second terminal find them).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

RUNNING_ENV_FILE = ".ballast/running.env"

_DATABASE_URL = re.compile(
    r"postgresql\+psycopg2://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?]+\]|[^/:?]+)?(?::\d+)?(?:[/?].*)?", re.DOTALL
)
"""As SQLAlchemy takes it apart. It fails over a port that is no number, and shows it: a password's end, after an @."""


TELEGRAM_API_URL = "https://api.telegram.org"
WEBHOOK_PORTS = frozenset({443, 80, 88, 8443})


class SettingsError(Exception):
    """An option has a value Ballast cannot work with. The message names option, expectation and what came."""


def psycopg2_url(url: str) -> str:
    """Accept what hosting companies hand out (`postgres://`) and name the driver that Ballast pins.

    SQLAlchemy 2.1 resolves a bare `postgresql://` to psycopg 3.
    """
    return re.sub(r"^(postgres|postgresql)://", "postgresql+psycopg2://", url)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def bot_id_of(token: str) -> int:
    return int(token.partition(":")[0])


class Settings(BaseSettings):
    """One attribute an option; the option's name is the attribute's in capitals. See docs/settings.md."""

    model_config = SettingsConfigDict(
        env_file=(RUNNING_ENV_FILE, ".env"),
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=False,
    )

    database_url: Annotated[SecretStr | None, Field(description="PostgreSQL; unset: the embedded one")] = None
    db_pool_size: Annotated[int, Field(ge=1, le=100)] = 3
    db_max_overflow: Annotated[int, Field(ge=0, le=100)] = 5
    db_pool_recycle_seconds: Annotated[int, Field(ge=1)] = 600
    db_connection_budget: Annotated[int | None, Field(ge=1, le=100_000)] = None
    db_deadline_seconds: Annotated[float, Field(gt=0, le=300)] = 5.0

    redis_url: Annotated[SecretStr | None, Field(description="Redis; unset: the embedded one")] = None

    redis_mode: Literal["responsive", "thrifty"] = "responsive"

    telegram_bot_token: SecretStr | None = None
    telegram_api_url: str = TELEGRAM_API_URL
    telegram_proxy_url: SecretStr | None = None
    telegram_webhook_url: str | None = None
    telegram_webhook_secret: SecretStr | None = None
    admin_ids: Annotated[frozenset[int], NoDecode] = frozenset()

    ops_host: str = "127.0.0.1"
    ops_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    ops_token: SecretStr | None = None
    flower_port: Annotated[int, Field(ge=1, le=65535)] = 5555
    flower_basic_auth: SecretStr | None = None
    simulator_port: Annotated[int, Field(ge=1, le=65535)] = 8081

    health_probe_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    health_probe_mode: Literal["always", "thrifty"] = "always"
    quota_compute_hours: Annotated[float | None, Field(gt=0)] = None
    quota_renews_on_day: Annotated[int, Field(ge=1, le=28)] = 1
    quota_sleeps_after_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    currency: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,11}$")] = "CREDIT"
    currency_exponent: Annotated[int, Field(ge=0, le=8)] = 2

    @field_validator("admin_ids", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not all(part.isdecimal() for part in parts):
            raise ValueError("expected Telegram user ids, comma separated, such as 12345,67890")
        return frozenset(int(part) for part in parts)

    @field_validator("database_url")
    @classmethod
    def _postgresql_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = psycopg2_url(value.get_secret_value())
        if not _DATABASE_URL.fullmatch(url):
            raise ValueError(
                "expected postgresql://user:password@host:port/database, an @ in the password written %40"
            )
        if "\0" in unquote(url):
            raise ValueError(
                "expected postgresql://user:password@host:port/database without %00, which no part of it can hold"
            )
        return SecretStr(url)

    @field_validator("redis_url")
    @classmethod
    def _redis_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss"}:
            raise ValueError("expected redis://:password@host:port/database, or rediss:// with TLS")
        return value

    @field_validator("telegram_api_url", "telegram_webhook_url")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected http://host:port or https://host")
        return value.rstrip("/")

    @field_validator("telegram_proxy_url")
    @classmethod
    def _http_proxy_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("expected http://user:password@host:port, or https:// to a proxy behind TLS")
        return value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _secret_alphabet(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value.get_secret_value()):
            raise ValueError("expected 1 to 256 characters of A-Z a-z 0-9 _ - (Telegram allows no others)")
        return value

    @field_validator("telegram_bot_token")
    @classmethod
    def _token_shape(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", value.get_secret_value()):
            raise ValueError("expected a bot token such as 123456:ABC-DEF, as BotFather gives it")
        return value

    @model_validator(mode="after")
    def _webhook_that_telegram_takes(self) -> Self:
        """A Bot API server of one's own takes what Telegram does not: any port, http and private addresses."""
        if self.telegram_webhook_url is None or self.telegram_api_url != TELEGRAM_API_URL:
            return self
        parts = urlsplit(self.telegram_webhook_url)
        objection = None
        if parts.scheme != "https":
            objection = "Telegram delivers by https:// only"
        elif (parts.port or 443) not in WEBHOOK_PORTS:
            objection = "Telegram delivers to the ports 443, 80, 88 and 8443 only"
        elif _is_private(parts.hostname or ""):
            objection = "Telegram cannot reach a private address"
        if objection is not None:
            raise ValueError(
                f"TELEGRAM_WEBHOOK_URL: {objection}; got {self.telegram_webhook_url!r}. "
                "With a Bot API server of your own, set TELEGRAM_API_URL too"
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

    def require(self, option: Literal["database_url", "redis_url", "telegram_bot_token"]) -> str:
        """The value of an option this process cannot do without, in clear.

        Raises SettingsError where it is unset.
        """
        value: SecretStr | None = getattr(self, option)
        if value is None:
            raise SettingsError(
                f"{option.upper()} is not set, and no `make run` is up in this folder to take it from. "
                f"Set {option.upper()}, or start the embedded servers by `make run`."
            )
        return value.get_secret_value()


def load_settings() -> Settings:
    """Read the environment.

    Raises SettingsError with one line per bad option: its name, what was expected and what came; secrets stay
    hidden.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_one_line(item) for item in error.errors())) from None


def _one_line(item: object) -> str:
    assert isinstance(item, dict)  # noqa: S101  pydantic's ErrorDetails is a TypedDict
    if not item["loc"]:  # of several options together: the message names them
        return str(item["msg"]).removeprefix("Value error, ")
    option = str(item["loc"][0])
    field = Settings.model_fields.get(option)
    came = repr(item["input"])
    if field is not None and "SecretStr" in str(field.annotation):
        came = "a value that is not shown, being a secret"
    return f"{option.upper()}: {str(item['msg']).removeprefix('Value error, ')}; got {came}"
