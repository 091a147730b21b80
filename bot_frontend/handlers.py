"""Which updates go to functions of apps, or to their handlers of python-telegram-bot, and the job that has a worker run
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from telegram import Chat, Update

from ballast.apps.installed import INSTALLED
from ballast.apps.telegram_handlers import KnownBot, make_bot
from ballast.apps.updates import allowed_by, kind_of_taker
from ballast.chat.origins import Origin
from ballast.jobs import UPDATE_LENGTH_MAX, TelegramUpdate
from ballast.queueing.envelope import Envelope, job_id_of_update
from ballast.queueing.kinds import APPS_WITH_HANDLERS, JOB_TYPES
from bot_frontend.updates import ALLOWED_UPDATES, GENERAL_THREAD_ID, NOBODY, ParsedUpdate, TextMessage
from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from dbcore.settings import Settings
from dbcore.text import storable_json

NEVER_THEIRS = frozenset({"pre_checkout_query", "my_chat_member"})
"""Kinds of updates that Ballast answers itself."""


def allowed_updates() -> tuple[str, ...]:
    """The kinds of updates that Telegram is asked for."""
    wanted = [kind for app in APPS_WITH_HANDLERS for kind in allowed_by(app)]
    return tuple(dict.fromkeys((*ALLOWED_UPDATES, *wanted)))


class AppHandlers:
    """The functions and handlers of all apps. The first app of BALLAST_APPS with one that wants an update has it."""

    def __init__(self, settings: Settings, bot_id: int, username: Callable[[], str | None]) -> None:
        self._settings = settings
        self._bot_id = bot_id
        self._username = username
        self._bot: KnownBot | None = None

    def envelope(self, raw: Any, reading: ParsedUpdate | None) -> Envelope | None:
        """The job that runs them for this update, which is nothing of Ballast's own; None if none of them wants it.

        reading -- the same, in Ballast's words.
        """
        if not APPS_WITH_HANDLERS or not NEVER_THEIRS.isdisjoint(raw):
            return None
        update = Update.de_json(raw, self._known_bot())
        for app in APPS_WITH_HANDLERS:
            kind = kind_of_taker(app, update)
            if kind is not None:
                return self._envelope(kind, raw, update, reading)
        return None

    def _envelope(
        self, kind: str, raw: dict[str, Any], update: Update, reading: ParsedUpdate | None
    ) -> Envelope:
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
        origin: Origin | None = None
        if kind in INSTALLED.updates:
            origin = _origin(update, reading) if is_known else None
        elif user is not None and chat is not None and chat.id == user.id:
            # In a group nobody is told that something waits or failed: most of what is written there is no command.
            origin = Origin(user.id, user.id)
        return Envelope.of(
            job,
            job_id=job_id_of_update(self._bot_id, update.update_id, date),
            lane=lane,
            origin=origin,
            update_id=update.update_id,
        )

    def _known_bot(self) -> KnownBot:
        username = self._username()
        if self._bot is None or self._bot.username != (username or ""):
            self._bot = make_bot(self._settings, username)
        return self._bot


def _origin(update: Update, reading: ParsedUpdate | None) -> Origin | None:
    """Where a function's Reply goes; None if that is nowhere."""
    if isinstance(reading, TextMessage):
        return reading.origin
    user, chat = update.effective_user, update.effective_chat
    if user is None or user.id in NOBODY:
        return None
    if (message := update.edited_message) is not None:
        is_topic = message.is_topic_message and message.message_thread_id != GENERAL_THREAD_ID
        return Origin(
            message.chat.id, user.id, message.message_id, message.message_thread_id if is_topic else None
        )
    if update.effective_message is not None:
        return None  # of an account that the bot only looks after, or written by a channel
    if chat is None or chat.type == Chat.CHANNEL or update.chat_join_request is not None:
        return Origin(user.id, user.id)
    return Origin(chat.id, user.id)
