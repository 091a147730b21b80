"""Who calls the API, and what they may: looked at before anything of the request is read but its headers."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ballast.operators.permissions import ALL, PERMISSIONS, Permission, not_permitted, of_role, of_scopes
from ballast.texts import gettext
from bot_frontend.web.access import Access, Operator, address_of, is_own_page
from bot_frontend.web.api import PREFIX
from bot_frontend.web.api.keys import Keys
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.request_rate import RequestRate
from bot_frontend.web.api.translation import problem_of
from bot_frontend.web.request_body import read_body
from dbcore.api_keys import LOCAL, OWNER
from dbcore.api_keys import PREFIX as KEY_PREFIX
from dbcore.roles import Role
from dbcore.text import one_line

log = structlog.get_logger(__name__)

BODY_BYTES_MAX = 65_536
UPLOAD_BYTES_MAX = 20_000_000
_UPLOADS = f"{PREFIX}/broadcasts/media"
NAME_LENGTH_MAX = 40
"""Of what is quoted."""

_CALLER = "ballast.caller"
_READ_ONLY = of_role(Role.VIEWER)


@dataclass(frozen=True, slots=True)
class Caller:
    """name -- of the key, or of whoever signed in on the page. operator -- who signed in; None of a key."""

    name: str
    permitted: frozenset[Permission]
    operator: Operator | None = None

    @property
    def actor(self) -> str:
        """For the audit log."""
        return f"api:{self.name}" if self.operator is None else self.operator.actor

    def require(self, permission: Permission) -> None:
        """Raises Problem."""
        if permission in self.permitted:
            return
        row = PERMISSIONS[permission]
        if self.operator is not None:
            raise Problem(403, "forbidden", not_permitted(permission))
        if row.scope is None:
            raise Problem(
                403, "forbidden", gettext("No key but OPS_TOKEN may {what}.", what=gettext(row.what))
            )
        told = gettext("The key {name} lacks the scope {scope}.", name=self.name, scope=row.scope)
        raise Problem(403, "forbidden", told, scope=row.scope)


@dataclass(frozen=True, slots=True)
class Requires:
    """A dependency of each of the API's paths: who calls, if they may. Raises Problem."""

    permission: Permission

    def __call__(self, request: Request) -> Caller:
        found: Caller = request.scope[_CALLER]
        found.require(self.permission)
        return found


class Callers:
    """Middleware, inside that of the page's sessions. Without OPS_TOKEN the API answers on this host's own address
    alone, as the details pages do, and who sends no key may read there.
    """

    def __init__(self, app: ASGIApp, access: Access, keys: Keys, rate: RequestRate) -> None:
        self._app = app
        self._access = access
        self._keys = keys
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = await self._caller(Request(scope))
            self._count(caller)
            body = await _bounded(Request(scope, receive))
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            await problem.response()(scope, receive, send)
            return
        scope[_CALLER] = caller
        await self._app(scope, _said_again(body, receive), send)

    def _count(self, caller: Caller) -> None:
        if wait := self._rate.take(caller.actor):
            raise Problem(
                429, "rate-limited", gettext("The key has no request left."), retry_after_seconds=wait
            )

    async def _caller(self, request: Request) -> Caller:
        if not self._access.has_token and not self._access.is_from_this_host(request):
            raise Problem(
                401, "unauthorized", gettext("Without OPS_TOKEN the API answers only on the host itself.")
            )
        given = request.headers.get("Authorization", "")
        if not given:
            if (operator := self._access.operator(request)) is not None:
                return self._signed_in(request, operator)
            if self._access.has_token:
                raise Problem(
                    401,
                    "unauthorized",
                    gettext("Expected the header Authorization: Bearer {key}.", key="<key>"),
                )
            return Caller(LOCAL, _READ_ONLY)
        scheme, _, token = given.partition(" ")
        # Nobody guesses one of those, so their tries are not counted.
        if scheme.lower() == "bearer" and token.startswith(KEY_PREFIX):
            key = await self._keys.find(token)
            if key is not None:
                return Caller(key.name, of_scopes(key.scopes))
        turn = await self._access.turn(request)
        if turn is None:
            raise Problem(
                429, "rate-limited", gettext("Too many wrong keys from this address."), retry_after_seconds=60
            )
        if not self._access.is_token_of_machine(given):
            log.warning("token_refused", address=address_of(request))
            raise Problem(401, "unauthorized", gettext("The key is not known, or revoked."))
        turn.was_right()
        return Caller(OWNER, ALL)

    def _signed_in(self, request: Request, operator: Operator) -> Caller:
        """A page of another address cannot know the session's token."""
        is_own = is_own_page(request, operator)
        if request.method not in {"GET", "HEAD"} and not is_own:
            raise Problem(403, "forbidden", gettext("Expected the X-CSRF-Token of this session."))
        return Caller(operator.name, of_role(operator.role), operator)


async def _bounded(request: Request) -> bytes:
    # FastAPI has a bound of its own, and tells of it in words that are no problem details.
    most = UPLOAD_BYTES_MAX if request.url.path == _UPLOADS else BODY_BYTES_MAX
    body = await read_body(request, most)
    if body is None:
        raise Problem(413, "too-large", gettext("This request has at most {count} bytes.", count=most))
    if request.url.path != _UPLOADS:
        _require_each_name_once(body)
    return body


def _require_each_name_once(body: bytes) -> None:
    """Of two amounts a reader before us may have seen the other. What is no JSON at all FastAPI refuses."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            name = one_line(repr(twice), NAME_LENGTH_MAX)
            raise Problem(400, "bad-request", gettext("The body has {name} twice.", name=name))
        return found

    with suppress(ValueError, RecursionError):
        json.loads(body, object_pairs_hook=once)


def _said_again(body: bytes, receive: Receive) -> Receive:
    """For whoever reads the body next."""
    left = [body]

    async def receive_again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receive_again
