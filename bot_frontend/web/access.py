"""Who may see details, and who may act.

With OPS_TOKEN: who says it, as a machine with every request or as a person once, at the sign-in. Without: who asks on
this host itself may see, and nobody may act.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog
from starlette.datastructures import MutableHeaders
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ballast.chat.languages import Languages
from ballast.operators.permissions import of_role
from ballast.operators.roles import Roles, take_code
from ballast.texts import gettext, gettext_noop
from ballast.webhooks import PREFIX
from bot_frontend.web.login_throttle import LoginThrottle, Turn
from bot_frontend.web.session_list import Session, SessionList
from dbcore.roles import Role
from dbcore.settings import Settings
from dbcore.text import one_line, shows_something

log = structlog.get_logger(__name__)

SESSION_SECONDS = 12 * 3600
NAME_LENGTH_MAX = 64
NO_NAME = "operator"
BROWSER_LENGTH_MAX = 120

_OPERATOR = "ballast.operator"

HSTS_SECONDS = 365 * 24 * 3600

_OF_PROXIES = {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip"}

_OTHERS_TOKENS = ("/health", "/status-page", f"{PREFIX}/", "/api/")
"""Where a token is not judged here: pages for everybody, what providers send to apps, with tokens of their own, and the
API, which has keys beside it.
"""

MACHINE = "token"
"""Who acts by the token itself."""

TO_ACT = gettext_noop("Set OPS_TOKEN and sign in to act from here.")


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks. csrf -- what a request of the page must say along; None for a machine, whose requests no other page can
    send. language -- that they read in the chat; None of who did not sign in through it.
    """

    name: str
    csrf: str | None
    role: Role = Role.OWNER
    telegram_id: int | None = None
    session_id: str | None = None
    language: str | None = None

    @property
    def actor(self) -> str:
        """For the audit log: who signed in by a code of the bot's is called as in the chat."""
        if self.telegram_id is not None:
            return f"telegram:{self.telegram_id}"
        return self.name if self.csrf is None else f"web:{self.name}"


