"""The statements of a batch; docs/adr/0009-set-based-booking.md says why there are any.

JUDGED and BOOKED are CTEs for importing and undoing alike. What comes before them differs: `known`, the accounts, and
`posting`, what is to be booked on them.
"""

from __future__ import annotations

# The tables grow from nothing while the planner's statistics are old or none. What a batch needs of them is looked up
# by indexes, row by row: behind OFFSET 0 and in subqueries, which the planner leaves as they are written. The batch's
# own rows are joined by hashing. So a batch takes the same time in tables of any size.
PLANNER_SETTINGS = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL lock_timeout = '20s'
"""

_PERSON = """
person AS (
    SELECT * FROM json_to_recordset(%(people)s) AS person (
        telegram_id bigint, balance bigint, username text, first_name text, language_code text,
        registered_at timestamptz, status text, stopped boolean)
)"""
_MOVEMENT = """
movement AS (
    SELECT * FROM json_to_recordset(%(movements)s) AS movement (
        place integer, id text, telegram_id bigint, amount bigint, made_at timestamptz, memo text)
)"""

EXISTING_IDS = "SELECT telegram_id FROM ballast.users WHERE telegram_id = ANY(%(telegram_ids)s::bigint[])"

# The same lock as users_touch takes for a name, so that an import and the live bot never make two holders. All names
# of the batch, in one order for all imports, and before any row is locked.
LOCK_USERNAMES = """
SELECT pg_advisory_xact_lock(name.key)
  FROM (SELECT DISTINCT hashtextextended('ballast.users.username:' || name, 0) AS key
          FROM unnest(%(usernames)s::text[]) AS claimed (name) ORDER BY key OFFSET 0) AS name
"""
# In the order of their ids, as users_touch locks them, and before USERS, which goes by their Telegram IDs.
LOCK_USERS = """
SELECT id FROM ballast.users
 WHERE telegram_id = ANY(%(telegram_ids)s::bigint[]) OR lower(username) = ANY(%(usernames)s::text[])
 ORDER BY id FOR NO KEY UPDATE
"""
# The source knows better about people who have not written to Ballast: a name that it does not give to them, or gives
# to somebody else, is free. The next statement assigns it, and sees the result of this one: so two people can swap.
RELEASE_USERNAMES = f"""
WITH {_PERSON}
UPDATE ballast.users AS holder SET username = NULL
 WHERE (holder.telegram_id = ANY(%(telegram_ids)s::bigint[]) OR lower(holder.username) = ANY(%(usernames)s::text[]))
   AND holder.last_seen_at = 'epoch' AND holder.username IS NOT NULL
   AND NOT EXISTS (SELECT FROM person WHERE person.telegram_id = holder.telegram_id
                                        AND lower(person.username) = lower(holder.username))
"""  # noqa: S608

# last_seen_at = 'epoch': the person has not written to Ballast. Until they do, the source knows them best.
USERS = f"""
WITH {_PERSON}
INSERT INTO ballast.users AS known (telegram_id, username, first_name, language_code, status, created_at, last_seen_at,
                                    broadcasts_stopped_at)
SELECT person.telegram_id,
       CASE WHEN NOT EXISTS (SELECT FROM ballast.users holder WHERE lower(holder.username) = lower(person.username)
                                AND holder.telegram_id <> person.telegram_id) THEN person.username END,
       coalesce(person.first_name, ''), person.language_code, coalesce(person.status, 'active'),
       coalesce(person.registered_at, now()), 'epoch', CASE WHEN person.stopped THEN now() END
  FROM person
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
"""  # noqa: S608  who wrote to Ballast before the first import gets their date of registration, once

ACCOUNTS = """
SELECT ballast.ledger_system_account('opening', %(currency)s);
INSERT INTO ballast.accounts (user_id, currency, balance, version)
SELECT u.id, %(currency)s, 0, 0 FROM ballast.users u
 WHERE u.telegram_id = ANY(%(telegram_ids)s)
   AND (SELECT a.id FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s) IS NULL
 ORDER BY u.id
    ON CONFLICT (user_id, currency) DO NOTHING
"""
ACCOUNT_IDS = """
SELECT account.id FROM unnest(%(telegram_ids)s::bigint[]) AS person (telegram_id)
 CROSS JOIN LATERAL (SELECT u.id FROM ballast.users u WHERE u.telegram_id = person.telegram_id OFFSET 0) AS u
 CROSS JOIN LATERAL (SELECT a.id FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s
                     OFFSET 0) AS account
