"""`App`: what an author's package registers: commands, jobs, periodic jobs, migrations, audit checks and segments.

    app = App("shop")

    @app.command("redeem", help="Redeem a code: /redeem CODE", arguments=Code)
    def redeem(ctx: JobContext, args: Code) -> Reply: ...

Registering connects to nothing, so every process of Ballast can import an app.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace as changed
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel

from ballast.apps.options import (
    checked_aliases,
    checked_backoff,
    checked_batch,
    checked_deadline,
    checked_function,
    checked_lane,
    require_unavailable,
)
from ballast.apps.registered import (
    Answers,
    AuditCheck,
    BatchAnswers,
    Command,
    Cron,
    HandledCommand,
    Handler,
    Handling,
    Periodic,
    Renamed,
    SwitchedOff,
    Unavailable,
    UpdateHandler,
)
from ballast.arguments import require_readable
from ballast.batch import BatchContext
from ballast.context import Database, JobContext
from ballast.jobs import OWNER, Job, TelegramUpdate
from ballast.operators.permissions import Permission
from ballast.providers.provider import NAME as PROVIDER_NAME
from ballast.providers.provider import OWN_PROVIDERS, Provider
from ballast.replies import require_button_text
from ballast.webhooks import PATH, Receiving
from dbcore import keys
from dbcore.errors import UsageError
from dbcore.qualified_names import is_plain_name

if TYPE_CHECKING:
    from telegram.ext import BaseHandler
    from telegram.ext.filters import BaseFilter

    from ballast.apps.telegram_handlers import Groups

A = TypeVar("A", bound=BaseModel)
J = TypeVar("J", bound=Job)
R = TypeVar("R", bound=Receiving)
MakeProvider = Callable[[Any], Provider | None]
P = TypeVar("P", bound=MakeProvider)
U = TypeVar("U", bound=Callable[[JobContext, Any], Answers])

ATTEMPTS_MAX = 100
HELP_LENGTH_MAX = 256
EVERY_SECONDS_MAX = 86_400

_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_COMMAND = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SEGMENT = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _folder(named: Path | str) -> Path:
    """A path, or a folder of a package. Raises UsageError if there is none."""
    package, colon, inside = str(named).partition(":")
    if isinstance(named, Path) or not colon:
        folder = Path(named)
    else:
        found = find_spec(package)
        places = list(found.submodule_search_locations or ()) if found is not None else []
        folder = Path(places[0], inside) if places else Path(inside)
    if not folder.is_dir():
        raise UsageError(f"translations: expected a folder of catalogues, got {str(named)!r}")
    return folder


class App:
    """An author's part of a bot. BALLAST_APPS names it, such as `shop.bot:app`."""

    def __init__(
        self,
        name: str,
        *,
        migrations: Path | str | None = None,
        schema: str | None = None,
        settings: type[BaseModel] | None = None,
        translations: Path | str | None = None,
    ) -> None:
        """
        name -- of 1 to 30 lower-case letters, digits and _; the kinds of its jobs begin with it.
        migrations -- the folder of its Alembic revisions, which `ballast migrate` runs after Ballast's own.
        schema -- where the table of its revision is, made if it is missing. Default: with the tables that a bare name
            finds.
        settings -- a pydantic model of its own options: the field `token` of the app `shop` is SHOP_TOKEN, in the
            environment or in .env. Handlers have them as `ctx.app_settings(Model)`.
        translations -- the folder of its catalogues, such as de.po: a path, or `package:folder`. They have what
            handlers say by `ctx.text`, and what it registers: its commands' lines in the menu, and the descriptions of
            fields.
        """
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"an app's name is 1 to 30 of a-z, 0-9 and _, a letter first; got {name!r}")
        if schema is not None and not is_plain_name(schema):
            raise UsageError(f"schema: expected a name of lower-case letters, digits and _, got {schema!r}")
        self.name = name
        self.migrations = None if migrations is None else Path(migrations)
        self.schema = schema
        self.settings = settings
        self.translations = None if translations is None else _folder(translations)
        self.commands: list[Command] = []
        self.jobs: dict[type[Job], Handler] = {}
        self.replacements: dict[type[Job], Handler] = {}
        """What does jobs of Ballast's own."""
        self.periodic: list[Periodic] = []
        self.checks: list[AuditCheck] = []
        self.segments: dict[str, Callable[[], str]] = {}
        """Of broadcasts, by their names: what returns the query that lists them."""
        self.updates: list[UpdateHandler] = []
        self.telegram_handlers: Groups = {}
        self.handled_commands: dict[str, HandledCommand] = {}
        self.renamed: dict[str, Renamed] = {}
        self.renamed_buttons: dict[tuple[str, str], str] = {}
        """What they say, by their names and what they say otherwise."""
        self.switched_off = SwitchedOff()
        self.webhooks: dict[str, Receiving] = {}
        """By their paths."""
        self.providers: dict[str, MakeProvider] = {}
        """By their names."""

    @overload
    def command(
        self,
        name: str,
        *,
        help: str,
        arguments: type[A],
        admin: bool = ...,
        database: Database = ...,
        attempts: int = ...,
        unavailable: Unavailable = ...,
        replace: bool = ...,
    ) -> Callable[[Callable[[JobContext, A], Answers]], Callable[[JobContext, A], Answers]]: ...

    @overload
    def command(
        self,
        name: str,
        *,
        help: str,
        arguments: None = None,
        admin: bool = ...,
        database: Database = ...,
        attempts: int = ...,
        unavailable: Unavailable = ...,
        replace: bool = ...,
    ) -> Callable[[Handling], Handling]: ...

    def command(
        self,
        name: str,
        *,
        help: str,
        arguments: type[BaseModel] | None = None,
        admin: bool = False,
        database: Database = "write",
        attempts: int = 1,
        unavailable: Unavailable = "queue",
        replace: bool = False,
    ) -> Callable[[Any], Any]:
        """Decorates the handler of `/name`, which a worker runs: a plain function or a coroutine function of a
        JobContext, and of the arguments if there are any.

        help -- one line for the menu and /help.
        arguments -- a pydantic model: its fields are read from the words behind the command, in their order. What does
            not fit is refused, and nothing is done.
        admin -- only for owners: ADMIN_IDS, and who else has that role.
        database -- what it needs: "write", "read" (it goes on while the database is full or read-only) or "none".
        attempts -- how many times it is tried if it raises. Default: once. After the last attempt it has failed, and
            its user gets a reference.
        unavailable -- while the database is: "queue" it and say so, "refuse" it, or the Reply that is the answer.
            LAST_KNOWN: what this person was answered last for the same arguments, with its time; if that is not known,
            it is queued. Replies with buttons are not remembered.
        replace -- take the place of a built-in command of that name.

        Raises UsageError and TypeError for a wrong name, option or handler.
        """
        _require_command(name)
        _require_line(name, help)
        require_unavailable(f"/{name}", unavailable, database, remembers=True)
        if arguments is not None:
            require_readable(arguments)

        def register(function: Callable[..., Answers]) -> Callable[..., Answers]:
            needs = Permission.COMMAND_APPS if admin else None
            handler = self._handler(f"{self.name}.command.{name}", function, arguments, database, attempts)
            self.commands.append(Command(name, help, needs, handler, unavailable, replace))
            return function

        return register

    @overload
    def job(
        self,
        job_type: type[J],
        *,
        database: Database = ...,
        attempts: int = ...,
        backoff: float | Sequence[float] | None = ...,
        deadline: float | None = ...,
        lane: str | None = ...,
        aliases: Sequence[str] = ...,
        batch: None = None,
        replace: bool = ...,
    ) -> Callable[[Callable[[JobContext, J], Answers]], Callable[[JobContext, J], Answers]]: ...

    @overload
    def job(
        self,
        job_type: type[J],
        *,
        database: Database = ...,
        attempts: int = ...,
        backoff: float | Sequence[float] | None = ...,
        deadline: float | None = ...,
        lane: str | None = ...,
        aliases: Sequence[str] = ...,
        batch: int,
        replace: bool = ...,
    ) -> Callable[
        [Callable[[BatchContext[J], list[J]], BatchAnswers]],
        Callable[[BatchContext[J], list[J]], BatchAnswers],
    ]: ...

    def job(
        self,
        job_type: type[J],
        *,
        database: Database = "write",
        attempts: int = 5,
        backoff: float | Sequence[float] | None = None,
        deadline: float | None = None,
        lane: str | None = OWNER,
        aliases: Sequence[str] = (),
        batch: int | None = None,
        replace: bool = False,
    ) -> Callable[[Any], Any]:
        """Decorates the handler of a Job of this app, whose kind begins with the app's name and a dot; or with
        `replace=True` of a job of Ballast's own.

        attempts -- how often it is tried if it raises.
        backoff -- the seconds between attempts: one number, or several, such as (1, 10, 60), of which the last is
            repeated. Default: 2, 4, 8, … up to an hour.
        deadline -- seconds after it was queued. A job that is not done by then is not begun again: it has failed.
            What an attempt did before stays.
        lane -- a field of the job. Jobs of this app with the same value in it are done one after the other, in the
            order in which they were queued. Default: `telegram_id`, so one user's jobs are in order. None: no order.
        aliases -- kinds that the job had in releases before. What still waits under one of them, and what buttons
            stand for, is done by this handler.
        batch -- do up to so many jobs that wait by one call, 1 to 200. The handler is a function of a BatchContext and
            a list of jobs, and returns a list with an outcome per job, in their order: what it would return for that
            job alone, or a Refuse, Snooze or Discard. What it raises is one job's fault: they are done again in
            smaller batches, down to that one. A batch has 60 seconds. At most one job of each lane is in it.
        replace -- do a job of Ballast's own, such as `DecideTransfer` of ballast.builtin.transfers, in its place. It
            keeps its kind, queue and lane, so what already waits is done by this handler. `ctx.built_in()` does what
            Ballast would have done.

        Raises UsageError for a wrong kind, option or handler.

            class Give(Job, kind="shop.give"):
                telegram_id: int
                minor: int

            @app.job(Give, attempts=10, backoff=60, deadline=3600)
            def give(ctx: JobContext, job: Give) -> Reply: ...
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            kind = getattr(job_type, "kind", "")
            if replace and (lane != OWNER or aliases):
                raise UsageError(f"{kind}: a job of Ballast's own keeps its lane and has no aliases")
            if not replace and not kind.startswith(f"{self.name}."):
                raise UsageError(
                    f"{job_type.__name__}: expected a kind that begins with {self.name!r} and a dot, such as "
                    f'class {job_type.__name__}(Job, kind="{self.name}.{job_type.__name__.lower()}"); got {kind!r}. '
                    "For a job of Ballast's own say replace=True"
                )
            handlers = self.replacements if replace else self.jobs
            if job_type in handlers:
                raise UsageError(f"{kind} has a handler already: {handlers[job_type].function.__name__}")
            handlers[job_type] = changed(
                self._handler(kind, function, job_type, database, attempts, batch=checked_batch(kind, batch)),
                backoff=checked_backoff(kind, backoff),
                deadline=checked_deadline(kind, deadline),
                lane=checked_lane(kind, lane, job_type),
                aliases=checked_aliases(kind, aliases, self.name),
                replaced_by=self.name if replace else None,
            )
            return function

        return register

    def every(
        self, seconds: int, *, database: Database = "write", replace: str | None = None
    ) -> Callable[[Handling], Handling]:
        """Decorates a function of a JobContext that is run once in each period of so many seconds, by one worker of
        all. If one run takes longer than the period, or waits for the database, the next are left out.

        seconds -- 1 to 86,400. Periods are counted from 1970.
        replace -- the name of a periodic job of Ballast's own, such as "broadcasts-watch", whose place it takes.
        """
        if not 1 <= seconds <= EVERY_SECONDS_MAX or seconds != int(seconds):
            raise UsageError(f"every: expected 1 to {EVERY_SECONDS_MAX:,} whole seconds, got {seconds!r}")

        return self._periodically(int(seconds), "every", database, replace)

    def cron(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        database: Database = "write",
        replace: str | None = None,
    ) -> Callable[[Handling], Handling]:
        """Decorates a function of a JobContext that is run once at each of these times, by one worker of all. A time
        that was missed runs late, within the hour.

        expression -- cron's five fields: minute, hour, day of the month, month, day of the week, such as `0 9 * * 1-5`.
            A day must fit both of its fields.
        timezone -- such as `Europe/Berlin`. A time that its clocks skip is left out; one that they repeat counts once.
        replace -- as of `every`.
        """
        if len(expression.split()) != 5:
            raise UsageError(
                "cron: expected five fields, minute hour day-of-month month day-of-week, such as '0 9 * * 1-5'; got "
                f"{expression!r}"
            )
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise UsageError(
                f"timezone: expected the name of one, such as Europe/Berlin; got {timezone!r}"
            ) from None
        return self._periodically(Cron(expression, timezone), "cron", database, replace)

    def _periodically(
        self, when: int | Cron, what: str, database: Database, replaces: str | None
    ) -> Callable[[Handling], Handling]:
        def register(function: Handling) -> Handling:
            kind = f"{self.name}.{what}.{function.__name__}"
            self.periodic.append(Periodic(when, self._handler(kind, function, None, database, 1), replaces))
            return function

        return register

    def update(
        self,
        what: BaseFilter | str,
        *,
        database: Database = "write",
        attempts: int = 1,
        unavailable: Unavailable = "queue",
        aliases: Sequence[str] = (),
    ) -> Callable[[U], U]:
        """Decorates a function that takes updates which are neither a command nor a button, as a command's handler
        takes a command: it is a plain function or a coroutine function of a JobContext and of python-telegram-bot's
        `Update`, and what it returns is sent once. It is called as what it gets, like `command`, `job` and `webhook`.

        Its updates are those that `add_handler` would get, and of these it has those that no function and no handler
        of group 0 before it wants. Each has one taker: the update goes to no other function, and to no handler of any
        group. Reply answers where the update came from, as it does for a command; without a chat, such as of a
        poll_answer, in the private chat. The kind of its job is `<app>.update.<the function's name>`.

        what -- a filter of python-telegram-bot, such as `filters.PHOTO`, for new messages; or the name of a type of
            updates: "edited_message", "message_reaction", "chat_member", "poll_answer", "chosen_inline_result" …
        database, attempts -- as of a command.
        unavailable -- while the database is: "queue" it and say so (in groups nothing is said), "refuse" it, or the
            Reply that is the answer.
        aliases -- kinds that it had in releases before: `shop.update.photo` if its name was `photo`.

        Raises UsageError for what is no filter and no such type, an inline query among them, whose answer is no Reply;
        and for a wrong option or function.

            @app.update(filters.PHOTO & filters.ChatType.PRIVATE)
            def photo(ctx: JobContext, update: Update) -> Reply: ...
        """
        from ballast.apps.updates import run_function, types_wanted

        types = types_wanted(what)
        require_unavailable("update", unavailable, database, remembers=False)

        def register(function: U) -> U:
            kind = f"{self.name}.update.{function.__name__}"
            handler = changed(
                self._handler(kind, function, TelegramUpdate, database, attempts),
                function=partial(run_function, function),
                aliases=checked_aliases(kind, aliases, self.name),
            )
            check = None if isinstance(what, str) else what.check_update
            before = len(self.telegram_handlers.get(0, []))
            self.updates.append(UpdateHandler(handler, types, check, unavailable, before))
            return function

        return register

    def add_handler(
        self,
        handler: BaseHandler[Any, Any, Any],
        group: int = 0,
        *,
        help: str | None = None,
        database: Database = "write",
        replace: bool = False,
    ) -> None:
        """Have a handler of python-telegram-bot run as it is, by a worker. It gets the updates that are neither a
        command nor a button of Ballast's own or an app's, nor an answer to a question of Ballast's, and that no
        function of `update` before it takes; it has 60 seconds, and `context.ballast` is a JobContext. A handler that
        the database interrupts is run again from its beginning; one that raises has failed, and whoever wrote is told
        a reference.

        group -- of each group the first handler that wants an update runs, lower groups first, as in
            `Application.add_handler`.
        help -- of a CommandHandler: its line in the menu and /help. Default: it is in neither.
        database -- as of a command. While the database is unavailable the update waits, unless this is "none". An
            update that several groups want waits for what one of them needs.
        replace -- of a CommandHandler: take the place of the built-in commands of its names.

        Raises UsageError for a ConversationHandler, whose state is one process's.
        """
        from ballast.apps.telegram_handlers import Added, require_runnable

        require_runnable(handler)
        if database not in get_args(Database):
            raise UsageError(f'add_handler: database is "write", "read" or "none", got {database!r}')
        names: frozenset[str] = getattr(handler, "commands", frozenset())
        if help is not None and not names:
            raise UsageError(f"help is for commands, and a {type(handler).__name__} has none")
        for name in sorted(names):
            if help is not None:
                _require_line(name, help)
            self.handled_commands[name] = HandledCommand(help, replace)
        self.telegram_handlers.setdefault(group, []).append(Added(handler, database))

    def rename(self, command: str, to: str, *, help: str | None = None) -> None:
        """Call a built-in command by another name. The menu, /help and what the bot says follow, and the old name is
        free.

        command -- its name, such as `send`. Every command of Ballast's but /start, which Telegram's apps send.
        help -- its line in the menu and /help. Default: the built-in one, with the new name.

        Raises UsageError for a name or a line that cannot be.

            app.rename("send", "pay")
        """
        _require_command(to)
        if help is not None:
            _require_line(to, help)
        if command in self.renamed:
            raise UsageError(f"/{command} is renamed twice, to /{self.renamed[command].name} and /{to}")
        self.renamed[command] = Renamed(to, help)

    def rename_button(self, button: str, label: str, to: str) -> None:
        """Have a built-in button say something else.

        button -- its name: `transfer`, `adjustment` or `history`.
        label -- what it says: "Confirm" or "Cancel", of `history` "◀ Newer" or "Older ▶".
        to -- what it says instead, 1 to 64 characters.

        Raises UsageError for a text that cannot be.

            app.rename_button("transfer", "Confirm", "Yes, pay")
        """
        try:
            require_button_text(to)
        except ValueError as error:
            raise UsageError(f"{label!r} of the button {button}: {error}") from error
        if (button, label) in self.renamed_buttons:
            raise UsageError(f"{label!r} of the button {button} is renamed twice")
        self.renamed_buttons[button, label] = to

    def switch_off(
        self,
        *commands: str,
        buttons: Iterable[str] = (),
        jobs: Iterable[type[Job]] = (),
        periodic: Iterable[str] = (),
    ) -> None:
        """Remove these built-in commands, buttons, jobs and periodic jobs. What another one that is left still needs
        cannot be switched off.

        commands -- their names, such as `credit`. Every command of Ballast's but /start. They are in no menu, and what
            the bot says does not mention them.
        buttons -- their names: `history`, `transfer`, `adjustment`, `card` or `language`. They no longer appear; a
            press on an old one is answered as unknown.
        jobs -- their types. Workers no longer know their kinds: what still waits has failed after five minutes.
        periodic -- their names, such as `broadcasts-watch`.

            app.switch_off("credit", "debit", buttons=["history"])
        """
        for what, names in (("buttons", buttons), ("periodic", periodic)):
            if isinstance(names, str):
                raise UsageError(f"switch_off: {what}: expected a list of names, got {names!r}")
        self.switched_off.commands.update(commands)
        self.switched_off.buttons.update(buttons)
        self.switched_off.jobs.update(jobs)
        self.switched_off.periodic.update(periodic)

    def telegram_kind(self, database: Database) -> str:
        """Of the jobs that run handlers of python-telegram-bot which need so much of the database."""
        return f"{self.name}.telegram" if database == "write" else f"{self.name}.telegram_{database}"

    def webhook(self, path: str) -> Callable[[R], R]:
        """Decorates the function that takes what a provider sends by POST to `/apps/<the app's name><path>` of the
        frontend: a plain function or a coroutine function of a WebhookRequest.

        It says whether the request is genuine, and returns the job to be done for it, as Received with the event's id,
        or None if there is nothing to do. The job is on record before the provider is answered 200. If it cannot be
        recorded now, the answer is 503, and the provider sends again. If the function raises Refuse, the answer is 400;
        if it raises anything else, 500. It runs in the frontend, has 5 seconds and connects to nothing.

        path -- such as "/payments": one to five parts of letters, digits and any of . _ -
        """
        if PATH.fullmatch(path) is None:
            raise UsageError(
                f"webhook: expected a path such as '/payments', one to five parts of a-z, 0-9 and . _ -; got {path!r}"
            )
        if path in self.webhooks:
            raise UsageError(f"webhook {path} is registered already: {self.webhooks[path].__name__}")

        def register(function: R) -> R:
            try:
                inspect.signature(function).bind(None)
            except TypeError:
                raise UsageError(f"webhook {path}: its function is called as (request)") from None
            self.webhooks[path] = function
            return function

        return register

    def provider(self, name: str) -> Callable[[P], P]:
        """Decorates the function that makes a provider of payments, beside those that Ballast has.

        It is called with the app's settings, None if the app has none, and returns a Provider of this name, or None
        while the provider is not set up. What the provider sends by POST to `/pay/<name>` of the frontend is on record
        before it is answered 200; `/deposit` offers it; and what it tells is booked.

        name -- of 1 to 20 lower-case letters, digits and _, a letter first.
        """
        if PROVIDER_NAME.fullmatch(name) is None or name in OWN_PROVIDERS:
            raise UsageError(
                f"provider: expected a name of 1 to 20 of a-z, 0-9 and _, none of {', '.join(OWN_PROVIDERS)}; "
                f"got {name!r}"
            )
        if name in self.providers:
            raise UsageError(f"provider {name} is registered already")

        def register(function: P) -> P:
            self.providers[name] = function
            return function

        return register

    def audit(self, name: str, *, offenders: str, counted: str = "SELECT 0") -> None:
        """A check that `ballast audit` runs beside its own, on the same moment of the database.

        offenders -- SQL that gives one text a row for each thing that is wrong. Ballast's tables are `ballast.users`
            and so on in it, wherever they are.
        counted -- SQL that counts what was looked at, for the report.
        """
        self.checks.append(AuditCheck(f"{self.name}: {name}", counted, offenders))

    def segment(self, function: Callable[[], str]) -> Callable[[], str]:
        """Decorates a function that returns SQL: a query whose first column are the Telegram IDs of those whom a
        broadcast to the segment `<app>.<the function's name>` goes to, a million at most. It is asked in a transaction
        that cannot write, for 20 seconds at most, when the audience is counted and when the broadcast begins. Ballast's
        tables are `ballast.users` and so on in it, wherever they are.

        Raises UsageError for a name that is taken, or too long.

            @app.segment
            def regulars() -> str:
                return "SELECT telegram_id FROM shop.orders GROUP BY 1 HAVING count(*) > 3"
        """
        name = function.__name__
        if _SEGMENT.fullmatch(name) is None:
            raise UsageError(f"a segment's name is 1 to 64 of a-z, 0-9 and _, a letter first; got {name!r}")
        if name in self.segments:
            raise UsageError(f"segment {self.name}.{name} is registered already")
        self.segments[name] = function
        return function

    @property
    def handlers(self) -> list[Handler]:
        """All that it does."""
        with_aliases = [*self.jobs.values(), *(taker.handler for taker in self.updates)]
        return [
            *(command.handler for command in self.commands if command.declared is None),
            *with_aliases,
            *(changed(handler, kind=kind) for handler in with_aliases for kind in handler.aliases),
            *(periodic.handler for periodic in self.periodic),
            *self.running_telegram_handlers,
        ]

    @property
    def running_telegram_handlers(self) -> list[Handler]:
        """What runs the handlers of python-telegram-bot, if there are any."""
        if not self.telegram_handlers:
            return []
        from ballast.apps.telegram_handlers import databases, run

        function = partial(run, self.telegram_handlers)
        # "write" too: what waits from before may be of that kind.
        needed: list[Database] = sorted({"write", *databases(self.telegram_handlers)})
        return [self._handler(self.telegram_kind(each), function, TelegramUpdate, each, 1) for each in needed]

    def _handler(
        self,
        kind: str,
        function: Callable[..., Answers],
        payload: type[BaseModel] | None,
        database: Database,
        attempts: int,
        *,
        batch: int | None = None,
    ) -> Handler:
        if keys.KINDS.fullmatch(kind) is None:
            raise UsageError(f"a job's kind is 1 to 64 of a-z, 0-9, _ and the dot; got {kind!r}")
        if database not in get_args(Database):
            raise UsageError(f'{kind}: database is "write", "read" or "none", got {database!r}')
        if not 1 <= attempts <= ATTEMPTS_MAX:
            raise UsageError(f"{kind}: attempts: expected 1 to {ATTEMPTS_MAX}, got {attempts!r}")
        second = "args" if batch is None else "jobs"
        if payload is TelegramUpdate:
            second = "update"
        function = checked_function(kind, function, second=None if payload is None else second)
        return Handler(kind, function, payload, database, attempts, batch=batch)


def _require_command(name: str) -> None:
    if _COMMAND.fullmatch(name) is None:
        raise UsageError(f"a command is 1 to 32 of a-z, 0-9 and _, a letter first; got {name!r}")


def _require_line(name: str, help: str) -> None:
    if not 1 <= len(help) <= HELP_LENGTH_MAX or "\n" in help:
        raise UsageError(f"/{name}: help is one line of 1 to {HELP_LENGTH_MAX} characters, got {help!r}")
