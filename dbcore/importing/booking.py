"""Batches of people into Ballast's tables and ledger, each batch in one transaction.

Every amount is worked out by the database under the locks of the accounts: what the source says less what this source
has had booked for the person already. So two runs at once, or one after kill -9, book nothing twice. Keys:

    opening:SOURCE:TELEGRAM_ID      the opening balance, once for ever
    history:SOURCE:MOVEMENT_ID      a movement, dated as the source dates it
    settle:SOURCE:TELEGRAM_ID:N     the N-th difference that was settled
    reversal:KEY                    undoes the transfer of KEY (undoing.py)

All of them have the actor `import:SOURCE`, by which what was booked is found again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from dbcore.engine import GuardedEngine
from dbcore.importing.sources import SourceError
from dbcore.importing.spool import Movement, Person
from dbcore.money import MAX_AMOUNT
from dbcore.qualified_names import qualified

BATCH = 1_000
BATCH_SECONDS_MAX = 60.0
MAX_BALANCE = 10**18

_SOURCE_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)

# Never seen by Ballast: who is brought has not written to it yet. Until they do, the source knows them best.
_USERS = """
INSERT INTO ballast.users AS known (telegram_id, username, first_name, language_code, status, created_at, last_seen_at,
                                    broadcasts_stopped_at)
SELECT person.telegram_id,
       CASE WHEN NOT EXISTS (SELECT FROM ballast.users holder WHERE lower(holder.username) = lower(person.username)
                                AND holder.telegram_id <> person.telegram_id) THEN person.username END,
       coalesce(person.first_name, ''), person.language_code, coalesce(person.status, 'active'),
       coalesce(person.registered_at, now()), 'epoch', CASE WHEN person.stopped THEN now() END
  FROM {person}
 ORDER BY person.telegram_id
    ON CONFLICT (telegram_id) DO UPDATE
   SET username = CASE WHEN known.last_seen_at = 'epoch' THEN coalesce(EXCLUDED.username, known.username)
                       ELSE known.username END,
       first_name = CASE WHEN known.last_seen_at = 'epoch' OR known.first_name = ''
                         THEN coalesce(nullif(EXCLUDED.first_name, ''), known.first_name) ELSE known.first_name END,
       language_code = CASE WHEN known.last_seen_at = 'epoch' THEN coalesce(EXCLUDED.language_code, known.language_code)
                            ELSE coalesce(known.language_code, EXCLUDED.language_code) END,
       status = CASE WHEN known.last_seen_at = 'epoch' AND EXCLUDED.status <> 'active' THEN EXCLUDED.status
                     ELSE known.status END,
       broadcasts_stopped_at = coalesce(known.broadcasts_stopped_at, EXCLUDED.broadcasts_stopped_at),
       created_at = least(known.created_at, EXCLUDED.created_at)
 WHERE CASE WHEN known.last_seen_at = 'epoch'
            THEN (known.username, known.first_name, known.language_code, known.broadcasts_stopped_at IS NULL)
                 IS DISTINCT FROM
                 (coalesce(EXCLUDED.username, known.username),
                  coalesce(nullif(EXCLUDED.first_name, ''), known.first_name),
                  coalesce(EXCLUDED.language_code, known.language_code),
                  known.broadcasts_stopped_at IS NULL AND EXCLUDED.broadcasts_stopped_at IS NULL)
                 OR EXCLUDED.status NOT IN ('active', known.status) OR EXCLUDED.created_at < known.created_at
            ELSE EXCLUDED.created_at < known.created_at END
"""  # who has written to Ballast meets the source once: then they get their date of registration

_ACCOUNTS = """
INSERT INTO ballast.accounts (currency) SELECT %(currency)s
 WHERE NOT EXISTS (SELECT FROM ballast.accounts WHERE user_id IS NULL AND currency = %(currency)s)
    ON CONFLICT (currency) WHERE user_id IS NULL DO NOTHING;
