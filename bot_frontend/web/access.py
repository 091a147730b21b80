"""Who may see details, and who may act.

With OPS_TOKEN: who says it, as a machine with every request or as a person once, at the sign-in. Without: who asks on
this host itself may see, and nobody may act.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dbcore.settings import Settings
from dbcore.text import one_line, shows_something

SESSION_SECONDS = 12 * 3600
NAME_LENGTH_MAX = 64
NO_NAME = "operator"

TRIES_MAX = 10
TRIES_SECONDS = 60.0
ADDRESSES_MAX = 1_000

MACHINE = "token"
"""Who acts by the token itself."""

TO_ACT = "Set OPS_TOKEN and sign in to act from here."


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks. csrf -- what a request of the page must say along; None for a machine, whose requests no other page can
    send.
    """

    name: str
    csrf: str | None

    @property
    def actor(self) -> str:
        """For the books."""
        return self.name if self.csrf is None else f"web:{self.name}"


class Access:
    """Of one frontend. Sessions hold on every frontend with the same OPS_TOKEN, and end when that changes."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.ops_token.get_secret_value() if settings.ops_token else None
        self.tries = Tries()

    @property
    def session_secret(self) -> str | None:
        """What sessions are signed with; None where there are none."""
        if self._token is None:
            return None
        return hmac.new(self._token.encode(), b"ballast operators' sessions", hashlib.sha256).hexdigest()

    def operator(self, request: Request) -> Operator | None:
        if self._token is None:
            return None
        if self.is_right(request.headers.get("Authorization", ""), f"Bearer {self._token}"):
            return Operator(MACHINE, None)
        session = request.session
        return Operator(session["name"], session["csrf"]) if session else None

    def may_see(self, request: Request) -> bool:
        if self._token is not None:
            return self.operator(request) is not None
        if request.client is None:
            return False
        # Behind a proxy on this host all the world comes from here; most say in a header for whom they ask.
        if any(name == "forwarded" or name.startswith("x-forwarded-") for name in request.headers):
            return False
        # The others, and a page elsewhere whose name was made to lead here, give themselves away by the name they ask
        # for.
        return _is_loopback(request.client.host) and _names_loopback(request.headers.get("Host", ""))

    def sign_in(self, request: Request, token: str, name: str) -> bool:
        """Whether the token was right; then a session begins."""
        if self._token is None or not self.is_right(token, self._token):
            return False
        line = one_line(name, NAME_LENGTH_MAX)
        request.session.update(
            name=line if shows_something(line) else NO_NAME, csrf=secrets.token_urlsafe(24)
        )
        return True

    @property
    def has_token(self) -> bool:
        return self._token is not None

    def described(self, operator: Operator | None) -> dict[str, Any]:
        """For the page: whether it may act, and how."""
        by_session = operator is not None and operator.csrf is not None
        return {
            "allowed": operator is not None,
            "why_not": None if operator else TO_ACT,
            "csrf": operator.csrf if operator else None,
            "signed_in_as": operator.name if operator and by_session else None,
        }

    @staticmethod
    def is_right(given: str, expected: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


class Tries:
    """Wrong tries to sign in, by address. Behind a proxy that does not say for whom it asks, all have one."""

    def __init__(self) -> None:
        self._failed: dict[str, deque[float]] = {}

    def seconds_to_wait(self, request: Request) -> float:
        """0 where another try is allowed now."""
        failed = self._failed.get(_address(request), ())
        since = time.monotonic() - TRIES_SECONDS
        recent = [at for at in failed if at > since]
        return recent[0] - since if len(recent) >= TRIES_MAX else 0.0

    def failed(self, request: Request) -> None:
        address = _address(request)
        if address not in self._failed and len(self._failed) >= ADDRESSES_MAX:
            del self._failed[next(iter(self._failed))]  # the one that has been known for longest
        self._failed.setdefault(address, deque(maxlen=TRIES_MAX)).append(time.monotonic())


class Sessions:
    """Starlette's, with a cookie that is for HTTPS alone where it came by that."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        def sessions(*, https_only: bool) -> SessionMiddleware:
            return SessionMiddleware(
                app,
                secret,
                session_cookie="ballast",
                max_age=SESSION_SECONDS,
                same_site="strict",
                https_only=https_only,
            )

        self._by_https, self._by_http = sessions(https_only=True), sessions(https_only=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        by_https = scope.get("scheme") in {"https", "wss"}
        await (self._by_https if by_https else self._by_http)(scope, receive, send)


def comes_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that a page of another address had this sent."""
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != request.headers.get("Host", "")
    except ValueError:
        return True


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _names_loopback(authority: str) -> bool:
    try:
        host = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
