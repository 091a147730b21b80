"""What a handler receives: who asked, the database, and the ways to go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from ballast.texts import ENGLISH, of_app, speaking
from ballast.texts.formats import amount
from dbcore.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel
    from sqlalchemy.orm import Session

    from ballast.jobs import Job
    from ballast.replies import BuiltInAnswer
    from dbcore.guard.engine import GuardedEngine
    from dbcore.guard.transaction import Effect, Tx
    from dbcore.ledger.balance_cache import BalanceSnapshot
    from dbcore.ledger.users import Profile
    from dbcore.settings import Settings

T = TypeVar("T")
S = TypeVar("S", bound="BaseModel")

Database = Literal["write", "read", "none"]
"""What a job needs: it writes, it only reads (a full or read-only database will do), or it uses none."""

DELAY_SECONDS_MAX = 30 * 86_400

_PART = re.compile(r"[A-Za-z0-9._:-]{1,60}")


@dataclass(frozen=True, slots=True)
class User:
    """Who asked, as Telegram described them in the update. Of a job only `telegram_id` is known."""

    telegram_id: int
    username: str | None = None
    first_name: str = ""
    language_code: str | None = None


class Context:
    """What a handler has, be it of one job or of several."""

    def __init__(
        self,
        *,
        kind: str,
        database: Database,
        settings: Settings,
        engine: GuardedEngine,
        announce: Callable[[], object],
        app_settings: BaseModel | None = None,
        translations: Path | None = None,
        language_of: Callable[[int], str] = lambda _: ENGLISH,
        subscribed: Callable[[int, str], bool] | None = None,
    ) -> None:
        """announce -- called after a commit with jobs in it.
        app_settings -- the options of the app that the job belongs to. translations -- its catalogues.
        language_of -- of somebody by Telegram id. subscribed -- whether somebody is, to a plan; None where nobody can
            be.
        """
        self.kind = kind
        self.settings = settings
        self._database = database
        self._engine = engine
        self._announce = announce
        self._app_settings = app_settings
        self._translations = translations
        self._language_of = language_of
        self._subscribed = subscribed
        self._parts: set[str] = set()
        self.has_effects = False
        """Whether something of this attempt stands, whatever becomes of the rest."""

    def app_settings(self, model: type[S]) -> S:
        """The options of the app that this job belongs to.

        model -- what the app has as `App(…, settings=model)`. Raises UsageError if it has another, or none.
        """
        if not isinstance(self._app_settings, model):
            raise UsageError(f"{self.kind}: its app has no settings={model.__name__}")
        return self._app_settings

    def session(self, *, deadline_seconds: float | None = None) -> AbstractContextManager[Session]:
        """An ORM Session to read with, for the `with` block; the server refuses to write in it. As Guard.session."""
        from dbcore.guard.session import session

        if self._database == "none":
            raise self._not_declared("session", 'database="read" or "write"')
        return session(self._engine, writes=False, name=self.kind, deadline_seconds=deadline_seconds)

    def money(self, minor: int, currency: str | None = None) -> str:
        """An amount of minor units as people read it, such as `5.50 CREDIT`. currency -- one of the bot's; None is the
        first.
        """
        settings = self.settings.in_currency(currency)
        return amount(minor, settings.currency_exponent, settings.currency)

    def text(self, text: str, /, **arguments: object) -> str:
        """`text` in the language of whoever asked, by the catalogues of the app's `translations`; as it stands if they
        do not have it. `{name}` in it is the argument of that name.
        """
        return of_app(self._translations, text, text, None, **arguments)

    def count(self, one: str, many: str, count: int, /, **arguments: object) -> str:
        """The same with a number: `ctx.count("{count} gift", "{count} gifts", 5)`."""
        return of_app(self._translations, one, one if count == 1 else many, count, **arguments)

    def is_subscribed(self, plan: str, telegram_id: int) -> bool:
        """Whether a user is subscribed to a plan of STARS_SUBSCRIPTIONS.

        While the database is unavailable it answers yes by what was known last, for as long as that was paid. What it
        does not know it does not guess: it raises Unavailable. Say so, or let that rise: the job then waits for the
        database.

        Raises UsageError for what cannot be the name of a plan.
        """
        if self._subscribed is None:
            raise UsageError(f"{self.kind} runs where subscriptions are not known")
        return self._subscribed(telegram_id, plan)

    def speaking_to(self, telegram_id: int) -> AbstractContextManager[None]:
        """What `text`, `count` and `money` say in the `with` block is in this user's language: for a reply to them."""
        return speaking(self._language_of(telegram_id))

    def _begin_part(self, part: str | None) -> None:
        """Raises UsageError and ValueError if a transaction of this name cannot be begun."""
        if self._database != "write":
            raise self._not_declared("transact", 'database="write"')
        if part is not None and _PART.fullmatch(part) is None:
            raise ValueError(f"part: expected 1 to 60 letters, digits or any of . _ : -, got {part[:80]!r}")
        if (part or "") in self._parts:
            raise UsageError(
                f"{self.kind} transacts twice{f' as {part!r}' if part else ''}, and the second would be taken for a "
                'repetition of the first: name it, such as ctx.transact(work, part="stock")'
            )
        self._parts.add(part or "")

    def _not_declared(self, what: str, needed: str) -> UsageError:
        return UsageError(
            f"{self.kind} is declared with database={self._database!r}: ctx.{what} needs {needed}"
        )


