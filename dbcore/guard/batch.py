"""`transact` for several keys at once: one real transaction, in which each key is done exactly once.

    BEGIN, and the rows of all keys ──▶ work(tx, those that are new) ──▶ a row per new key and COMMIT, in one message
                    │ all known: their results

What is known is answered with its result and not given to the work. An error is an error of all that were new: nothing
of any of them is applied, and the caller calls again with fewer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dbcore import outbox
from dbcore.errors import UsageError
from dbcore.guard import effects
from dbcore.guard.effects import Found
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.ledger import BatchLedger
from dbcore.guard.retries import Policies
from dbcore.guard.transaction import (
    Effect,
    OpenTransaction,
    Record,
    Transact,
    refuse_inside_work,
    require_finished,
    require_plain_function,
)
from dbcore.qualified_names import qualified


class BatchTx(OpenTransaction):
    """One attempt at a transaction of several jobs, for as long as its work runs. As Tx, but for the ledger.

    ledger -- money, in the same transaction: each movement belongs to one of the jobs.
    """

    def __init__(
        self,
        session: Session,
        connection: Connection,
        ledger: BatchLedger,
        schema: str | None,
        announce: Callable[[], object],
    ) -> None:
        super().__init__(session, connection, schema, announce)
        self.ledger = ledger


class TransactMany(Transact):
    """One call for several keys, over all of its attempts. Its `work(tx, keys)` returns a result per key."""

    @classmethod
    def run_many(
        cls,
        engine: GuardedEngine,
        work: Callable[[BatchTx, list[str]], Sequence[Any]],
        *,
        keys: Sequence[str],
        name: str,
        deadline_seconds: float | None,
        policies: Policies,
        announce: Callable[[], object] = outbox.announce,
    ) -> list[Effect[Any]]:
        """The effect of each key, in their order.

        keys -- one or more, each once.

        A Refuse is recorded if there is one key. Of several it only rolls everything back, as any error does: nobody
        knows whose it is.
        """
        refuse_inside_work(engine, "transact")
        require_plain_function(work)
        for key in keys:
            effects.require_key(key)
        if not keys or len({*keys}) != len(keys):
            raise UsageError(f"expected one key or more, each once, got {[*keys]!r:.200}")
        name = name[: effects.NAME_LENGTH_MAX]
        self = cls(engine, work, tuple(keys), name, "READ COMMITTED", announce, [], [])
        done: list[Effect[Any]] = self.run_attempts(deadline_seconds, policies)
        return done

    def known(self, found: Found) -> list[Effect[Any]] | None:
        known = self._known_of(found)
        return [*known.values()] if len(known) == len(self.keys) else None

    def make_tx(self, session: Session, connection: Connection, found: Found) -> BatchTx:
        ledger = BatchLedger(
            session, self.engine.currencies, self.engine.schema, keys=self._new_of(found), actor=self.name
        )
        return BatchTx(session, connection, ledger, self.engine.schema, self.announce)

    def call_work(self, tx: Any, found: Found) -> Any:
        return self.work(tx, self._new_of(found))

    def kept(self, value: Any, found: Found) -> tuple[list[Effect[Any]], Record]:
        new = self._new_of(found)
        if not isinstance(value, list | tuple) or len(value) != len(new):
            got = f"{len(value)}" if isinstance(value, list | tuple) else f"{type(value).__name__}"
            raise UsageError(
                f"expected a list of {len(new)} results from the work, one per job in their order; got {got}. Nothing "
                "was committed"
            )
        for each in value:
            require_finished(each)
        written = [effects.as_json(each) for each in value]
        by_key = self._known_of(found)
        by_key.update(
            (key, Effect(json.loads(text), replayed=False)) for key, text in zip(new, written, strict=True)
        )
        record = qualified(effects.RECORD_MANY, self.engine.schema), (found.began, self.name, new, written)
        return [by_key[key] for key in self.keys], record

    def _known_of(self, found: Found) -> dict[str, Effect[Any]]:
        """Raises Refuse if one was refused before."""
        return {
            key: self.answer_of(key, recorded)
            for key, recorded in zip(self.keys, found.recorded, strict=True)
            if recorded is not None
        }

    def _new_of(self, found: Found) -> list[str]:
        return [key for key, recorded in zip(self.keys, found.recorded, strict=True) if recorded is None]
