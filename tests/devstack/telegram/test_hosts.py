"""The local Telegram answers only by names that lead to this machine."""

from __future__ import annotations

import aiohttp
import pytest

from devstack.telegram.process import TelegramProcess


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("evil.example", 421),
        ("evil.example:8081", 421),
        ("127.0.0.1.evil.example", 421),
        ("[", 421),
        ("localhost:{port}", 200),
        ("127.0.0.1:{port}", 200),
        ("[::1]:{port}", 200),
    ],
)
@pytest.mark.parametrize("path", ["/", "/control/health", "/bot{token}/getMe"])
async def test_a_page_whose_name_was_made_to_lead_here_reads_and_orders_nothing(
    path: str, host: str, expected: int, telegram_process: TelegramProcess
) -> None:
    url = telegram_process.url + path.format(token=telegram_process.token)
    headers = {"Host": host.format(port=telegram_process.port)}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        assert answer.status == expected
