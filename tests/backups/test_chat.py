"""Backups in a chat of the owner, on the local Telegram: what was sent there is proven, and restores."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from ballast.backups import chat
from devstack.stack import ADMIN_ID, TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.acceptance.conftest import telegram, telegram_server  # noqa: F401
from tests.backups.conftest import BALANCES, Ballast, recipient
from tests.dbcore.conftest import Sql, statements_on


@pytest.fixture
def options(telegram_server: TelegramProcess, identity: Path) -> dict[str, str]:  # noqa: F811
    return {
        "BACKUP_TO": "chat",
        "BACKUP_RECIPIENT": recipient(identity),
        "ADMIN_IDS": str(ADMIN_ID),
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": telegram_server.url,
    }


async def test_what_is_sent_to_the_owner_is_proven_and_restores(
    ballast: Ballast,
    people: None,
    sql: Sql,
    empty_database_url: str,
    options: dict[str, str],
    identity: Path,
    telegram: TelegramControl,  # noqa: F811
    tmp_path: Path,
) -> None:
    await telegram.send_text(ADMIN_ID, "hello")  # a bot may not begin
    made = await asyncio.to_thread(ballast, "backup", **options)
    assert made.exit_code == 0, made.output
    sent = (await telegram.messages(ADMIN_ID, from_bot=True))[-1]
    assert "Proven: 34 checks passed." in sent.text
    document = sent.message["document"]
    async with aiohttp.ClientSession() as session:
        url = f"{options['TELEGRAM_API_URL']}/bot{TOKEN}/getFile"
        async with session.post(url, json={"file_id": document["file_id"]}) as answer:
            path = (await answer.json())["result"]["file_path"]
        async with session.get(f"{options['TELEGRAM_API_URL']}/file/bot{TOKEN}/{path}") as answer:
            (tmp_path / document["file_name"]).write_bytes(await answer.read())
    restored = ballast(
        *("restore", document["file_name"], "--into", empty_database_url, "--identity", str(identity)),
        **options,
    )
    assert restored.exit_code == 0, restored.output
    with statements_on(empty_database_url) as there:
        assert there(BALANCES) == sql(BALANCES)


def test_what_cannot_be_sent_is_said(
    ballast: Ballast, people: None, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_one = ballast("backup", **{**options, "BACKUP_RECIPIENT": ""})
    assert open_one.stderr == "ballast: a backup in a chat must be sealed: set BACKUP_RECIPIENT\n"
    assert open_one.stdout == ""  # before anything is dumped
    stranger = ballast("backup", **{**options, "BACKUP_TO": "chat:424242"})
    assert stranger.exit_code == 1
    assert stranger.stderr.startswith("ballast: chat 424242: Telegram did not take it (")
    nobody = ballast("backup", **{**options, "ADMIN_IDS": "1,2"})
    assert (
        nobody.stderr
        == "ballast: BACKUP_TO: expected chat:ID with the chat's ID, or chat with one of ADMIN_IDS\n"
    )
    assert "a bot cannot find what it sent" in ballast("backups", **options).stderr
    monkeypatch.setattr(chat, "TELEGRAM_API_URL", options["TELEGRAM_API_URL"])
    monkeypatch.setattr(chat, "BYTES_MAX", 1_000)
    assert "and a bot may send 1,000: keep it in a folder or in S3" in ballast("backup", **options).stderr
