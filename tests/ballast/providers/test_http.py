"""The adapters' HTTP client, against a server that sends its answer in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ballast.providers import http
from ballast.providers.http import Http
from ballast.providers.provider import Unanswered

PIECE_BYTES = 50_000


@asynccontextmanager
async def client_of(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Http]:
    app = web.Application()
    app.router.add_get("/list", answer)
    async with TestServer(app) as server:
        client = Http(str(server.make_url("")), {})
        try:
            yield client
        finally:
            await client.close()


def in_pieces(body: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(body), PIECE_BYTES):
            await response.write(body[at : at + PIECE_BYTES])
            await asyncio.sleep(0.01)
        return response

    return answer


async def test_an_answer_that_comes_in_pieces_is_read_whole() -> None:
    listed = [{"id": number, "memo": "x" * 1_000} for number in range(300)]
    async with client_of(in_pieces(json.dumps(listed).encode())) as client:
        assert await client.ask("GET", "/list") == listed


async def test_an_answer_that_does_not_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_BYTES_MAX", 100_000)
    async with client_of(in_pieces(b'"' + b"x" * 300_000 + b'"')) as client:
        with pytest.raises(Unanswered, match="100,000"):
            await client.ask("GET", "/list")


@pytest.mark.parametrize("status", [301, 408, 409, 425, 429, 500, 503])
async def test_a_status_that_leaves_it_open_is_no_answer(status: int) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="{")

    async with client_of(answer) as client:
        with pytest.raises(Unanswered):
            await client.ask("GET", "/list")


async def test_brackets_without_end_and_a_compressed_answer_that_is_none_are_no_answer() -> None:
    async with client_of(in_pieces(b"[" * 200_000)) as client:
        with pytest.raises(Unanswered):
            await client.ask("GET", "/list")

    async def squeezed(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"})

    async with client_of(squeezed) as client:
        with pytest.raises(Unanswered):
            await client.ask("GET", "/list")
