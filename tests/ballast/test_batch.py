"""What the handler of a batch can rely on, and what it cannot get wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from ballast import App, BatchContext, BatchTx, Guard, Job, Refuse, UsageError, User
from ballast.batch import BATCH_MAX, Batched
from tests.conftest import MakeSettings


class Give(Job, kind="author.give"):
    telegram_id: int


@pytest.fixture
def guard(database_url: str) -> Iterator[Guard]:
    made = Guard.from_url(database_url, deadline_seconds=30)
    yield made
    made.close()


MakeBatch = Callable[..., BatchContext[Give]]


@pytest.fixture
def batch(guard: Guard, make_settings: MakeSettings) -> MakeBatch:
    def make(jobs: list[Give]) -> BatchContext[Give]:
        return BatchContext(
            [
                Batched(job, f"j{number}", number + 1, User(job.telegram_id))
                for number, job in enumerate(jobs)
            ],
            kind=Give.kind,
            database="write",
            settings=make_settings(),
            engine=guard.engine,
            announce=lambda: None,
        )

    return make


def test_each_job_is_told_apart_even_from_one_that_says_the_same(batch: MakeBatch) -> None:
    jobs = [Give(telegram_id=7), Give(telegram_id=7)]
    ctx = batch(jobs)
    assert [(ctx.id_of(job), ctx.attempt_of(job), ctx.user_of(job)) for job in jobs] == [
        ("j0", 1, User(7)),
        ("j1", 2, User(7)),
    ]
    with pytest.raises(UsageError, match="one of the jobs of this batch"):
        ctx.id_of(Give(telegram_id=7))


def test_a_job_takes_effect_once_in_whichever_batch_it_is(batch: MakeBatch, guard: Guard) -> None:
    jobs = [Give(telegram_id=number) for number in (1, 2, 3)]

    def work(tx: BatchTx, new: list[Give]) -> list[list[int]]:
        return [[job.telegram_id, len(new)] for job in new]

    assert [effect.value for effect in batch(jobs[:2]).transact(work)] == [[1, 2], [2, 2]]
    again = batch(jobs)
    assert [(effect.value, effect.replayed) for effect in again.transact(work)] == [
        ([1, 2], True),
        ([2, 2], True),
        ([3, 1], False),
    ]
    with pytest.raises(UsageError, match="transacts twice"):
        again.transact(work)
    assert [effect.value for effect in again.transact(work, part="stock")] == [[1, 3], [2, 3], [3, 3]]
    with guard.session() as session:
        assert session.scalar(text("SELECT count(*) FROM effects")) == 6


def test_a_handler_cannot_answer_for_a_transaction_that_had_no_effect(batch: MakeBatch) -> None:
    """What it made of the error does not count, unless the job is alone."""

    def refuse(tx: BatchTx, new: list[Give]) -> list[Any]:
        raise Refuse("sold out")

    for count in (2, 1):
        ctx = batch([Give(telegram_id=number + 1) for number in range(count)])
        with suppress(Refuse):
            ctx.transact(refuse)
        if count > 1:
            with pytest.raises(Refuse, match="sold out"):
                ctx.checked([None] * count)
        else:
            assert ctx.checked([None]) == [None]


def test_a_handler_that_forgets_a_job_is_told(batch: MakeBatch) -> None:
    ctx = batch([Give(telegram_id=1), Give(telegram_id=2)])
    for outcomes, got in ((None, "NoneType"), ([None], "1"), ("ab", "str"), ([None] * 3, "3")):
        with pytest.raises(TypeError, match=f"an outcome per job from the handler, 2 in all, got {got}"):
            ctx.checked(outcomes)
    assert ctx.checked([None, None]) == [None, None]


def test_a_batch_has_1_to_200_jobs() -> None:
    wrongs: tuple[Any, ...] = (0, BATCH_MAX + 1, True, "many")
    for wrong in wrongs:
        decorate: Any = App("author").job(Give, batch=wrong)
        with pytest.raises(UsageError, match="batch: expected 1 to 200 jobs"):
            decorate(lambda ctx, jobs: [])
    for right in (1, BATCH_MAX):
        App("author").job(Give, batch=right)(lambda ctx, jobs: [None] * len(jobs))
    with pytest.raises(UsageError, match=r"called as \(ctx, jobs\)"):
        App("author").job(Give, batch=2)(lambda ctx: [])  # type: ignore[arg-type,misc]
