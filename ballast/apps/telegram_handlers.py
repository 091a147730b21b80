"""Handlers written for python-telegram-bot, run as they are: a worker runs them once their update is on record.

    app.add_handler(CommandHandler("shop", shop))

They run at least once: a handler that the database interrupted is run again from its beginning, when the database is
back. What must happen exactly once moves to `context.ballast`, which is a command's JobContext.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import structlog
from telegram import Bot, Update, User
from telegram.ext import (
    Application,
    ApplicationHandlerStop,
    BaseHandler,
    CallbackContext,
    ChatMemberHandler,
    ContextTypes,
    ConversationHandler,
    MessageReactionHandler,
)
from telegram.request import HTTPXRequest

from ballast.context import Database, JobContext
from ballast.jobs import TelegramUpdate
from dbcore.errors import DatabaseAway, OutcomeUnknown, UsageError
from dbcore.failures import FailureKind, Phase, classify
from dbcore.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Added:
    """database -- what the handler needs of Ballast's."""

    handler: BaseHandler[Any, Any, Any]
    database: Database


Groups = dict[int, list[Added]]
"""As python-telegram-bot has them: of each group the first handler that wants an update runs."""

WAITS_FOR = frozenset(
    {
        *(
            FailureKind.SLOW,
            FailureKind.OUTAGE,
            FailureKind.SATURATION,
            FailureKind.QUOTA,
            FailureKind.STORAGE,
        ),
        *(FailureKind.AMBIGUOUS, FailureKind.CONFIGURATION, FailureKind.UNKNOWN_OUTCOME),
    }
)
AGAIN_SECONDS = 2.0
CONNECTIONS_MAX = 16

NEEDS_A_HANDLER = {
    "chat_member": ChatMemberHandler,
    "message_reaction": MessageReactionHandler,
    "message_reaction_count": MessageReactionHandler,
}
"""Telegram sends these to no bot that does not ask for them."""


class Context(CallbackContext[Any, Any, Any, Any]):
    """A CallbackContext.

    ballast -- a JobContext, with `transact` for what must take effect exactly once.
    """

    ballast: JobContext

    @property  # type: ignore[misc]  # theirs can be set too
    def user_data(self) -> NoReturn:
        _refuse_memory("user_data")

    @property  # type: ignore[misc]  # theirs can be set too
    def chat_data(self) -> NoReturn:
        _refuse_memory("chat_data")

    @property  # type: ignore[misc]  # theirs can be set too
    def bot_data(self) -> NoReturn:
        _refuse_memory("bot_data")

    @property
    def job_queue(self) -> NoReturn:
        raise UsageError(
            "context.job_queue keeps its jobs in the memory of one process, and Ballast runs several: have a job done "
            "later by context.ballast.enqueue(job, after=seconds), and again and again by @app.every or @app.cron"
        )


class KnownBot(Bot):
    """A Bot that knows who it is without asking Telegram."""

    def __init__(self, token: str, username: str | None, **options: Any) -> None:
        super().__init__(token, **options)
        user_id = int(token.partition(":")[0])
        self._known = User(user_id, "bot", is_bot=True, username=username or "")

    @property
    def bot(self) -> User:
        return self._known


def require_runnable(handler: object) -> None:
    """Raises UsageError for what cannot run in several processes."""
    if isinstance(handler, ConversationHandler):
        raise UsageError(
            "a ConversationHandler keeps where each person stands in the memory of one process, and Ballast runs "
            "several: ask by ballast.Ask, or make its steps commands with arguments, or buttons"
        )
    if not isinstance(handler, BaseHandler):
        raise UsageError(
            f"expected a handler of python-telegram-bot, such as CommandHandler; got {type(handler).__name__}"
        )


def make_bot(settings: Settings, username: str | None) -> KnownBot:
    """username -- the bot's own, which commands in groups name; None where Telegram has not said it yet."""
    proxy = settings.telegram_proxy_url
    request = HTTPXRequest(
        connection_pool_size=CONNECTIONS_MAX, proxy=None if proxy is None else proxy.get_secret_value()
    )
    return KnownBot(
        settings.require("telegram_bot_token"),
        username,
        base_url=f"{settings.telegram_api_url}/bot",
        base_file_url=f"{settings.telegram_api_url}/file/bot",
        request=request,
        get_updates_request=request,
    )


def kinds_wanted(groups: Groups) -> list[str]:
    """The kinds of updates to ask Telegram for."""
    handlers = [added.handler for group in groups.values() for added in group]
    return [
        kind
        for kind in Update.ALL_TYPES
        if kind not in NEEDS_A_HANDLER
        or any(isinstance(handler, NEEDS_A_HANDLER[kind]) for handler in handlers)
    ]


def databases(groups: Groups) -> set[Database]:
    """All that handlers need."""
    return {added.database for group in groups.values() for added in group}


def needed_by(groups: Groups, update: Update) -> Database | None:
    """What those handlers need that want the update; None if none does. If a filter raises, a worker asks it again."""
    try:
        needed = {added.database for added, _ in _willing(groups, update)}
    except Exception:  # whatever an author's filter does
        log.exception("filter_tripped", update_id=update.update_id)
        needed = databases(groups)
    return next((database for database in get_args(Database) if database in needed), None)


async def run(groups: Groups, ctx: JobContext, job: TelegramUpdate) -> None:
    """Raises OutcomeUnknown if the database interrupted a handler, and what a handler raises otherwise."""
    from sqlalchemy.exc import DBAPIError  # frontends load this module and never run it

    bot = make_bot(ctx.settings, job.bot_username)
    try:
        await _run(groups, ctx, bot, json.loads(job.update))
    except DatabaseAway as away:
        # This call had no effect perhaps, but what the handler did before it may have had.
        raise OutcomeUnknown(away.kind, away.retry_after_seconds) from away
    except DBAPIError as error:
        kind = _kind_of(error)
        if kind not in WAITS_FOR:
            raise
        raise OutcomeUnknown(kind, AGAIN_SECONDS) from error
    finally:
        await bot.request.shutdown()


async def _run(groups: Groups, ctx: JobContext, bot: KnownBot, raw: dict[str, Any]) -> None:
    application = (
        Application.builder()
        .bot(bot)
        .updater(None)
        .job_queue(None)
        .context_types(ContextTypes(context=Context))
        .build()
    )
    update = Update.de_json(raw, bot)
    context = Context.from_update(update, application)
    context.ballast = ctx
    for added, check in _willing(groups, update):
        try:
            await added.handler.handle_update(update, application, check, context)
        except ApplicationHandlerStop:
            return


def _willing(groups: Groups, update: Update) -> Iterator[tuple[Added, object]]:
    """The first handler of each group that wants the update, with what its check said."""
    for _, handlers in sorted(groups.items()):
        for added in handlers:
            check = added.handler.check_update(update)
            if check is not None and check is not False:
                yield added, check
                break


def _kind_of(error: DBAPIError) -> FailureKind | None:
    """What the driver's error means; of another driver than psycopg2 whether the connection was lost."""
    kind = None if error.orig is None else classify(error.orig, Phase.QUERY)
    if kind is None and error.connection_invalidated:
        return FailureKind.OUTAGE
    return kind


def _refuse_memory(name: str) -> NoReturn:
    raise UsageError(
        f"context.{name} is the memory of one process, and Ballast runs several: keep it in a table"
    )
