"""Whether a service answers, asked the way its users would ask."""

from __future__ import annotations

import http.client
import json

import redis

_TIMEOUT_SECONDS = 5


def reachable_host(host: str) -> str:
    """Where a server that listens on `host` is found from this machine, as a URL writes it."""
    found = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  compares only
    return f"[{found}]" if ":" in found else found


def redis_complaint(url: str) -> str | None:
    """Why the Redis of `url` cannot be used; None where it answers."""
    timeout = _TIMEOUT_SECONDS
    try:
        with redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return str(error)
    return None


def status_of(host: str, port: int, path: str) -> int | None:
    """The HTTP status of a GET, None where nobody answers."""
    answer = _get(host, port, path)
    return answer[0] if answer else None


def workers_alive(host: str, port: int) -> int:
    """How many workers the frontend sees; 0 also where it does not answer or does not know."""
    answer = _get(host, port, "/health")
    if answer is None:
        return 0
    try:
        alive = json.loads(answer[1])["workers"]["alive"]
    except (ValueError, KeyError, TypeError):
        return 0
    return alive if isinstance(alive, int) else 0


def _get(host: str, port: int, path: str) -> tuple[int, bytes] | None:
    # Not urllib: it would ask the proxy of the environment for a page on this machine.
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
