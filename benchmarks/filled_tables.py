"""Fills a migrated, empty database with people, transfers between them and broadcast deliveries, by SQL: ten million
entries take minutes, and the audit passes.

Each person has the same number of entries, spread over the whole table, as those of people who come now and then are.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

FIRST_TELEGRAM_ID = 8_000_000_000
OPENING_BALANCE = 10**9
_STRIDE = 7_919
"""A prime, so that the n-th person of a round is not a neighbour of the one before."""

_LATER = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I CASCADE', conrelid::regclass, conname),
       format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint
 WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('u', 'f')
 ORDER BY contype
"""
"""Constraints that are checked at once at the end, which is many times quicker than row by row. Foreign keys first."""

_PEOPLE = """
INSERT INTO users (telegram_id, username, first_name, created_at, last_seen_at)
SELECT %(first)s + i, 'filled' || i, 'Filled ' || i, now() - interval '400 days', now()
  FROM generate_series(1, %(people)s) AS number(i)
"""
_ACCOUNTS = """
WITH house AS (SELECT ledger_system_account('house', 'CREDIT'))
INSERT INTO accounts (user_id, currency, balance, version)
SELECT users.id, 'CREDIT', 0, 0 FROM users, house ORDER BY users.id
"""
# Everybody sends once and receives once per round; before the first one the house gives each their opening balance.
_TRANSFERS = """
WITH people AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM accounts WHERE user_id IS NOT NULL),
house AS (SELECT account_id AS id FROM system_accounts WHERE name = 'house')
INSERT INTO transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind, status,
                       memo, actor, created_at)
SELECT 'filled-opening-' || p.id, md5(p.id::text), house.id, p.id, %(opening)s, 'CREDIT', 'credit', 'applied', '',
       'filled', now() - interval '400 days'
  FROM people AS p, house
"""
_ROUNDS = """
WITH people AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM accounts WHERE user_id IS NOT NULL)
INSERT INTO transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind, status,
                       memo, actor, created_at)
SELECT format('%%s-%%s', md5(r::text), n), md5(format('%%s %%s', r, n)), f.id, t.id, 1 + (n + r) %% 100, 'CREDIT',
       'transfer', 'applied', 'for lunch, thanks', 'filled', now() - interval '400 days' * (1 - r / (%(rounds)s + 1.0))
  FROM generate_series(1, %(rounds)s) AS turn(r)
 CROSS JOIN generate_series(0, %(people)s - 1) AS number(n)
 CROSS JOIN LATERAL (SELECT (n * %(stride)s::bigint + r * 31) %% %(people)s AS place) AS sender
  JOIN people AS f ON f.place = sender.place
  JOIN people AS t ON t.place = (sender.place + r) %% %(people)s
 ORDER BY r, n
"""
_ENTRIES = """
INSERT INTO entries (transfer_id, account_id, amount, balance_after, account_version)
SELECT transfer_id, account_id, amount,
       CASE WHEN user_id IS NOT NULL THEN sum(amount) OVER account END,
       CASE WHEN user_id IS NOT NULL THEN row_number() OVER account END
  FROM (SELECT t.id AS transfer_id, t.from_account_id AS account_id, -t.amount AS amount FROM transfers AS t
        UNION ALL SELECT t.id, t.to_account_id, t.amount FROM transfers AS t) AS side
  JOIN accounts AS a ON a.id = side.account_id
WINDOW account AS (PARTITION BY account_id ORDER BY transfer_id ROWS UNBOUNDED PRECEDING)
 ORDER BY transfer_id, account_id
"""
_BALANCES = """
UPDATE accounts AS a SET balance = last.balance_after, version = last.account_version
  FROM (SELECT DISTINCT ON (account_id) account_id, balance_after, account_version FROM entries
         ORDER BY account_id, account_version DESC) AS last
 WHERE last.account_id = a.id AND a.user_id IS NOT NULL
"""
_BROADCASTS = """
INSERT INTO broadcasts (idempotency_key, status, payload, segment, actor, paid, canary, audience, sent, created_at,
                        started_at, finished_at, settled_user_id, cursor_user_id, frontier_user_id)
SELECT 'filled-' || b, 'finished', '{"kind": "text", "text": "Hello"}', '{}', 'filled', false, 0, %(people)s,
       %(people)s, at, at, at, last, last, last
  FROM generate_series(1, %(broadcasts)s) AS number(b), (SELECT max(id) FROM users) AS newest(last),
       LATERAL (SELECT now() - make_interval(days => %(broadcasts)s - b)) AS times(at)
"""
_DELIVERIES = """
INSERT INTO broadcast_deliveries (broadcast_id, user_id, telegram_id, status, message_id, updated_at)
SELECT b.id, u.id, u.telegram_id, 'sent', u.id, b.finished_at FROM broadcasts AS b, users AS u ORDER BY b.id, u.id
"""


@dataclass(frozen=True, slots=True)
class Size:
    """entries_each -- of a person, an odd number: the opening one, and two for each round.
    broadcasts -- each to all of the people.
    """

    people: int
    entries_each: int
    broadcasts: int

    @property
    def entries(self) -> int:
        """On people's accounts. The house has one more for each person."""
        return self.people * self.entries_each


def fill(admin_url: str, size: Size) -> None:
    """Fill it and analyze it.

    admin_url -- of a superuser: rows come without their foreign keys' checks, which are made once at the end.
    """
    names = {
        "first": FIRST_TELEGRAM_ID,
        "people": size.people,
        "rounds": size.entries_each // 2,
        "broadcasts": size.broadcasts,
        "opening": OPENING_BALANCE,
        "stride": _STRIDE,
    }
    connection = psycopg2.connect(admin_url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'; SET synchronous_commit = off"
            )
            cursor.execute(_LATER, (["transfers", "entries"],))
            later = cursor.fetchall()
            for drop, _ in sorted(later, key=lambda each: "fkey" not in each[0]):
                cursor.execute(drop)
            for statement in (
                _PEOPLE,
                _ACCOUNTS,
                "ANALYZE users",
                "ANALYZE accounts",
                _TRANSFERS,
                _ROUNDS,
                _ENTRIES,
            ):
                cursor.execute(statement, names if "%(" in statement else None)
            cursor.execute("ANALYZE entries")
            for statement in (_BALANCES, _BROADCASTS, _DELIVERIES):
                cursor.execute(statement, names if "%(" in statement else None)
            for _, add in sorted(later, key=lambda each: "FOREIGN" in each[1]):
                cursor.execute(add)
            cursor.execute("VACUUM (ANALYZE)")
    finally:
        connection.close()