INSERT INTO ballast.accounts (user_id, currency, balance, version)
SELECT u.id, %(currency)s, 0, 0 FROM ballast.users u
 WHERE u.telegram_id = ANY(%(telegram_ids)s)
   AND (SELECT a.id FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s) IS NULL
 ORDER BY u.id
    ON CONFLICT (user_id, currency) DO NOTHING
"""

# The tables grow from nothing while the planner's statistics are old or none. What a batch needs of them is looked up
# by indexes, row by row: behind OFFSET 0 and in subqueries, which the planner leaves as they are written. The batch's
# own rows are joined by hashing. So a batch takes the same time in tables of any size.
PLANNED = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL lock_timeout = '20s'
"""
ACCOUNT_IDS = """
SELECT account.id FROM unnest(%(telegram_ids)s::bigint[]) AS person (telegram_id)
 CROSS JOIN LATERAL (SELECT u.id FROM ballast.users u WHERE u.telegram_id = person.telegram_id OFFSET 0) AS u
 CROSS JOIN LATERAL (SELECT a.id FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s
                     OFFSET 0) AS account
"""
# In the order of their ids, as the ledger's own functions lock them.
LOCK = (
    "SELECT id FROM ballast.accounts WHERE id = ANY(%(account_ids)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)

_PERSON = """json_to_recordset(%(people)s) AS person (
    telegram_id bigint, balance bigint, username text, first_name text, language_code text, registered_at timestamptz,
    status text, stopped boolean)"""
_MOVEMENT = """json_to_recordset(%(movements)s) AS movement (
    place integer, id text, telegram_id bigint, amount bigint, made_at timestamptz, memo text)"""

# For each person what this source had booked for them, and from that what is still to be booked.
_WANTED = """
known AS (
    SELECT person.telegram_id, person.balance AS wanted, person.registered_at, u.id IS NULL AS is_new,
           a.id AS account_id, coalesce(a.balance, 0) AS balance, coalesce(a.version, 0) AS version,
           coalesce(a.floor, 0) AS floor, coalesce(booked.total, 0) AS booked, booked.transfers, booked.settlements
      FROM {person}
      LEFT JOIN LATERAL (SELECT u.id FROM ballast.users u WHERE u.telegram_id = person.telegram_id
                         OFFSET 0) AS u ON true
      LEFT JOIN LATERAL (SELECT a.* FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s
                         OFFSET 0) AS a ON true
      LEFT JOIN LATERAL (
          SELECT sum(e.amount)::bigint AS total, count(*) AS transfers,
                 count(*) FILTER (WHERE t.idempotency_key LIKE 'settle:%%') AS settlements
            FROM ballast.entries e
           CROSS JOIN LATERAL (SELECT t.idempotency_key FROM ballast.transfers t
                                WHERE t.id = e.transfer_id AND t.actor = %(actor)s OFFSET 0) AS t
           WHERE e.account_id = a.id) AS booked ON true
), history AS (
    SELECT k.telegram_id, 1 AS part, m.place, m.made_at, 'history:' || %(source)s || ':' || m.id AS key, m.amount,
           coalesce(m.memo, '') AS memo
      FROM known k JOIN {movement_of_k}
     WHERE k.wanted IS NOT NULL AND (k.transfers = 0 OR %(settle)s)
       AND (SELECT t.id FROM ballast.transfers t
             WHERE t.idempotency_key = 'history:' || %(source)s || ':' || m.id) IS NULL
), rest AS (
    SELECT k.telegram_id, CASE WHEN k.transfers = 0 THEN 0 ELSE 2 END AS part, 0 AS place,
           CASE WHEN k.transfers = 0 AND h.first_at IS NOT NULL THEN least(h.first_at, k.registered_at)
                ELSE now() END AS made_at,
           CASE WHEN k.transfers = 0 THEN 'opening:' || %(source)s || ':' || k.telegram_id
                ELSE 'settle:' || %(source)s || ':' || k.telegram_id || ':' || k.settlements + 1 END AS key,
           k.wanted - k.booked - coalesce(h.total, 0) AS amount,
           CASE WHEN k.transfers = 0 THEN 'Opening balance' ELSE 'Opening balance, corrected' END AS memo
      FROM known k
      LEFT JOIN (SELECT telegram_id, sum(amount)::bigint AS total, min(made_at) AS first_at
                   FROM history GROUP BY telegram_id) h USING (telegram_id)
     WHERE k.wanted IS NOT NULL AND (k.transfers = 0 OR %(settle)s)
), posting AS (
    SELECT * FROM history UNION ALL SELECT * FROM rest WHERE amount <> 0
)"""

# From `known` and `posting`: the balance after each posting, and whose postings the ledger must refuse, all or none.
JUDGED = """
numbered AS (
    SELECT p.*, (SELECT t.id FROM ballast.transfers t WHERE t.idempotency_key = p.key) IS NOT NULL AS is_taken,
           row_number() OVER person AS number,
           (k.balance + sum(p.amount) OVER person)::bigint AS balance_after
      FROM posting p JOIN known k USING (telegram_id)
    WINDOW person AS (PARTITION BY p.telegram_id ORDER BY p.part, p.place ROWS UNBOUNDED PRECEDING)
), judged AS (
    SELECT n.telegram_id, count(*) AS postings, sum(n.amount)::bigint AS amount, max(n.number) AS last_number,
           count(*) FILTER (WHERE n.part = 0) AS openings,
           CASE WHEN bool_or(n.is_taken) THEN 'key_reused'
                WHEN min(n.balance_after) < min(k.floor) THEN 'insufficient_funds'
                WHEN max(abs(n.amount)) > %(amount_max)s THEN 'amount_too_large'
                WHEN max(n.balance_after) > %(balance_max)s THEN 'balance_overflow' END AS reason
      FROM numbered n JOIN known k USING (telegram_id)
     GROUP BY n.telegram_id
)"""

# The ledger's rows: two entries for each transfer, gapless versions, the house without a balance.
BOOKED = """
due AS (
    SELECT n.*, k.account_id, k.version + n.number AS account_version, n.number = j.last_number AS is_last
      FROM numbered n JOIN judged j USING (telegram_id) JOIN known k USING (telegram_id)
     WHERE j.reason IS NULL
), house AS (
    SELECT id FROM ballast.accounts WHERE user_id IS NULL AND currency = %(currency)s
), transferred AS (
    INSERT INTO ballast.transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind,
                                   status, memo, actor, created_at)
    SELECT due.key, md5(concat_ws(' ', 'import', due.telegram_id, due.amount, %(currency)s, due.memo)),
           CASE WHEN due.amount > 0 THEN house.id ELSE due.account_id END,
           CASE WHEN due.amount > 0 THEN due.account_id ELSE house.id END,
           abs(due.amount), %(currency)s, CASE WHEN due.amount > 0 THEN 'credit' ELSE 'debit' END,
           'applied', due.memo, %(actor)s, due.made_at
      FROM due CROSS JOIN house ORDER BY due.telegram_id, due.number
    RETURNING id, idempotency_key
), entered AS (
    INSERT INTO ballast.entries (transfer_id, account_id, amount, balance_after, account_version)
    SELECT t.id, side.account_id, side.amount, side.balance_after, side.account_version
      FROM transferred t JOIN due ON due.key = t.idempotency_key CROSS JOIN house
     CROSS JOIN LATERAL (VALUES (due.account_id, due.amount, due.balance_after, due.account_version),
                                (house.id, -due.amount, NULL, NULL))
                     AS side (account_id, amount, balance_after, account_version)
     ORDER BY t.id
), settled AS (
    UPDATE ballast.accounts a SET balance = due.balance_after, version = due.account_version
      FROM due WHERE a.id = ANY(%(account_ids)s::bigint[]) AND a.id = due.account_id AND due.is_last
)"""

_FOUND = """
SELECT k.telegram_id, k.is_new, k.transfers > 0, k.wanted, k.booked, coalesce(j.postings, 0), coalesce(j.openings, 0),
       coalesce(j.amount, 0), j.reason
  FROM known k LEFT JOIN judged j USING (telegram_id) ORDER BY k.telegram_id
"""

_TABLES = {
    "person": _PERSON,
    "movement_of_k": _MOVEMENT.replace("AS movement (", "AS m (") + " USING (telegram_id)",
}
_PLAN = f"WITH {_WANTED.format(**_TABLES)}, {JUDGED} {_FOUND}"
_BOOK = f"WITH {_WANTED.format(**_TABLES)}, {JUDGED}, {BOOKED} {_FOUND}"
_LEDGER_SUM = """
SELECT coalesce(sum(e.amount), 0)::bigint
  FROM ballast.transfers t JOIN ballast.entries e ON e.transfer_id = t.id
  JOIN ballast.accounts a ON a.id = e.account_id AND a.user_id IS NOT NULL
 WHERE t.actor = %s AND t.currency = %s
"""


@dataclass(frozen=True, slots=True)
class Booked:
    """What a batch did for one person, or would do.

    known -- this source had something booked for them before. wanted -- minor units in the source; None without
    balances. before -- what was booked for them before. transfers, amount -- booked now, of them `openings` opening
    balances. refused -- why nothing was.
    """

    telegram_id: int
    is_new: bool
    known: bool
    wanted: int | None
    before: int
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
        raise SourceError(f"--source: expected 1 to 32 letters, digits or any of . _ -, found {name[:60]!r}")


def actor_of(source: str) -> str:
    return f"import:{source}"


class Booker:
    """Books one source's people.

    settle -- also what has changed since it was booked. dry -- only say what would be booked.
    """

    def __init__(self, engine: GuardedEngine, source: str, *, settle: bool, dry: bool) -> None:
        self._engine = engine
        self._source = source
        self._settle = settle
        self._dry = dry

    def book(self, people: Sequence[Person], movements: Sequence[Movement]) -> list[Booked]:
        """One batch. Again, it books what is missing, which is nothing. Raises as GuardedEngine.call."""
        parameters = {
            "people": json.dumps([_of_person(person) for person in people]),
            "movements": json.dumps([_of_movement(place, each) for place, each in enumerate(movements)]),
            "telegram_ids": [person.telegram_id for person in people],
            "currency": self._engine.currency,
            "source": self._source,
            "actor": actor_of(self._source),
            "settle": self._settle,
            "amount_max": MAX_AMOUNT,
            "balance_max": MAX_BALANCE,
        }
        return self._engine.call(
            lambda connection: self._batch(connection, parameters),
            name="import.plan" if self._dry else "import.book",
            replayable=True,
            writes=not self._dry,
            deadline_seconds=BATCH_SECONDS_MAX,
        )

    def _batch(self, connection: Connection, parameters: dict[str, Any]) -> list[Booked]:
        def run(statement: str) -> Any:
            return connection.exec_driver_sql(qualified(statement, self._engine.schema), parameters)

        run(PLANNED)
        if self._dry:
            return [Booked(*row) for row in run(_PLAN)]
        there = {
            row[0]
            for row in run("SELECT telegram_id FROM ballast.users WHERE telegram_id = ANY(%(telegram_ids)s)")
        }
        run(_USERS.format(person=_PERSON))
        run(_ACCOUNTS)
        parameters["account_ids"] = [row[0] for row in run(ACCOUNT_IDS)]
        run(LOCK)
        return [Booked(row[0], row[0] not in there, *row[2:]) for row in run(_BOOK)]

    def ledger_sum(self) -> int:
        """Minor units that this source has had booked, reversals counted, over all people."""
        (total,) = self._engine.fetch_row(
            _LEDGER_SUM,
            (actor_of(self._source), self._engine.currency),
            name="import.sum",
            writes=False,
            deadline_seconds=BATCH_SECONDS_MAX,
        )
        return int(total)


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
