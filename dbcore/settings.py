"""Every option of Ballast, read once from the environment.

Entry points call `load_settings()` and hand the result on; nothing else reads the environment. Values come
from, strongest first: environment variables, `.env` in the current folder, `.ballast/running.env` (written by
`make run` while its embedded servers are up, so that `python -m dbcore audit` and `celery -A workers …` in a
second terminal find them).

White space around a value is dropped: secrets from files end in a newline. What a URL may look like is said in
dbcore/database_url.py and dbcore/redis_url.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as NotJson

from dbcore.currencies import STARS_MAX, Currencies, Currency, further_currencies, require_different
from dbcore.database_url import read_database_url
from dbcore.expectations import expectation
from dbcore.misspelt import misspelt
from dbcore.money import MAX_AMOUNT, minor_units
from dbcore.qualified_names import is_plain_name
from dbcore.redis_url import read_redis_url
from dbcore.roles import Role

ENV_FILE = os.environ.get("BALLAST_ENV_FILE") or ".env"
RUNNING_ENV_FILE = ".ballast/running.env"
ENV_FILES = (ENV_FILE,) if os.devnull == ENV_FILE else (RUNNING_ENV_FILE, ENV_FILE)
"""The stronger one last. Who wants no file to be read wants none of a run in the same folder either."""

OPS_TOKEN_LENGTH_MIN = 16
ADMIN_ID_DIGITS_MAX = 19
_BACKUP_LOOK_SECONDS = 300.0
PACKAGES_MAX = 12
PAY_PACKAGES_MAX = 6
_ODD_AT_STRIPE = frozenset({"ISK", "UGX", "HUF", "TWD"})
AMOUNT_ADJUSTED_MAX = 18
"""The power of ten of an amount's first digit, up or down. MAX_AMOUNT is below."""

_READ_ELSEWHERE = {
    # By Flower, by devstack, and above.
    *("FLOWER_ADDRESS", "FLOWER_MAX_TASKS", "FLOWER_COOKIE_SECRET", "FLOWER_READ_ONLY"),
    *("BALLAST_POSTGRES_PORT", "BALLAST_REDIS_PORT", "BALLAST_LOCAL_TELEGRAM"),
    "BALLAST_ENV_FILE",
}


TELEGRAM_API_URL = "https://api.telegram.org"
WEBHOOK_PORTS = frozenset({443, 80, 88, 8443})


class SettingsError(Exception):
    """An option has a value Ballast cannot work with. The message names option, expectation and what came."""


class Options(BaseSettings):
    """What every value may be, whatever its option says."""

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: Any) -> Any:
        """Without white space around it, and an empty one is unset."""
        tidy = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in tidy.items() if value != ""}

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        if isinstance(value, str) and re.search(r"[\0\ud800-\udfff]", value):
            raise ValueError("expected text in UTF-8 without a NUL")
        return value


_O = TypeVar("_O", bound=Options)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def bot_id_of(token: str) -> int:
    return int(token.partition(":")[0])


_APP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)


