"""Where PostgreSQL and Redis are, and how they are spoken to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator

from dbcore.database_url import read_database_url
from dbcore.qualified_names import is_plain_name
from dbcore.redis_url import read_redis_url
from dbcore.sentences import Refusal, sentence
from dbcore.settings.options import Section


def _postgresql(value: SecretStr | None) -> SecretStr | None:
    return None if value is None else SecretStr(read_database_url(value.get_secret_value()))


DatabaseUrl = Annotated[SecretStr | None, AfterValidator(_postgresql)]


class DatabaseOptions(Section):
    """PostgreSQL, and the pool of its connections."""

    database_url: Annotated[DatabaseUrl, Field(description="PostgreSQL; unset: the embedded one")] = None
    ballast_schema: str | None = None
    db_pool_size: Annotated[int, Field(ge=1, le=100)] = 3
    db_max_overflow: Annotated[int, Field(ge=0, le=100)] = 5
    db_pool_recycle_seconds: Annotated[int, Field(ge=1)] = 600
    db_connection_budget: Annotated[int | None, Field(ge=1, le=100_000)] = None
    db_deadline_seconds: Annotated[float, Field(gt=0, le=300)] = 5.0

    @field_validator("ballast_schema")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not is_plain_name(value):
            raise Refusal(
                sentence(
                    "expected the name of a schema: at most 63 lower-case letters, digits and _, not beginning with "
                    "a digit"
                )
            )
        if value.startswith("pg_") or value == "information_schema":
            raise Refusal(
                sentence("expected a schema of your own, such as ballast; this one is PostgreSQL's")
            )
        return value


class RedisOptions(Section):
    """Redis, and how often it is asked."""

    redis_url: Annotated[SecretStr | None, Field(description="Redis; unset: the embedded one")] = None
    redis_mode: Literal["responsive", "thrifty"] = "responsive"

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(str(read_redis_url(value.get_secret_value())))
