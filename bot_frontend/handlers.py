"""Which updates go to handlers of python-telegram-bot, as apps bring them, and the job that has a worker run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from telegram import Update

from ballast.jobs import UPDATE_LENGTH_MAX, TelegramUpdate
from ballast.telegram_handlers import KnownBot, kinds_wanted, make_bot, needed_by
from bot_frontend.updates import ALLOWED_UPDATES
from dbcore.settings import Settings
from dbcore.text import storable_json
from dbcore.users import TELEGRAM_ID_LIMIT
from workers.jobs import APPS_WITH_HANDLERS, JOB_TYPES, Envelope, job_id_of_update
from workers.origins import Origin

NEVER_THEIRS = frozenset({"pre_checkout_query", "my_chat_member"})
"""Kinds of updates that Ballast answers itself."""


def allowed_updates() -> tuple[str, ...]:
    """The kinds of updates that Telegram is asked for."""
    wanted = [str(kind) for app in APPS_WITH_HANDLERS for kind in kinds_wanted(app.telegram_handlers)]
    return tuple(dict.fromkeys((*ALLOWED_UPDATES, *wanted)))


class AppHandlers:
    """The handlers of all apps. The first app of BALLAST_APPS with one that wants an update has it."""

    def __init__(self, settings: Settings, bot_id: int, username: Callable[[], str | None]) -> None:
        self._settings = settings
        self._bot_id = bot_id
        self._username = username
        self._bot: KnownBot | None = None

    def envelope(self, raw: Any) -> Envelope | None:
        """The job that runs them for this update, which is nothing of Ballast's own; None if none of them wants it."""
        if not APPS_WITH_HANDLERS or not NEVER_THEIRS.isdisjoint(raw):
            return None
        update = Update.de_json(raw, self._known_bot())
        for app in APPS_WITH_HANDLERS:
            database = needed_by(app.telegram_handlers, update)
            if database is not None:
                return self._envelope(app.telegram_kind(database), raw, update)
        return None

    def _envelope(self, kind: str, raw: dict[str, Any], update: Update) -> Envelope:
        user, chat, message = update.effective_user, update.effective_chat, update.effective_message
        is_known = user is not None and not user.is_bot and 0 < user.id < TELEGRAM_ID_LIMIT
        written = json.dumps(storable_json(raw))
        if len(written) > UPDATE_LENGTH_MAX:
            raise ValueError(
                f"an update of {len(written):,} characters; at most {UPDATE_LENGTH_MAX:,} are taken"
            )
        fields: dict[str, Any] = {"update": written, "bot_username": self._username()}
        if user is not None and is_known:
            fields |= storable_json(
                {
                    "telegram_id": user.id,
                    "username": user.username,
                    "first_name": user.first_name[:256],
                    "language_code": user.language_code,
                }
            )
        job = JOB_TYPES[kind].decode(fields)
        assert isinstance(job, TelegramUpdate)  # noqa: S101
        lane = f"user:{job.telegram_id}" if job.telegram_id is not None else f"chat:{chat.id if chat else 0}"
        date = 0 if message is None or message.date is None else int(message.date.timestamp())
        is_private = chat is not None and user is not None and chat.id == user.id
        return Envelope.of(
            job,
            job_id=job_id_of_update(self._bot_id, update.update_id, date),
            lane=lane,
            # In a group nobody is told that something waits or failed: most of what is written there is no command.
            origin=Origin(user.id, user.id) if is_private and user is not None else None,
            update_id=update.update_id,
        )

    def _known_bot(self) -> KnownBot:
        username = self._username()
        if self._bot is None or self._bot.username != (username or ""):
            self._bot = make_bot(self._settings, username)
        return self._bot