class Access:
    """Of one frontend. Sessions hold on every frontend with the same OPS_TOKEN, and end when that changes."""

    def __init__(self, settings: Settings, client: redis.Redis, roles: Roles, languages: Languages) -> None:
        self._token = settings.ops_token.get_secret_value() if settings.ops_token else None
        self._redis = client
        self._tries = LoginThrottle()
        self.sessions = SessionList(client, roles, languages, settings, SESSION_SECONDS)

    @property
    def session_secret(self) -> str | None:
        """What sessions are signed with; None where there are none."""
        if self._token is None:
            return None
        return hmac.new(self._token.encode(), b"ballast operators' sessions", hashlib.sha256).hexdigest()

    def operator(self, request: Request) -> Operator | None:
        if self._token is None:
            return None
        if request.scope.get("ballast.machine"):
            return Operator(MACHINE, None)
        found: Operator | None = request.scope.get(_OPERATOR)
        return found

    def viewer(self, request: Request) -> str:
        """Who looks at a page, so that nobody has too much of it: a session, or an address."""
        operator = self.operator(request)
        return (operator and operator.csrf) or address_of(request)

    async def turn(self, request: Request) -> Turn | None:
        """When its token may be judged; None where too many are."""
        return await self._tries.turn(address_of(request), request.scope.get("ballast.peer", ""))

    def is_token_of_machine(self, header: str) -> bool:
        return self._token is not None and self.is_right(header, f"Bearer {self._token}")

    def may_see(self, request: Request) -> bool:
        if self._token is not None:
            return self.operator(request) is not None
        return self.is_from_this_host(request)

    @staticmethod
    def is_from_this_host(request: Request) -> bool:
        """Whether somebody on this host asks, and not a page elsewhere or whoever a proxy speaks for."""
        if request.client is None:
            return False
        # Behind a proxy on this host all the world comes from here; most say in a header for whom they ask.
        if any(name in _OF_PROXIES or name.startswith("x-forwarded-") for name in request.headers):
            return False
        # A page of another site may send requests from here, though it cannot read the answers.
        if is_cross_origin(request) or request.headers.get("Sec-Fetch-Site") in {
            "cross-site",
            "same-site",
        }:
            return False
        # The others, and a page elsewhere whose name was made to lead here, give themselves away by the name they ask
        # for.
        return _is_loopback(request.client.host) and _names_loopback(request.headers.get("Host", ""))

    async def sign_in(self, request: Request, given: str, name: str) -> Session | None:
        """The session that begins, if OPS_TOKEN was given, or a code of the bot's; then the name is not heeded.

        Raises redis.RedisError if it may be a code.
        """
        if self._token is None:
            return None
        telegram_id = None
        if not self.is_right(given, self._token):
            by_code = await asyncio.to_thread(take_code, self._redis, given)
            if by_code is None:
                return None
            telegram_id, name = by_code.telegram_id, by_code.name
        line = one_line(name, NAME_LENGTH_MAX)
        session = Session(
            id=secrets.token_urlsafe(12),
            name=line if shows_something(line) else NO_NAME,
            telegram_id=telegram_id,
            began_at=time.time(),
            address=address_of(request),
            browser=one_line(request.headers.get("User-Agent", ""), BROWSER_LENGTH_MAX),
        )
        await self.sessions.begin(session)
        request.session.clear()
        request.session.update(id=session.id, csrf=secrets.token_urlsafe(24))
        return session

    async def of_session(self, cookie: Mapping[str, str]) -> Operator | None:
        """Who asks with this cookie's content; None once the session is ended, or they are no operator any more."""
        session = await self.sessions.find(cookie["id"]) if "id" in cookie else None
        role = None if session is None else self.sessions.role_of(session)
        if session is None or role is None:
            return None
        language = self.sessions.language_of(session)
        return Operator(session.name, cookie["csrf"], role, session.telegram_id, session.id, language)

    @property
    def has_token(self) -> bool:
        return self._token is not None

    def described(self, operator: Operator | None) -> dict[str, Any]:
        """For the page: whether it may act, and how."""
        by_session = operator is not None and operator.csrf is not None
        return {
            "allowed": operator is not None,
            "why_not": None if operator else gettext(TO_ACT),
            "csrf": operator.csrf if operator else None,
            "signed_in_as": operator.name if operator and by_session else None,
            "role": operator.role if operator else None,
            "permitted": sorted(of_role(operator.role)) if operator else [],
        }

    @staticmethod
    def is_right(given: str, expected: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


class Guard:
    """Before all else: who asks, as a trusted proxy says it, and whether the token of a machine is right.

    trusted -- addresses and networks of the proxies.
    """

    def __init__(self, app: ASGIApp, access: Access, trusted: str) -> None:
        self._judged = _Judged(app, access)
        self._by_proxies = ProxyHeadersMiddleware(self._judged, trusted)  # type: ignore[arg-type]  # uvicorn's own ASGI types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["ballast.peer"] = scope["client"][0] if scope.get("client") else ""
        await self._by_proxies(scope, receive, send)  # type: ignore[arg-type]  # likewise


class _Judged:
    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            if "transfer-encoding" in request.headers and "content-length" in request.headers:
                # A proxy that goes by the other of the two would take a part of it for a second request.
                await _answer(400, "expected Content-Length or Transfer-Encoding", scope, receive, send)
                return
            given = request.headers.get("Authorization", "")
            if given and self._access.has_token and not scope["path"].startswith(_OTHERS_TOKENS):
                turn = await self._access.turn(request)
                if turn is None:
                    await _answer(429, "too many wrong tokens from this address", scope, receive, send)
                    return
                if self._access.is_token_of_machine(given):
                    turn.was_right()
                    scope["ballast.machine"] = True
                else:
                    log.warning("token_refused", address=address_of(request))
        await self._app(scope, receive, send)


async def _answer(status: int, error: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close"} if status == 400 else {"Retry-After": "60"}
    await JSONResponse({"error": error}, status_code=status, headers=headers)(scope, receive, send)


class SafeHeaders:
    """On every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = f"max-age={HSTS_SECONDS}"
            await send(message)

        await self._app(scope, receive, send_on if scope["type"] == "http" else send)


class Sessions:
    """Starlette's, with a cookie that is for HTTPS alone where it came by that, and who asks by it."""

    def __init__(self, app: ASGIApp, access: Access, secret: str) -> None:
        async def known(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["session"]:
                scope[_OPERATOR] = await access.of_session(scope["session"])
            await app(scope, receive, send)

        def sessions(*, https_only: bool) -> SessionMiddleware:
            return SessionMiddleware(
                known,
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


def is_cross_origin(request: Request) -> bool:
    """Whether a browser says that a page of another address had this sent."""
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != request.headers.get("Host", "")
    except ValueError:
        return True


def is_own_page(request: Request, operator: Operator) -> bool:
    """Whether it was sent by our page, or by a machine, which no page can make send its token."""
    if is_cross_origin(request):
        return False
    given = request.headers.get("X-CSRF-Token", "")
    return operator.csrf is None or Access.is_right(given, operator.csrf)


def address_of(request: Request) -> str:
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
