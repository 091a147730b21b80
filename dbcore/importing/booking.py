"""Batches of people into Ballast's tables and ledger, each batch in one transaction.

Every amount is worked out by the database under the locks of the accounts: what the source says less what this source
has had booked for the person already. So two runs at once, or one after kill -9, book nothing twice. Keys:

    opening:SOURCE:TELEGRAM_ID      the opening balance, once forever
    history:SOURCE:MOVEMENT_ID      a movement, dated as the source dates it
    settle:SOURCE:TELEGRAM_ID:N     the N-th difference that was settled
    reversal:KEY                    undoes the transfer of KEY (undoing.py)

All of them have the actor `import:SOURCE`, by which what was booked is found again (booked_transfers.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.importing.batches import Run, run_batch
from dbcore.importing.booking_sql import (
    ACCOUNTS,
    BOOK,
    DRY_RUN,
    LOCK_USERNAMES,
    LOCK_USERS,
    RELEASE_USERNAMES,
    USERS,
)
from dbcore.importing.sources import SourceError
from dbcore.importing.spool import Movement, Person
from dbcore.sentences import sentence

_SOURCE_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Booked:
    """What a batch did for one person, or would do.

    wanted -- minor units in the source; None without balances. before -- what was booked for them before, of it
    `earlier` under the key `opening:ID`. transfers, amount -- booked now, of them `openings` opening balances.
    refused -- why nothing was.
    """

    telegram_id: int
    is_new: bool
    wanted: int | None
    before: int
    earlier: int
    transfers: int
    openings: int
    amount: int
    refused: str | None

    @property
    def after(self) -> int:
        return self.before if self.refused else self.before + self.amount

    @property
    def difference(self) -> int:
        return 0 if self.wanted is None else self.wanted - self.after


def require_source_name(name: str) -> None:
    if not _SOURCE_NAME.fullmatch(name):
        raise SourceError(
            sentence(
                "--source: expected 1 to 32 letters, digits or any of . _ -, found {name}",
                name=repr(name[:60]),
            )
        )


class Booker:
    """Books one source's people.

    settle -- also what has changed since it was booked. dry -- only say what would be booked.
    usernames -- the source has a column for them, so who has none there has none.
    earlier -- entries under `opening:ID` count as booked by this source.
    """

    def __init__(
        self,
        engine: GuardedEngine,
        source: str,
        *,
        settle: bool,
        dry: bool,
        usernames: bool = False,
        earlier: bool = False,
    ) -> None:
        self._engine = engine
        self._source = source
        self._settle = settle
        self._dry = dry
        self._usernames = usernames
        self._earlier = earlier

    def book(self, people: Sequence[Person], movements: Sequence[Movement]) -> list[Booked]:
        """One batch. Again, it books what is missing, which is nothing. Raises as GuardedEngine.call."""
        parameters = {
            "people": json.dumps([_of_person(person) for person in people]),
            "movements": json.dumps([_of_movement(place, each) for place, each in enumerate(movements)]),
            "telegram_ids": [person.telegram_id for person in people],
            "usernames": [person.username.lower() for person in people if person.username is not None],
            "settle": self._settle,
            "earlier_counts": self._earlier,
        }
        rows = run_batch(
            self._engine,
            self._source,
            parameters,
            name="import.plan" if self._dry else "import.book",
            dry_run=DRY_RUN if self._dry else None,
            prepare=self._prepare,
            book=BOOK,
        )
        return [Booked(*row) for row in rows]

    def _prepare(self, run: Run) -> None:
        if self._usernames:
            run(LOCK_USERNAMES)
        run(LOCK_USERS)
        if self._usernames:
            run(RELEASE_USERNAMES)
        run(USERS)
        run(ACCOUNTS)


def _of_person(person: Person) -> dict[str, Any]:
    """Ballast bans nobody: who was banned is left out of broadcasts, and stays so when they write."""
    banned = person.status == "banned"
    return {
        "telegram_id": person.telegram_id,
        "balance": person.balance,
        "username": person.username,
        "first_name": person.first_name,
        "language_code": person.language_code,
        "registered_at": person.registered_at,
        "status": "blocked" if banned else person.status,
        "stopped": banned or bool(person.stopped),
    }


def _of_movement(place: int, movement: Movement) -> dict[str, Any]:
    return {
        "place": place,
        "id": movement.id,
        "telegram_id": movement.telegram_id,
        "amount": movement.amount,
        "made_at": movement.made_at,
        "memo": movement.memo,
    }