class AppOptions(Options):
    """Which apps there are: read by each process before all else."""

    model_config = SettingsConfigDict(env_file=ENV_FILES, env_ignore_empty=True, extra="ignore", frozen=True)

    ballast_apps: Annotated[tuple[str, ...], NoDecode] = ()
    texts_folder: Path | None = None

    @field_validator("texts_folder")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        try:
            is_folder = value is None or value.is_dir()
        except OSError:  # such as a name that is too long
            is_folder = False
        if not is_folder:
            raise ValueError("expected a folder of catalogues such as de.po")
        return value

    @field_validator("ballast_apps", mode="before")
    @classmethod
    def _modules(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if not all(_APP.fullmatch(name) for name in names):
            raise ValueError("expected names such as shop.bot:app, comma separated")
        return names


class Settings(AppOptions):
    """One attribute an option; the option's name is the attribute's in capitals. See docs/settings.md."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILES,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=False,
    )

    database_url: Annotated[SecretStr | None, Field(description="PostgreSQL; unset: the embedded one")] = None
    ballast_schema: str | None = None
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
    admin_roles: Annotated[Mapping[int, Role], NoDecode] = {}

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

    health_probe_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    health_probe_mode: Literal["always", "thrifty"] = "always"
    quota_compute_hours: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    quota_renews_on_day: Annotated[int, Field(ge=1, le=28)] = 1
    quota_sleeps_after_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    effects_keep_days: Annotated[int | None, Field(ge=30, le=36_500)] = None
    deliveries_keep_days: Annotated[int, Field(ge=3, le=36_500)] = 90
    failed_jobs_keep_days: Annotated[int, Field(ge=7, le=36_500)] = 365
    health_probes_keep_days: Annotated[int, Field(ge=1, le=30)] = 30

    events_url: SecretStr | None = None
    events_secret: SecretStr | None = None
    events_keep_days: Annotated[int, Field(ge=1, le=365)] = 7

    backup_to: str | None = None
    backup_every_hours: Annotated[float, Field(ge=0, le=8_760, allow_inf_nan=False)] = 24.0
    backup_alarm_hours: Annotated[float | None, Field(gt=0, le=87_600, allow_inf_nan=False)] = None
    backup_keep: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}d?$")] = "14"
    backup_recipient: Annotated[tuple[str, ...], NoDecode] = ()
    backup_database_url: SecretStr | None = None
    backup_schemas: Annotated[tuple[str, ...], NoDecode] = ()
    backup_scratch_url: SecretStr | None = None
    backup_programs: Path | None = None
    backup_deadline_seconds: Annotated[float, Field(gt=0, le=604_800)] = 3600.0

    timezone: str = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,11}$")] = "CREDIT"
    currency_exponent: Annotated[int, Field(ge=0, le=8)] = 2
    currencies: Annotated[tuple[Currency, ...], NoDecode] = ()
    credit_limit: Annotated[Decimal | None, Field(gt=0)] = None
    credit_limit_per_day: Annotated[Decimal | None, Field(gt=0)] = None
    freeze_refuses: Literal["sending", "everything"] = "sending"

    stars_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    stars_packages: Annotated[str, Field(validate_default=True)] = "50,100,250,500"
    stars_support: Annotated[str | None, Field(max_length=2_000)] = None
    stars_terms: Annotated[str | None, Field(max_length=2_000)] = None
    stars_reconcile_at: Annotated[str, Field(pattern=r"^(?:([01][0-9]|2[0-3]):[0-5][0-9]|never)$")] = "04:00"
    stars_refund_hours: Annotated[int, Field(ge=0, le=504)] = 0  # Telegram pays out after 21 days

    pay_packages: Annotated[str, Field(validate_default=True)] = "5,10,25,50"
    crypto_pay_token: SecretStr | None = None
    crypto_pay_asset: Literal["USDT", "USDC", "TON", "GRAM", "BTC", "LTC", "ETH", "BNB", "TRX"] = "USDT"
    crypto_pay_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    crypto_pay_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$")] = "https://pay.crypt.bot"
    stripe_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    stripe_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    stripe_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$")] = "https://api.stripe.com"
    stripe_return_url: Annotated[str, Field(pattern=r"^https://\S{1,500}$")] = "https://t.me"

    withdrawals_by: Annotated[str | None, Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")] = None
    withdrawals_limit: Annotated[Decimal | None, Field(gt=0)] = None
    withdrawals_limit_per_day: Annotated[Decimal | None, Field(gt=0)] = None
    withdrawals_auto: Annotated[Decimal | None, Field(gt=0)] = None
    withdrawals_auto_per_day: Annotated[Decimal | None, Field(gt=0)] = None

    @field_validator("admin_ids", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not all(
            part.isascii() and part.isdecimal() and len(part) <= ADMIN_ID_DIGITS_MAX for part in parts
        ):
            raise ValueError("expected Telegram user ids, comma separated, such as 12345,67890")
        return frozenset(int(part) for part in parts)

    @field_validator("crypto_pay_rate", "stripe_rate")
    @classmethod
    def _usable_rate(cls, value: Decimal) -> Decimal:
        if not value.is_finite() or abs(value.adjusted()) > AMOUNT_ADJUSTED_MAX:
            raise ValueError("expected units of the currency for one of the provider's, such as 1 or 0.02")
        return value

    @field_validator("currencies", mode="before")
    @classmethod
    def _further_currencies(cls, value: object, info: ValidationInfo) -> object:
        read = further_currencies(value) if isinstance(value, str) else value
        first = info.data.get("currency")
        if isinstance(read, tuple) and first is not None:  # else refused itself
            require_different((Currency(first, 0), *read))
        return read

    @field_validator("stripe_currency")
    @classmethod
    def _has_plain_minor_units(cls, value: str) -> str:
        if value in _ODD_AT_STRIPE:
            raise ValueError(
                "expected a currency whose minor units Stripe takes one by one, such as USD or EUR"
            )
        return value

    @field_validator("pay_packages")
    @classmethod
    def _packages_of_the_currency(cls, value: str, info: ValidationInfo) -> str:
        parts, exponent = _listed(value), info.data.get("currency_exponent")
        if exponent is None:  # refused itself
            return value
        if not 0 < len(parts) <= PAY_PACKAGES_MAX or not all(
            re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,8})?", part) and minor_units(Fraction(part), exponent)
            for part in parts
        ):
            raise ValueError(
                f"expected 1 to {PAY_PACKAGES_MAX} amounts of the currency, comma separated, such as 5,10,25"
            )
        return ",".join(parts)

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
            raise ValueError(
                f"expected Telegram user ids, each with a colon and one of {', '.join(Role)}, comma separated, "
                "such as 12345:support,67890:treasurer"
            )
        if len({int(who) for who, _, _ in pairs}) < len(pairs):
            raise ValueError("expected one role for each Telegram user id")
        return {int(who): Role(role) for who, _, role in pairs}

    @field_validator("stars_rate")
    @classmethod
    def _no_endless_rate(cls, value: Decimal) -> Decimal:
        if not value.is_finite() or abs(value.adjusted()) > AMOUNT_ADJUSTED_MAX:
            raise ValueError("expected units of the currency for one Star, such as 1 or 0.02")
        return value

    @field_validator("stars_packages")
    @classmethod
    def _whole_packages(cls, value: str, info: ValidationInfo) -> str:
        parts = _listed(value)
        if not 0 < len(parts) <= PACKAGES_MAX or not all(
            re.fullmatch(r"[1-9][0-9]{0,4}", part) for part in parts
        ):
            raise ValueError(
                f"expected 1 to {PACKAGES_MAX} numbers of Stars, comma separated, such as 50,100,250"
            )
        if max(map(int, parts)) > STARS_MAX:
            raise ValueError(f"expected at most {STARS_MAX} Stars in one package")
        rate, exponent = info.data.get("stars_rate"), info.data.get("currency_exponent")
        if rate is None or exponent is None:  # refused themselves
            return value
        for stars in parts:
            if minor_units(Fraction(rate) * int(stars), exponent) is None:
                raise ValueError(
                    f"expected packages that are a whole number of minor units; {stars} Stars at STARS_RATE={rate} "
                    f"with CURRENCY_EXPONENT={exponent} are none"
                )
        return ",".join(parts)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin") from None

    @field_validator(
        "credit_limit",
        "credit_limit_per_day",
        "withdrawals_limit",
        "withdrawals_limit_per_day",
        "withdrawals_auto",
        "withdrawals_auto_per_day",
    )
    @classmethod
    def _amount_of_the_currency(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        exponent = info.data.get("currency_exponent")
        if value is None or exponent is None:  # the latter: refused itself
            return value
        fits = abs(value.adjusted()) <= AMOUNT_ADJUSTED_MAX  # no power of ten that fills the memory
        if not fits or minor_units(value, exponent) is None:
            raise ValueError(
                f"expected an amount such as 1000 or 99.50, with no more decimals than CURRENCY_EXPONENT ({exponent}) "
                f"and at most {MAX_AMOUNT // 10**exponent}"
            )
        return value

    @field_validator("ballast_schema")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not is_plain_name(value):
            raise ValueError(
                "expected the name of a schema: at most 63 lower-case letters, digits and _, not beginning with a digit"
            )
        if value.startswith("pg_") or value == "information_schema":
            raise ValueError("expected a schema of your own, such as ballast; this one is PostgreSQL's")
        return value

    @field_validator("backup_recipient", mode="before")
    @classmethod
    def _public_keys(cls, value: object) -> object:
        keys = _listed(value)
        if not all(re.fullmatch(r"age1[a-z0-9]{58}", key) for key in keys):
            raise ValueError(
                "expected the public key that age-keygen prints, age1…, or several, comma separated"
            )
        return keys

    @field_validator("backup_schemas", mode="before")
    @classmethod
    def _plain_names(cls, value: object) -> object:
        names = _listed(value)
        if not all(is_plain_name(name) for name in names):
            raise ValueError("expected names of schemas, comma separated, such as ballast,shop")
        return names

    @field_validator("database_url", "backup_database_url", "backup_scratch_url")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(read_database_url(value.get_secret_value()))

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(str(read_redis_url(value.get_secret_value())))

    @field_validator("telegram_api_url", "telegram_webhook_url")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        if value is not None and not _is_http(value):
            raise ValueError("expected http://host:port or https://host")
        return None if value is None else value.rstrip("/")

    @field_validator("telegram_proxy_url")
    @classmethod
    def _http_proxy_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_http(value.get_secret_value()):
            raise ValueError("expected http://user:password@host:port, or https:// to a proxy behind TLS")
        return value

    @field_validator("ops_host")
    @classmethod
    def _host(cls, value: str) -> str:
        labels = value.split(".")
        if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", value) or not all(
            0 < len(label) < 64 for label in labels
        ):
            raise ValueError("expected an address of this machine, such as 127.0.0.1 or ::1")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        try:
            for part in parts:
                ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError(
                "expected addresses or networks, comma separated, such as 127.0.0.1,10.0.0.0/8"
            ) from None
        return ",".join(parts)

    @field_validator("ops_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < OPS_TOKEN_LENGTH_MIN:
            raise ValueError(
                f"expected at least {OPS_TOKEN_LENGTH_MIN} characters; `openssl rand -hex 24` draws such a one"
            )
        return value

    @field_validator("events_url")
    @classmethod
    def _receiver(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_http(value.get_secret_value()):
            raise ValueError("expected http://… or https://…, where events are sent to")
        return value

    @field_validator("events_secret")
    @classmethod
    def _of_standard_webhooks(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not 24 <= len(_event_secret(value)) <= 64:
            raise ValueError(
                "expected whsec_ and 24 to 64 bytes in base64; echo whsec_$(openssl rand -base64 32) draws such a one"
            )
        return value

    @field_validator("flower_basic_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(
            re.fullmatch("[^:]+:.+", pair) for pair in value.get_secret_value().split(",")
        ):
            raise ValueError("expected user:password, or several of them, comma separated")
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
        if value is not None and not re.fullmatch(r"[0-9]{1,16}:[A-Za-z0-9_-]+", value.get_secret_value()):
            raise ValueError("expected a bot token such as 123456:ABC-DEF, as BotFather gives it")
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

    @model_validator(mode="after")
    def _events_are_signed(self) -> Self:
        if self.events_url is not None and self.events_secret is None:
            raise ValueError("EVENTS_SECRET: expected one beside EVENTS_URL: events are signed with it")
        return self

    @model_validator(mode="after")
    def _stripe_whole(self) -> Self:
        if self.stripe_key is not None and self.stripe_webhook_secret is None:
            raise ValueError(
                "STRIPE_KEY: expected STRIPE_WEBHOOK_SECRET beside it: webhooks are signed with that"
            )
        if self.stripe_webhook_secret is not None and self.stripe_key is None:
            raise ValueError("STRIPE_WEBHOOK_SECRET: expected STRIPE_KEY beside it")
        return self

    def role_of(self, telegram_id: int) -> Role | None:
        """What they are in the chat and on the page; None for who is no operator."""
        return self.admin_roles.get(telegram_id, Role.OWNER if telegram_id in self.admin_ids else None)

    @property
    def events_secret_bytes(self) -> bytes:
        """What EVENTS_SECRET stands for; empty without one."""
        return b"" if self.events_secret is None else _event_secret(self.events_secret)

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
    def backup_source(self) -> str:
        """The address of the database that is backed up, in clear. Raises SettingsError if there is none."""
        direct = self.backup_database_url
        return self.require("database_url") if direct is None else direct.get_secret_value()

    @property
    def backup_look_seconds(self) -> float:
        """How often it is looked whether a backup is due."""
        return max(1.0, min(_BACKUP_LOOK_SECONDS, 900 * self.backup_every_hours or _BACKUP_LOOK_SECONDS))

    @property
    def backup_alarm_seconds(self) -> float | None:
        """The age of the last proven backup that is too much; None if none is expected."""
        if self.backup_to is None:
            return None
        if self.backup_alarm_hours is not None:
            return 3600 * self.backup_alarm_hours
        return 3600 * (2 * self.backup_every_hours + 1) if self.backup_every_hours else None

    def minor_units(self, amount: Decimal | None) -> int | None:
        """An option's amount as the ledger counts; None where it is unset."""
        return None if amount is None else int(amount.scaleb(self.currency_exponent))

    @property
    def known_currencies(self) -> Currencies:
        """CURRENCY, and those of CURRENCIES."""
        return Currencies(Currency(self.currency, self.currency_exponent), *self.currencies)

    def in_currency(self, code: str | None) -> Self:
        """As they are for amounts of one currency, which is the first one there. None: as they are.

        Of one that is no longer in CURRENCIES nobody knows the decimals: amounts of it are in minor units, and say so.
        """
        if code is None or code == self.currency:
            return self
        known = self.known_currencies
        currency = known.get(code) or Currency(f"{code} minor units", 0)
        others = tuple(each for each in known if each.code != code)
        return self.model_copy(
            update={"currency": currency.code, "currency_exponent": currency.exponent, "currencies": others}
        )

    @property
    def star_packages(self) -> tuple[int, ...]:
        """What /deposit offers, in Stars."""
        return tuple(map(int, _listed(self.stars_packages)))

    @property
    def pay_amounts(self) -> tuple[int, ...]:
        """What /deposit offers by other providers, in minor units."""
        return tuple(
            minor_units(Fraction(part), self.currency_exponent) or 0 for part in _listed(self.pay_packages)
        )

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
                f"{option.upper()} is not set, and no `make run` or `ballast run` is up in this folder to take it "
                f"from. Set {option.upper()}, or start the embedded servers by one of them."
            )
        return value.get_secret_value()


