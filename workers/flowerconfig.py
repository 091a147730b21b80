"""What `celery -A workers flower` goes by unless `--conf` or a flowerconfig.py in the current folder says otherwise.
Flower's arguments go before this; its FLOWER_ variables would not, so those of what is set here are asked for.

Who is in Flower may start any task, so it never runs without a password. The secret of its cookies it draws at each
start, unless FLOWER_COOKIE_SECRET says one: that only matters to those who sign in by a provider (`--auth`).
"""

import secrets
import sys
from os import environ
from typing import Any

import redis.asyncio
from flower.utils import broker
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dbcore.settings import SettingsError, load_settings

try:
    _settings = load_settings()
    _redis_url = _settings.require("redis_url")
except SettingsError as _error:  # a process boundary, as in celeryconfig.py
    sys.exit(f"ballast: {_error}")


class _Redis(broker.RedisBase):
    """Flower's own clients know of an address neither `protocol` nor a socket's database number."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.redis = redis.asyncio.Redis.from_url(
            _redis_url,
            socket_connect_timeout=self.socket_connect_timeout,
            socket_timeout=self.socket_timeout,
            retry=Retry(NoBackoff(), 0),
        )


broker.Redis = broker.RedisSsl = broker.RedisSocket = _Redis
_given = _settings.flower_basic_auth

if _given is None:
    basic_auth = [f"admin:{secrets.token_urlsafe(12)}"]
    _, _, _password = basic_auth[0].partition(":")
    print(
        f"Flower: FLOWER_BASIC_AUTH is not set; until this Flower ends: user admin, password {_password}",
        file=sys.stderr,
        flush=True,
    )
else:
    basic_auth = _given.get_secret_value().split(",")

port = _settings.flower_port
address = environ.get("FLOWER_ADDRESS", "127.0.0.1")  # all addresses by default
max_tasks = int(
    environ.get("FLOWER_MAX_TASKS", "10000")
)  # 100,000 by default, which is where its memory goes
