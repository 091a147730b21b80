"""TLS where the server speaks it, and one login a try.

libpq's own default, sslmode=prefer, answers every refusal under TLS by a second login without it. Each failed login is
then two (Supavisor locks an address out after ten), each connect to a full server too, and what rises are the words of
both: behind an outage stands "SSL required", as if we were configured wrongly. So we prefer TLS ourselves, and go
without only where the server says that it has none.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2

from dbcore.guard import deadline

_HAS_NO_TLS = "server does not support SSL"
_WANTS_TLS = ("ssl", "tls", "encryption", "insecure")


class PreferTls:
    """What the server was found to speak. One an engine; two threads that find out at once find the same."""

    def __init__(self) -> None:
        self._has_tls = True

    def connect(self, arguments: Any, parameters: dict[str, Any]) -> deadline.Connection:
        """A new connection, that keeps deadlines. Where the URL or libpq's environment says which sslmode to use, that
        is the one. Raises as the driver does.
        """
        if "sslmode" in parameters or os.environ.get("PGSSLMODE"):
            return deadline.connect(*arguments, **parameters)
        if self._has_tls:
            try:
                return deadline.connect(*arguments, **{**parameters, "sslmode": "require"})
            except psycopg2.OperationalError as error:
                if _HAS_NO_TLS not in str(error):
                    raise
            self._has_tls = False
        try:
            return deadline.connect(*arguments, **{**parameters, "sslmode": "disable"})
        except psycopg2.OperationalError as error:
            # It may have got TLS since, and now insist on it.
            self._has_tls = any(word in str(error).lower() for word in _WANTS_TLS)
            raise