def _listed(value: object) -> tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list | tuple) else ()
    return tuple(part.strip() for part in value.split(",") if part.strip())


def load_settings() -> Settings:
    """Read the environment. Names that look like a misspelt option are told on stderr, once a process.

    Raises SettingsError with one line per bad option: its name, what was expected and what came; secrets stay
    hidden.
    """
    settings = load_options(Settings)
    warn_of_misspelt(option_names())
    return settings


_of_apps: set[str] = set()


def option_names() -> set[str]:
    """Every name that some part of this installation reads."""
    return {name.upper() for name in Settings.model_fields} | _READ_ELSEWHERE | _of_apps


def add_options(names: Collection[str]) -> None:
    """Of apps: they are no misspelt ones, and a name like one of them may be one."""
    if names:
        _of_apps.update(names)
        warn_of_misspelt(option_names())


def load_options(options: type[_O]) -> _O:
    """Raises SettingsError like `load_settings`."""
    try:
        return options()
    except ValidationError as error:
        lines = [_one_line(options, item) for item in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    except NotJson as error:  # of a list, or of a model within one; it names the field and quotes no value
        field = re.search(r'field "(\w+)"', str(error))
        prefix = str(options.model_config.get("env_prefix", ""))
        raise SettingsError(
            f"{prefix}{field[1] if field else 'option'}".upper() + ": expected JSON"
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{ENV_FILE} cannot be read: {reason}") from None


def values_of(names: Collection[str]) -> dict[str, str]:
    """Variables that are another program's, from where Ballast's own options are."""
    given = {
        name: value
        for file in ENV_FILES
        if Path(file).is_file()
        for name, value in dotenv_values(file).items()
    }
    found = {name: (os.environ.get(name) or given.get(name) or "").strip() for name in names}
    return {name: value for name, value in found.items() if value}


_told: set[str] = set()


def warn_of_misspelt(options: Collection[str]) -> None:
    """On stderr, each once a process."""
    in_file = dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}
    found = {
        **{name: ("the environment", meant) for name, meant in misspelt(os.environ, options)},
        **{name: (ENV_FILE, meant) for name, meant in misspelt(in_file, options, in_env_file=True)},
    }
    for name, (where, meant) in found.items():
        if name not in _told:
            _told.add(name)
            print(
                f"ballast: {name} in {where} is not an option and is ignored; did you mean {meant}?",
                file=sys.stderr,
                flush=True,
            )


@dataclass(frozen=True, slots=True)
class InForce:
    """An option as it is in force. value -- as it is shown: a secret is masked. source -- where it is from."""

    name: str
    value: str
    source: str


def in_force(settings: Settings) -> list[InForce]:
    """Every option, in the order of docs/settings.md."""
    files = {
        file: {name.upper() for name in dotenv_values(file)} for file in ENV_FILES if Path(file).is_file()
    }
    environment = {name.upper() for name, value in os.environ.items() if value.strip()}

    def source(name: str) -> str:
        if name in environment:
            return "environment"
        # The last of the files is the strongest.
        return next((file for file in reversed(ENV_FILES) if name in files.get(file, ())), "default")

    return [
        InForce(name.upper(), _shown(getattr(settings, name), field.annotation), source(name.upper()))
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object, annotation: object) -> str:
    if value is None:
        return ""
    if "Secret" in str(annotation):
        return "set, not shown"
    if isinstance(value, tuple | list | frozenset | set):
        return ",".join(map(str, value))
    return str(value)


def unknown_in_env_file() -> list[tuple[str, str | None]]:
    """Names in .env that no part of this installation reads, each with the option that it is most like."""
    in_file = dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}
    options = option_names()
    likely = dict(misspelt(in_file, options, in_env_file=True))
    return [(name, likely.get(name.upper())) for name in in_file if name.upper() not in options]


