"""The language of each answer. Of somebody who signed in through Telegram it is theirs, as in the chat; of everybody
else the first that their browser asks for and there are texts in. Programs are answered in English.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ballast.texts import ENGLISH, negotiated, speaking
from ballast.texts.catalogues import OF_PAGES, sources
from ballast.webhooks import PREFIX as WEBHOOKS
from bot_frontend.web.access import Access

_FOR_PROGRAMS = ("/health", "/metrics", "/db-", "/static/", f"{WEBHOOKS}/")
"""Where nobody reads a page, whatever their browser asks for."""

RANGES_MAX = 20
"""Of a header's languages so many are looked at; browsers name a handful."""


def accepted_language(header: str) -> str:
    """header -- Accept-Language, such as `de-AT,de;q=0.9,en;q=0.5`. English where nothing else fits."""
    ranges = []
    for part in header.split(",")[:RANGES_MAX]:
        tag, _, parameters = part.strip().partition(";")
        weight = _weight(parameters.strip())
        if weight > 0:
            ranges.append((weight, tag.strip()))
    for _, tag in sorted(ranges, key=lambda each: -each[0]):
        language = negotiated(tag)
        if language != ENGLISH or tag.lower().partition("-")[0] == ENGLISH:
            return language
    return ENGLISH


def _weight(parameters: str) -> float:
    """1 where none is given; 0 for what is none."""
    if not parameters:
        return 1.0
    name, _, value = parameters.partition("=")
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if name.strip() == "q" and 0 <= weight <= 1 else 0.0


class PageLanguage:
    """What is said for an answer is in the language of whoever asked.

    Their catalogues are read before, in a thread: that takes some tenths of a second the first time.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._read = {ENGLISH}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_FOR_PROGRAMS):
            await self._app(scope, receive, send)
            return
        language = self._language_of(Request(scope))
        if language not in self._read:
            await asyncio.to_thread(_read_catalogues, language)
            self._read.add(language)
        with speaking(language):
            await self._app(scope, receive, send)

    def _language_of(self, request: Request) -> str:
        if "Authorization" in request.headers:
            return ENGLISH
        operator = self._access.operator(request)
        if operator is not None and operator.language is not None:
            return operator.language
        return accepted_language(request.headers.get("Accept-Language", ""))


def _read_catalogues(language: str) -> None:
    for source in sources(OF_PAGES):
        source.catalogue(language)
