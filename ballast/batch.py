"""`BatchContext`: what the handler of a batch gets, `@app.job(Model, batch=200)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ballast.context import Context, Database, User
from ballast.jobs import Job
from ballast.texts import ENGLISH
from dbcore.errors import DatabaseAway, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from dbcore.guard.batch import BatchTx
    from dbcore.guard.engine import GuardedEngine
    from dbcore.guard.transaction import Effect
    from dbcore.settings import Settings

J = TypeVar("J", bound=Job)
T = TypeVar("T")

BATCH_MAX = 200
"""Jobs that one call of a handler gets."""


@dataclass(frozen=True, slots=True)
class Batched(Generic[J]):
    """A job of a batch, and what the handler can ask about it. As JobContext has them."""

    job: J
    job_id: str
    attempt: int
    user: User | None


class BatchContext(Context, Generic[J]):
    """Handed to the handler of several jobs of one kind, for one attempt.

    kind -- of the jobs, such as `shop.give`.
    settings -- Ballast's options, as docs/settings.md lists them.
    """

    def __init__(
        self,
        batched: Sequence[Batched[J]],
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
        self._batched = batched
        # By identity: two jobs may say the same.
        self._of_job = {id(each.job): each for each in batched}
        self.failed: Exception | None = None
        """Why a transaction of several jobs had no effect. Whatever the handler made of it, they are done again in
        smaller batches, because only one of them may be wrong.
        """

    def user_of(self, job: J) -> User:
        """Who asked for this job. Raises UsageError for one that belongs to nobody."""
        user = self._of(job).user
        if user is None:
            raise UsageError(f"{self.kind} belongs to no user: give the job a field telegram_id")
        return user

    def id_of(self, job: J) -> str:
        """What names this job, the same in each attempt."""
        return self._of(job).job_id

    def attempt_of(self, job: J) -> int:
        """1 for the first; counts the attempts that raised."""
        return self._of(job).attempt

    def transact(
        self,
        work: Callable[[BatchTx, list[J]], Sequence[T]],
        *,
        part: str | None = None,
        deadline_seconds: float | None = None,
    ) -> list[Effect[T]]:
        """Run `work(tx, jobs)` in one transaction that takes effect exactly once for each job, however often the jobs
        are run, and in whichever batches. Returns the effect of each job of the batch, in their order.

        work -- gets those jobs of the batch that are not done yet, and returns a list of one result per job, in the
            order of the jobs it got. It is not called if all are done. A job that was done before is answered with its
            first result.
        part, deadline_seconds -- as JobContext.transact has them.

        Raises what JobContext.transact raises. If it raises because of one job, such as by Refuse, nothing of any job
        is applied, and the jobs are done again in smaller batches, down to the one that is wrong.
        """
        from dbcore.guard.batch import TransactMany
        from dbcore.guard.retries import RETRIES
        from dbcore.guard.transaction import require_plain_function

        require_plain_function(work)
        self._begin_part(part)
        of_key = {
            each.job_id if part is None else f"{each.job_id}/{part}": each.job for each in self._batched
        }

        def of_keys(tx: BatchTx, keys: list[str]) -> Sequence[T]:
            return work(tx, [of_key[key] for key in keys])

        try:
            effects = TransactMany.run_many(
                self._engine,
                of_keys,
                keys=[*of_key],
                name=self.kind,
                deadline_seconds=deadline_seconds,
                policies=RETRIES,
                announce=self._announce,
            )
        except DatabaseAway:
            raise
        except Exception as error:
            if len(self._batched) > 1:
                self.failed = error
            raise
        self.has_effects = True
        return effects

    def checked(self, outcomes: Any) -> Sequence[Any]:
        """What the handler returned: one outcome per job. Raises TypeError if it is not, and what made a transaction of
        several jobs fail.
        """
        if self.failed is not None:
            raise self.failed
        expected = len(self._batched)
        if not isinstance(outcomes, list | tuple) or len(outcomes) != expected:
            got = len(outcomes) if isinstance(outcomes, list | tuple) else type(outcomes).__name__
            raise TypeError(
                f"expected a list with an outcome per job from the handler, {expected} in all, got {got}"
            )
        return outcomes

    def _of(self, job: J) -> Batched[J]:
        batched = self._of_job.get(id(job))
        if batched is None:
            raise UsageError(f"expected one of the jobs of this batch of {self.kind} itself, got {job!r:.80}")
        return batched
