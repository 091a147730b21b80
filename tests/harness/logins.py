"""Who logs in where: the same server as somebody else, or the same login by another way."""

from __future__ import annotations

import os
import socket
import weakref
from urllib.parse import urlsplit

import psycopg2


def as_role(url: str, role: str) -> str:
    """As a role of the test's own, whose password is its name."""
    return _at(url, f"{role}:{role}")


def as_admin(url: str, admin_url: str) -> str:
    """The database of `url`, as who `admin_url` logs in."""
    return _at(url, login_of(admin_url))


def login_of(url: str) -> str:
    """`user:password`."""
    return urlsplit(url).netloc.rpartition("@")[0]


def raw_session(url: str, timeout_seconds: float) -> socket.socket:
    """The socket of a session that libpq has logged in, for what libpq itself would never send."""
    connection = psycopg2.connect(url, sslmode="disable")
    client = socket.socket(fileno=os.dup(connection.fileno()))
    client.settimeout(timeout_seconds)
    _kept[client] = connection
    return client


# psycopg2 would end the session when it forgets the connection.
_kept: weakref.WeakKeyDictionary[socket.socket, object] = weakref.WeakKeyDictionary()


def _at(url: str, login: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}").geturl()