def _event_secret(value: SecretStr) -> bytes:
    """Empty for what is none."""
    prefix, _, encoded = value.get_secret_value().partition("whsec_")
    try:
        return b"" if prefix else base64.b64decode(encoded, validate=True)
    except ValueError:
        return b""


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"[\s\x00-\x1f\x7f]", url)
        )
    except ValueError:  # which may quote what it was given
        return False


def _one_line(options: type[Options], item: object) -> str:
    assert isinstance(item, dict)  # noqa: S101  pydantic's ErrorDetails is a TypedDict
    if not item["loc"]:  # of several options together: the message names them
        return expectation(item)
    prefix = str(options.model_config.get("env_prefix", ""))
    option = str(item["loc"][0]).removeprefix(prefix.lower())
    field = options.model_fields.get(option)
    came = repr(item["input"])
    if field is not None and "Secret" in str(field.annotation):
        came = "a value that is not shown, being a secret"
    if item["type"].startswith("model") or any(isinstance(part, str) for part in item["loc"][1:]):
        came = "a value that is not shown because there may be a secret in it"
    name = f"{prefix.upper()}{option.upper()}"
    if item["type"] == "missing" and len(item["loc"]) == 1:  # its input is all the others
        return f"{name}: expected a value; it is not set"
    if item["type"] == "missing":
        return f"{name}: expected an object with {item['loc'][-1]}, which is not in it"
    return f"{name}: {expectation(item)}; got {came}"