class JobContext(Context):
    """Handed to a command's or a job's handler, for one attempt.

    kind -- of the job, such as `shop.give`; of a command `shop.command.redeem`.
    job_id -- names this job, the same in each attempt.
    attempt -- 1 for the first; counts the attempts that raised.
    settings -- Ballast's options, as docs/settings.md lists them.
    """

    def __init__(
        self,
        *,
        kind: str,
        job_id: str,
        attempt: int,
        database: Database,
        user: User | None,
        profile: Profile | None,
        settings: Settings,
        engine: GuardedEngine,
        enqueue: Callable[[Job, str | None, float], None],
        announce: Callable[[], object],
        app_settings: BaseModel | None = None,
        built_in: Callable[[Job | None], BuiltInAnswer] | None = None,
        translations: Path | None = None,
        language_of: Callable[[int], str] = lambda _: ENGLISH,
        subscribed: Callable[[int, str], bool] | None = None,
        waited_seconds: float = 0.0,
        note_balance: Callable[[BalanceSnapshot], object] = lambda _: None,
    ) -> None:
        """As Context has it, and besides:

        profile -- of a user who is to be on record before money moves; None for whoever did not write just now.
        enqueue -- takes a job on record, the key that it was given, and the seconds until it is to be done.
        built_in -- does what Ballast would have done; None if its function is in nobody's place.
        waited_seconds -- from when it was queued until this process took it.
        note_balance -- keeps somebody's for when the database is unavailable.
        """
        super().__init__(
            kind=kind,
            database=database,
            settings=settings,
            engine=engine,
            announce=announce,
            app_settings=app_settings,
            translations=translations,
            language_of=language_of,
            subscribed=subscribed,
        )
        self.job_id = job_id
        self.attempt = attempt
        self._user = user
        self._waited_seconds = waited_seconds
        self._note_balance = note_balance
        self._profile = profile
        self._enqueue = enqueue
        self._built_in = built_in
        self._has_called_built_in = False

    @property
    def user(self) -> User:
        """Who asked. Raises UsageError in a job that belongs to nobody: one without a `telegram_id` of its own that no
        command returned.
        """
        if self._user is None:
            raise UsageError(f"{self.kind} belongs to no user: give the job a field telegram_id")
        return self._user

    def is_subscribed(self, plan: str, telegram_id: int | None = None) -> bool:
        """As Context.is_subscribed, of whoever asked if nobody is named."""
        return super().is_subscribed(plan, self.user.telegram_id if telegram_id is None else telegram_id)

    def subscription_link(self, plan: str) -> str:
        """A new link by which anybody can subscribe to a plan of STARS_SUBSCRIPTIONS. Telegram is asked for it, for at
        most ten seconds. In a coroutine call it by `asyncio.to_thread`.

        Raises Refuse, which is the answer if it rises, if the bot takes no payments, does not offer the plan, or
        Telegram does not answer.
        """
        from ballast.subscriptions import offering

        return offering.link_to(plan, self.settings)

    def transact(
        self, work: Callable[[Tx], T], *, part: str | None = None, deadline_seconds: float | None = None
    ) -> Effect[T]:
        """Run `work(tx)` in one transaction that takes effect exactly once for this job, however often the job is run:
        as Guard.transact does, with the job's id for its key. The user who asked is on record by then, with an account.

        part -- names this transaction among several of one job, such as "stock". Each has a part of its own, the same
            in each attempt; one may have none.
        deadline_seconds -- for everything. Default DB_DEADLINE_SECONDS.

        Raises what Guard.transact raises. Let Unavailable and OutcomeUnknown rise: the job then waits for the database.
        A Refuse that rises is the answer.
        """
        from dbcore.guard.retries import RETRIES
        from dbcore.guard.transaction import Transact

        self._begin_part(part)
        key = self.job_id if part is None else f"{self.job_id}/{part}"
        effect = Transact.run(
            self._engine,
            self._with_user(work),
            key=key,
            name=self.kind,
            deadline_seconds=deadline_seconds,
            isolation="READ COMMITTED",
            policies=RETRIES,
            announce=self._announce,
        )
        self.has_effects = True
        return effect

    def enqueue(self, job: Job, *, key: str | None = None, after: float = 0) -> None:
        """Have a worker do `job`, whatever becomes of this handler. It needs no database. A job that is to be done only
        if a transaction commits is for `tx.enqueue`.

        key -- the job's identity, 1 to 64 letters, digits or any of . _ : -. Default: made of this job's id and of what
            `job` says, so each attempt of this handler asks for the same one.
        after -- the seconds until then, at most 30 days. Its `deadline` runs from then, and only then does it get its
            place among its user's jobs.

        Raises ValueError if `after` is negative, or more.
        """
        if not 0 <= after <= DELAY_SECONDS_MAX:
            raise ValueError(f"after: expected 0 to {DELAY_SECONDS_MAX} seconds, got {after!r}")
        self._enqueue(job, key, after)
        self.has_effects = True

    def built_in(self, job: Job | None = None) -> BuiltInAnswer:
        """Do what Ballast does, in a function that replaces a job or a periodic job of its own. However often the
        function is run, money moves once. Return what this returns, alone or in a list with other answers: it is what
        people are told. Call it once. It needs as much of the database as Ballast's own function does.

        job -- the same job with other fields, the same ones in each attempt. Default: as it came.

        Raises what Ballast's own function raises. Do not catch it: the job then waits or fails. UsageError if this
        function replaces nothing, at a second call, and for a job that cannot be.

            @app.job(DecideTransfer, replace=True)
            def decide(ctx: JobContext, job: DecideTransfer) -> list[BuiltInAnswer | Reply]:
                return [ctx.built_in(), Reply("Thank you.")]
        """
        if self._built_in is None:
            raise UsageError(
                f"{self.kind} replaces nothing of Ballast's own: it was not registered with replace="
            )
        if self._has_called_built_in:
            raise UsageError(f"{self.kind} calls ctx.built_in twice: keep what the first call returns")
        self._has_called_built_in = True
        answer = self._built_in(job)
        self.has_effects = True
        return answer

    def _with_user(self, work: Callable[[Tx], T]) -> Callable[[Tx], T]:
        from dbcore.guard.transaction import require_plain_function
        from dbcore.ledger import users

        profile = self._profile
        if profile is None:
            return work
        require_plain_function(work)

        def with_user(tx: Tx) -> T:
            users.touch(tx.connection, profile, self.settings.currency, self.settings.ballast_schema)
            return work(tx)

        return with_user
