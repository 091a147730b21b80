"""The endpoints answer as their OpenAPI document says, whatever is asked of them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bot_frontend.web.openapi import DOCUMENT
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.queueing import Queueing

OPTIONS = (
    "--seed=1",
    "--max-examples=20",
    "--no-color",
    "--generation-database=none",
    "--wait-for-schema=30",
)


async def test_a_fuzzer_finds_nothing_that_the_document_does_not_say(
    make_settings: MakeSettings, queueing: Queueing, tmp_path: Path
) -> None:
    settings = make_settings(
        redis_url=queueing.redis_url, telegram_bot_token="123456:LOCAL", ops_token="sesame"
    )
    async with serving(settings, queueing) as url:
        fuzzer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{url}/openapi.json",
            *OPTIONS,
            "--header=Authorization: Bearer sesame",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, said.decode()
    assert f"Tested: {len(DOCUMENT['paths'])}" in said.decode(), said.decode()
