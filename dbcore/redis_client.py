"""How Redis is asked: every call ends within seconds, and nothing is tried again behind our back."""

from __future__ import annotations

import redis

from dbcore.sentences import sentence
from dbcore.settings import Settings, SettingsError

CALL_SECONDS_MAX = 2.0

FIRST_WRITE_LUA = """
local function first_write(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    redis.call('DEL', 'ballast:none')
    return redis.call(...)
  end
  return answer
end
"""
"""A Redis whose memory is full refuses a script's first write, unless that needs no memory, and none that follow. This
lets a script go on if its work frees memory in the end.
"""

CONNECTIONS_MAX = 12
"""Per client, whatever happens: who finds all in use waits, and then fails as if Redis did not answer."""


def connect_redis(
    settings: Settings,
    *,
    call_seconds_max: float = CALL_SECONDS_MAX,
    connections_max: int = CONNECTIONS_MAX,
) -> redis.Redis:
    """Does not connect yet. Raises SettingsError where REDIS_URL is unset."""
    url = settings.require("redis_url")
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections_max,
        timeout=call_seconds_max,
        socket_connect_timeout=min(1.0, call_seconds_max),
        socket_timeout=call_seconds_max,
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        health_check_interval=15,
        retry=None,
    )
    return redis.Redis.from_pool(pool)


def require_database(settings: Settings) -> None:
    """Raises SettingsError where this Redis answers that it has no such database. One that does not answer may yet."""
    with connect_redis(settings, call_seconds_max=1.0) as client:
        try:
            client.ping()
        except redis.ResponseError as error:
            if "DB index" in str(error):
                number = client.connection_pool.connection_kwargs["db"]
                raise SettingsError(
                    sentence(
                        "REDIS_URL: this Redis has no database {number}; most have 0 to 15",
                        number=str(number),
                    )
                ) from None
        except redis.RedisError:
            pass


def redis_time(client: redis.Redis) -> float:
    """Redis's clock, seconds since 1970: the one that all hosts share. Raises redis.RedisError."""
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6)
