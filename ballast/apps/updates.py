"""Functions of apps that take updates which are neither a command nor a button, exactly once like a command.

@app.update(filters.PHOTO)
def photo(ctx: JobContext, update: Update) -> Reply: ...
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from telegram import Update
from telegram.ext import filters

from ballast.apps.registered import Answers, Outcome, UpdateHandler
from ballast.apps.telegram_handlers import KnownBot, kinds_wanted, make_bot, needed_by
from ballast.context import JobContext
from ballast.jobs import TelegramUpdate
from dbcore.errors import UsageError

if TYPE_CHECKING:
    from ballast.app import App

NEW_MESSAGES = ("message", "channel_post")
"""What a filter is asked about. An edited message is no new one: what it stands for was done before."""

NOT_BY_JOBS = {
    "callback_query": "a button of a Reply stands for a job; presses of other buttons go to "
    "add_handler(CallbackQueryHandler(…))",
    "inline_query": "its answer is no Reply, and is worth nothing some seconds later: "
    'add_handler(InlineQueryHandler(…), database="none"). What was chosen comes as "chosen_inline_result"',
    "my_chat_member": "Ballast notes itself who blocked the bot",
    "pre_checkout_query": "Ballast answers it itself",
    "shipping_query": "its answer is no Reply: add_handler(ShippingQueryHandler(…))",
}


def types_wanted(what: object) -> tuple[str, ...]:
    """The types of updates that `@app.update(what)` is about. Raises UsageError if there is no such thing."""
    if isinstance(what, filters.BaseFilter):
        return NEW_MESSAGES
    if isinstance(what, str) and what in NOT_BY_JOBS:
        raise UsageError(f"update: {what} is not for a function: {NOT_BY_JOBS[what]}")
    if not isinstance(what, str) or what not in Update.ALL_TYPES:
        raise UsageError(
            "update: expected a filter of python-telegram-bot for messages, such as filters.PHOTO, or the name of a "
            f'type of updates, such as "message_reaction"; got {what!r}'
        )
    return (what,)


def allowed_by(app: App) -> list[str]:
    """The types of updates to ask Telegram for, for what an app has registered."""
    by_handlers = kinds_wanted(app.telegram_handlers) if app.telegram_handlers else []
    return [*map(str, by_handlers), *(each for taker in app.updates for each in taker.types)]


def kind_of_taker(app: App, update: Update) -> str | None:
    """The kind of the job that an update becomes: the first function or handler that wants it has it. None if none
    does. A function has its place among the handlers of group 0, and what it takes goes to no handler of any group.

    Raises what the filter of a function raises.
    """
    taker = next((each for each in app.updates if _wants(each, update)), None)
    if taker is not None:
        before = app.telegram_handlers.get(0, [])[: taker.handlers_before]
        if needed_by({0: before}, update) is None:
            return taker.handler.kind
    database = needed_by(app.telegram_handlers, update)
    return None if database is None else app.telegram_kind(database)


def run_function(
    function: Callable[[JobContext, Any], Answers], ctx: JobContext, job: TelegramUpdate
) -> Answers:
    """Call it with the update as python-telegram-bot has it. Only a coroutine function can use the update's bot."""
    raw = json.loads(job.update)
    if not inspect.iscoroutinefunction(function):
        return function(ctx, Update.de_json(raw, None))
    return _awaited(function, ctx, raw, make_bot(ctx.settings, job.bot_username))


async def _awaited(
    function: Callable[..., Any], ctx: JobContext, raw: dict[str, Any], bot: KnownBot
) -> Outcome:
    try:
        outcome: Outcome = await function(ctx, Update.de_json(raw, bot))
        return outcome
    finally:
        await bot.request.shutdown()


def _wants(taker: UpdateHandler, update: Update) -> bool:
    is_of_type = any(getattr(update, name) is not None for name in taker.types)
    return is_of_type and (taker.check is None or bool(taker.check(update)))
