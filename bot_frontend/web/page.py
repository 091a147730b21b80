"""The status page in a browser: its files, the sign-in, and what an operator orders there."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from html import escape
from typing import Any
from urllib.parse import parse_qs

import redis
import structlog
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ballast.jobs import JobInvalid
from ballast.operators.permissions import OF_ORDERS, may, not_permitted
from ballast.queueing.worker_drains import NoSuchWorker, WouldLeaveAlone
from ballast.texts import available, gettext, gettext_noop, said, spoken
from ballast.texts.catalogues import OF_PAGES, sources
from bot_frontend.web.access import TO_ACT, Access, Operator, address_of, is_cross_origin, is_own_page
from bot_frontend.web.actions import Accepted, ActionConflict, Actions, NoRoom
from bot_frontend.web.page_html import PageTemplate
from bot_frontend.web.page_scripts import STATIC, CatalogueScript, catalogue_script, texts_of_all_scripts
from bot_frontend.web.request_body import read_body
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

BODY_BYTES_MAX = 4_096

ORDERS_AT_ONCE = 4
ORDER_SECONDS_MAX = 10.0
"""Above what Redis may take for all of an order's steps, each at most a second where it hangs at the first."""

_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
SAFE_PAGE_HEADERS = {
    **_SAFE,
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}

PAGES = frozenset({"/", "/outages", "/failed-jobs", "/broadcasts", "/broadcasts/new"})
"""Where a sign-in may lead."""

CATALOGUES = "/page-texts"

FIRST_SCRIPT = '<script type="module"'

ERROR_MARK = "<!-- error -->"

_NOBODY_CAN = gettext_noop(
    "No OPS_TOKEN is set, so nobody can sign in. Without one this page answers only on its own host."
)


_COMPRESSED = Middleware(GZipMiddleware)
"""What has no secret in it: the page's files are then a third of what they are."""


