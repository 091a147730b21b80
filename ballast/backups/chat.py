"""Backups in a chat of the owner: documents that the bot sends. Telegram keeps them; the bot cannot find them again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from telegram.error import TelegramError

from ballast.backups.stores import Note, Stored
from ballast.telegram.bot import make_bot
from ballast.texts import gettext, ngettext
from dbcore.backups.errors import BackupFailed
from dbcore.sentences import sentence
from dbcore.settings import TELEGRAM_API_URL, Settings

BYTES_MAX = 50_000_000
"""That a bot may send, but for one with a Bot API server of its own."""

_SEND_SECONDS = 600
_CANNOT = sentence("a bot cannot find what it sent: download the file from the chat, and name it")


class ChatStore:
    """The chat of `chat:ID`, or that of the only admin."""

    folder: Path | None = None
    lists = False
    takes_sealed_alone = True  # Telegram would read others

    def __init__(self, to: str, settings: Settings) -> None:
        """Raises BackupFailed if it is not known which chat."""
        _, _, chat = to.partition(":")
        if not chat and len(settings.admin_ids) == 1:
            (chat,) = map(str, settings.admin_ids)
        if not chat.lstrip("-").isdecimal():
            raise BackupFailed(
                sentence("BACKUP_TO: expected chat:ID with the chat's ID, or chat with one of ADMIN_IDS")
            )
        self._settings = settings
        self._chat_id = int(chat)
        self.where = f"chat {chat}"

    def put(self, file: Path, name: str, sha256: str, note: Note | None) -> None:
        size = file.stat().st_size
        if size > BYTES_MAX and self._settings.telegram_api_url == TELEGRAM_API_URL:
            raise BackupFailed(
                sentence(
                    "the backup has {size} bytes, and a bot may send {most}: keep it in a folder or in S3",
                    size=size,
                    most=BYTES_MAX,
                )
            )
        proof = gettext("Not proven: it does not count.")
        if note is not None:
            proof = ngettext("Proven: {count} check passed.", "Proven: {count} checks passed.", note.checks)
        try:
            asyncio.run(self._send(file.read_bytes(), name, f"{proof}\nSHA-256 {sha256}"))
        except TelegramError as error:
            raise BackupFailed(
                sentence("{place}: Telegram did not take it ({error})", place=self.where, error=error)
            ) from error

    async def _send(self, content: bytes, name: str, caption: str) -> None:
        bot = make_bot(self._settings, connections=1)
        try:
            await bot.send_document(
                self._chat_id,
                content,
                filename=name,
                caption=caption,
                disable_notification=True,
                read_timeout=_SEND_SECONDS,
                write_timeout=_SEND_SECONDS,
            )
        finally:
            await bot.request.shutdown()

    def listed(self) -> list[Stored]:
        raise BackupFailed(f"{self.where}:", _CANNOT)

    def fetch(self, name: str, file: Path) -> None:
        raise BackupFailed(f"{self.where}:", _CANNOT)

    def delete(self, name: str) -> None:
        raise BackupFailed(f"{self.where}:", _CANNOT)