"""
# In the order of their ids, as the ledger's own functions lock them.
LOCK_ACCOUNTS = (
    "SELECT id FROM ballast.accounts WHERE id = ANY(%(account_ids)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)

# For each person what this source had booked for them, and from that what is still to be booked. Sums are numeric: a
# history may pass what a bigint holds, and is judged then. An entry under the key `opening:ID` is what the script in
# an earlier release's bring-your-bot.md booked; `earlier` is its amount.
_WANTED = f"""
{_PERSON}, {_MOVEMENT}, known AS (
    SELECT person.telegram_id, person.balance AS wanted, person.registered_at,
           NOT person.telegram_id = ANY(%(existing_ids)s::bigint[]) AS is_new,
           a.id AS account_id, coalesce(a.balance, 0) AS balance, coalesce(a.version, 0) AS version,
           coalesce(a.held, 0) AS held, coalesce(a.sending_frozen, false) AS sending_frozen,
           coalesce(a.receiving_frozen, false) AS receiving_frozen,
           coalesce(booked.total, 0) AS booked, coalesce(booked.earlier, 0) AS earlier,
           booked.transfers, booked.settlements
      FROM person
      LEFT JOIN LATERAL (SELECT u.id FROM ballast.users u WHERE u.telegram_id = person.telegram_id
                         OFFSET 0) AS u ON true
      LEFT JOIN LATERAL (SELECT a.* FROM ballast.accounts a WHERE a.user_id = u.id AND a.currency = %(currency)s
                         OFFSET 0) AS a ON true
      LEFT JOIN LATERAL (
          SELECT sum(e.amount) AS total, count(*) AS transfers,
                 sum(e.amount) FILTER (WHERE t.actor <> %(actor)s) AS earlier,
                 count(*) FILTER (WHERE t.actor = %(actor)s AND t.idempotency_key LIKE 'settle:%%') AS settlements
            FROM ballast.entries e
           CROSS JOIN LATERAL (
               SELECT t.actor, t.idempotency_key FROM ballast.transfers t
                WHERE t.id = e.transfer_id
                  AND (t.actor = %(actor)s
                       OR %(earlier_counts)s AND t.idempotency_key = 'opening:' || person.telegram_id)
               OFFSET 0) AS t
           WHERE e.account_id = a.id) AS booked ON true
), history AS (
    SELECT k.telegram_id, 1 AS part, movement.place, movement.made_at,
           'history:' || %(source)s || ':' || movement.id AS key, movement.amount::numeric AS amount,
           coalesce(movement.memo, '') AS memo
      FROM known k JOIN movement USING (telegram_id)
     WHERE k.wanted IS NOT NULL AND (k.transfers = 0 OR %(settle)s)
       AND (SELECT t.id FROM ballast.transfers t
             WHERE t.idempotency_key = 'history:' || %(source)s || ':' || movement.id AND t.actor = %(actor)s
               AND k.account_id IN (t.from_account_id, t.to_account_id)) IS NULL
), rest AS (
    SELECT k.telegram_id, CASE WHEN k.transfers = 0 THEN 0 ELSE 2 END AS part, 0 AS place,
           CASE WHEN k.transfers = 0 AND h.first_at IS NOT NULL THEN least(h.first_at, k.registered_at)
                ELSE now() END AS made_at,
           CASE WHEN k.transfers = 0 THEN 'opening:' || %(source)s || ':' || k.telegram_id
                ELSE 'settle:' || %(source)s || ':' || k.telegram_id || ':' || k.settlements + 1 END AS key,
           k.wanted - k.booked - coalesce(h.total, 0) AS amount,
           CASE WHEN k.transfers = 0 THEN 'Opening balance' ELSE 'Opening balance, corrected' END AS memo
      FROM known k
      LEFT JOIN (SELECT telegram_id, sum(amount) AS total, min(made_at) AS first_at
                   FROM history GROUP BY telegram_id) h USING (telegram_id)
     WHERE k.wanted IS NOT NULL AND (k.transfers = 0 OR %(settle)s)
), posting AS (
    SELECT p.*, (SELECT account_id FROM ballast.system_accounts
                  WHERE name = 'opening' AND currency = %(currency)s) AS other_id
      FROM (SELECT * FROM history UNION ALL SELECT * FROM rest WHERE amount <> 0) AS p
)"""  # noqa: S608

# From `known` and `posting`: the balance after each posting, and whose postings the ledger must refuse, all or none.
# The rules are ledger_post's; tests/importing/test_refusals.py holds the two against each other.
JUDGED = """
numbered AS (
    SELECT p.*, (SELECT t.id FROM ballast.transfers t WHERE t.idempotency_key = p.key) IS NOT NULL AS is_taken,
           row_number() OVER person AS number, k.balance + sum(p.amount) OVER person AS balance_after
      FROM posting p JOIN known k USING (telegram_id)
    WINDOW person AS (PARTITION BY p.telegram_id ORDER BY p.part, p.place ROWS UNBOUNDED PRECEDING)
), judged AS (
    SELECT n.telegram_id, count(*) AS postings, sum(n.amount) AS amount, max(n.number) AS last_number,
           count(*) FILTER (WHERE n.part = 0) AS openings,
           CASE WHEN bool_or(n.is_taken) THEN 'key_reused'
                WHEN bool_or(n.amount < 0 AND k.sending_frozen) THEN 'account_frozen'
                WHEN bool_or(n.amount > 0 AND k.receiving_frozen) THEN 'recipient_frozen'
                WHEN min(n.balance_after) < min(least(k.balance, k.held)) THEN 'insufficient_funds'
                WHEN max(abs(n.amount)) > %(amount_max)s THEN 'amount_too_large'
                WHEN max(n.balance_after) > %(balance_max)s THEN 'balance_overflow' END AS reason
      FROM numbered n JOIN known k USING (telegram_id)
     GROUP BY n.telegram_id
)"""

# The ledger's rows: two entries for each transfer, gapless versions, the system account without a balance.
BOOKED = """
due AS (
    SELECT n.telegram_id, n.number, n.key, n.made_at, n.memo, n.other_id, n.amount::bigint AS amount,
           n.balance_after::bigint AS balance_after, k.account_id, k.version + n.number AS account_version,
           n.number = j.last_number AS is_last
      FROM numbered n JOIN judged j USING (telegram_id) JOIN known k USING (telegram_id)
     WHERE j.reason IS NULL
), transferred AS (
    INSERT INTO ballast.transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind,
                                   status, memo, actor, created_at)
    SELECT due.key, md5(concat_ws(' ', 'import', due.telegram_id, due.amount, %(currency)s, due.memo)),
           CASE WHEN due.amount > 0 THEN due.other_id ELSE due.account_id END,
           CASE WHEN due.amount > 0 THEN due.account_id ELSE due.other_id END,
           abs(due.amount), %(currency)s, CASE WHEN due.amount > 0 THEN 'credit' ELSE 'debit' END,
           'applied', due.memo, %(actor)s, due.made_at
      FROM due ORDER BY due.telegram_id, due.number
    RETURNING id, idempotency_key
), entered AS (
    INSERT INTO ballast.entries (transfer_id, account_id, amount, balance_after, account_version)
    SELECT t.id, side.account_id, side.amount, side.balance_after, side.account_version
      FROM transferred t JOIN due ON due.key = t.idempotency_key
     CROSS JOIN LATERAL (VALUES (due.account_id, due.amount, due.balance_after, due.account_version),
                                (due.other_id, -due.amount, NULL, NULL))
                     AS side (account_id, amount, balance_after, account_version)
     ORDER BY t.id
), settled AS (
    UPDATE ballast.accounts a SET balance = due.balance_after, version = due.account_version,
           floor = least(0, due.balance_after - a.held)
      FROM due WHERE a.id = ANY(%(account_ids)s::bigint[]) AND a.id = due.account_id AND due.is_last
)"""

_RESULT = """
SELECT k.telegram_id, k.is_new, k.wanted, k.booked::bigint, k.earlier::bigint, coalesce(j.postings, 0),
       coalesce(j.openings, 0), coalesce(j.amount, 0)::bigint, j.reason
  FROM known k LEFT JOIN judged j USING (telegram_id) ORDER BY k.telegram_id
"""
DRY_RUN = f"WITH {_WANTED}, {JUDGED} {_RESULT}"
BOOK = f"WITH {_WANTED}, {JUDGED}, {BOOKED} {_RESULT}"