class Files(StaticFiles):
    """Asked for anew each time, and sent where they changed: a release's page must not run the last one's script."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update({**_SAFE, "Cache-Control": "no-cache"})
        return response


class Page:
    def __init__(self, access: Access, actions: Actions, settings: Settings) -> None:
        self._access = access
        self._actions = actions
        self._threads = ThreadPoolExecutor(ORDERS_AT_ONCE, thread_name_prefix="orders")
        told = {
            "currency": settings.currency,
            "decimals": ",".join(f"{each.code}:{each.exponent}" for each in settings.known_currencies),
            "freeze": settings.freeze_refuses,
        }
        self._body = "".join(f' data-{name}="{value}"' for name, value in told.items())  # words and numbers
        self._templates: dict[str, PageTemplate] = {}
        """By file."""
        self._scripts: dict[str, CatalogueScript] = {}
        """By language."""

    def _html(self, name: str) -> str:
        """In the language that is spoken."""
        if name not in self._templates:
            self._templates[name] = PageTemplate((STATIC / name).read_text(encoding="utf-8"))
        return self._templates[name].translated()

    def _with_scripts(self, name: str) -> str:
        """A page whose scripts speak too."""
        page = self._html(name).replace("<body", f"<body{self._body}", 1)
        language = spoken()
        if any(source.catalogue(language).texts for source in sources(OF_PAGES)):
            catalogue = f'<script defer src="{CATALOGUES}/{language}.js"></script>\n  '
            page = page.replace(FIRST_SCRIPT, f"{catalogue}{FIRST_SCRIPT}", 1)
        return page

    def _answer(self, name: str) -> Response:
        return HTMLResponse(self._with_scripts(name), headers=SAFE_PAGE_HEADERS)

    def routes(self) -> list[BaseRoute]:
        return [
            Mount("/static", Files(directory=STATIC), middleware=[_COMPRESSED]),
            Route(f"{CATALOGUES}/{{language}}.js", self.catalogue, middleware=[_COMPRESSED]),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-in", self.back, methods=["GET"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
        ]

    def index(self) -> Response:
        return self._answer("index.html")

    def outages(self) -> Response:
        return self._answer("outages.html")

    def failed_jobs(self) -> Response:
        return self._answer("failed-jobs.html")

    def broadcasts(self) -> Response:
        return self._answer("broadcasts-page.html")

    def compose(self) -> Response:
        return self._answer("compose.html")

    async def catalogue(self, request: Request) -> Response:
        """What the scripts of pages are said by."""
        language = request.path_params["language"]
        if language not in available():
            return _refused(404, "there are no texts in this language")
        script = self._scripts.get(language)
        if script is None:
            script = await asyncio.to_thread(catalogue_script, language, texts_of_all_scripts())
            self._scripts[language] = script
        headers = {**_SAFE, "Cache-Control": "no-cache", "ETag": script.tag}
        if _has_tag(request.headers.get("If-None-Match", ""), script.tag):
            return Response(status_code=304, headers=headers)
        return Response(script.body, media_type="text/javascript", headers=headers)

    def asks_to_sign_in(self, error: str = "", status: int = 401, **headers: str) -> Response:
        """error -- one sentence, where the last try was in vain."""
        error = error or ("" if self._access.has_token else gettext(_NOBODY_CAN))
        page = self._html("sign-in.html").replace(ERROR_MARK, escape(error))
        return HTMLResponse(page, status_code=status, headers={**SAFE_PAGE_HEADERS, **headers})

    async def sign_in(self, request: Request) -> Response:
        if not self._access.has_token:
            return self.asks_to_sign_in()
        if is_cross_origin(request):
            return self.asks_to_sign_in(gettext("That came from a page of another address."), 403)
        turn = await self._access.turn(request)
        if turn is None:
            error = gettext("Too many wrong tokens. Wait a minute.")
            return self.asks_to_sign_in(error, 429, **{"Retry-After": "60"})
        body = await read_body(request, BODY_BYTES_MAX)
        fields = parse_qs((body or b"").decode(errors="replace"), max_num_fields=10)
        token, name = (fields.get(field, [""])[0] for field in ("token", "name"))
        try:
            session = await self._access.sign_in(request, token, name)
        except redis.RedisError:
            error = gettext("Redis does not answer, so codes cannot be checked. OPS_TOKEN can.")
            return self.asks_to_sign_in(error, 503)
        if session is None:
            log.warning("sign_in_refused", address=address_of(request))
            return self.asks_to_sign_in(
                gettext("That is neither the operators' token nor a code that is still good.")
            )
        turn.was_right()
        log.info("signed_in", actor=session.name, telegram_id=session.telegram_id)
        return _to_page(request)

    async def back(self, request: Request) -> Response:
        """The address that a browser shows after a try in vain, opened anew."""
        return _to_page(request)

    async def sign_out(self, request: Request) -> Response:
        if self._access.has_token and not is_cross_origin(request):
            operator = self._access.operator(request)
            request.session.clear()
            if operator is not None and operator.session_id is not None:
                try:
                    await self._access.sessions.end(operator.session_id)
                except redis.RedisError as error:
                    log.warning("session_not_ended", error=type(error).__name__)
        return RedirectResponse("/", status_code=303)

    async def act(self, request: Request) -> Response:
        if not self._access.has_token:
            return _refused(403, gettext(TO_ACT))
        operator = self._access.operator(request)
        if operator is None:
            return _refused(
                401, gettext("expected a session, or the header Authorization: Bearer <OPS_TOKEN>")
            )
        if not is_own_page(request, operator):
            return _refused(
                403,
                gettext("expected the X-CSRF-Token of this session, and no other address's page to send it"),
            )
        body = await read_body(request, BODY_BYTES_MAX)
        order = _order(body)
        if isinstance(order, str):
            return _refused(400, order)
        needed = OF_ORDERS.get(order["action"].partition(".")[0])
        if needed is not None and not may(operator.role, needed):  # an unknown action is refused below
            return _refused(403, not_permitted(needed))
        try:
            taken = await self._taken(operator, **order)
        except JobInvalid as error:
            return _refused(400, str(error))
        except (NoSuchWorker, WouldLeaveAlone) as refused:
            return _refused(409, said(refused))
        except ActionConflict:
            return _refused(409, gettext("this id came before, with another order"))
        except NoRoom:
            return _refused(503, gettext("no more jobs can be taken now; nothing was changed"))
        except (redis.RedisError, TimeoutError) as error:
            log.warning("order_failed", error=type(error).__name__)
            return _refused(
                503,
                gettext(
                    "Redis does not answer, so nobody knows whether it took effect; the same order again does no harm"
                ),
            )
        log.info(
            "ordered", actor=operator.actor, action=order["action"], target=order["target"], state=taken.state
        )
        return JSONResponse(
            {"id": order["action_id"], "state": taken.state, "words": taken.words}, status_code=202
        )

    async def _taken(self, operator: Operator, *, action_id: str, action: str, target: str) -> Accepted:
        loop = asyncio.get_running_loop()
        speaking = copy_context().run  # what is said there is in the language of here
        ordering = loop.run_in_executor(
            self._threads, speaking, self._actions.take, action_id, operator.actor, action, target
        )
        return await asyncio.wait_for(ordering, ORDER_SECONDS_MAX)


def _has_tag(kept: str, tag: str) -> bool:
    """kept -- If-None-Match. A proxy that compresses marks a tag as weak."""
    return tag in (each.strip().removeprefix("W/") for each in kept.split(","))


def _order(body: bytes | None) -> dict[str, str] | str:
    """The order's fields, or what is wrong with it. What they may hold the job says (ballast/)."""
    try:
        given: Any = json.loads(body or b"")
    except (ValueError, RecursionError):
        given = None
    expected = {"id": "action_id", "action": "action", "target": "target"}
    if not isinstance(given, dict) or given.keys() != expected.keys():
        return gettext("expected a JSON object with id, action and target")
    wrong = [name for name in expected if not isinstance(given[name], str)]
    if wrong:
        return gettext("{field}: expected a text", field=wrong[0])
    return {field: given[name] for name, field in expected.items()}


def _to_page(request: Request) -> Response:
    """The one that was asked for before the sign-in. A browser keeps what stands behind the # of the address."""
    asked = request.query_params.get("page", "/")
    return RedirectResponse(asked if asked in PAGES else "/", status_code=303)


def _refused(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status_code=status, headers=_SAFE)
