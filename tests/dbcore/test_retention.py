"""Old rows go by settings, in small steps; those of the ledger stay."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import pytest

from dbcore import retention
from dbcore.guard import effects
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.audit import KEPT_TABLES
from dbcore.settings import Settings
from tests.dbcore.conftest import MakeEngine, Person, Sql

OLD, YOUNG = 41, 39
KEEP: dict[str, object] = {
    "effects_keep_days": 40,
    "deliveries_keep_days": 40,
    "failed_jobs_keep_days": 40,
    "health_probes_keep_days": 20,
}
FILLED = f"""
INSERT INTO effects (key, name, result, created_at)
SELECT 'key-' || days || '-' || n, 'n', '1', now() - make_interval(days => days)
  FROM generate_series(1, %(rows)s) AS n, unnest(ARRAY[{OLD}, {YOUNG}]) AS days;
INSERT INTO health_probes (trigger, ok, server_ms, server_version, missing_tables, connections, max_connections,
                           database_bytes, created_at)
SELECT 'beat', true, 1, '18', '{{}}', 1, 1, 1, now() - make_interval(days => days / 2)
  FROM generate_series(1, %(rows)s) AS n, unnest(ARRAY[{OLD} + 1, {YOUNG} - 1]) AS days;
INSERT INTO failed_operations (job_id, kind, reference, error, payload, status, created_at, resolved_at)
SELECT 'job-' || days || '-' || n || '-' || status, 'k', 'r', 'e', '{{}}', status, now() - make_interval(days => 400),
       CASE WHEN status <> 'open' THEN now() - make_interval(days => days) END
  FROM generate_series(1, %(rows)s) AS n, unnest(ARRAY[{OLD}, {YOUNG}]) AS days,
       unnest(ARRAY['open', 'retried', 'discarded']) AS status;
INSERT INTO broadcasts (idempotency_key, status, payload, segment, actor, paid, canary, audience, started_at,
                        finished_at)
SELECT 'b' || days, 'finished', '{{}}', '{{}}', 'test', false, 0, %(rows)s, now(), now() - make_interval(days => days)
  FROM unnest(ARRAY[{OLD}, {OLD} + 1, {YOUNG}]) AS days;
INSERT INTO broadcast_deliveries (broadcast_id, user_id, telegram_id, status)
SELECT b.id, n, n, 'sent' FROM broadcasts AS b, generate_series(1, %(rows)s) AS n
"""
COUNTS = (
    "SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM health_probes), (SELECT count(*) FROM "
    "failed_operations), (SELECT count(*) FROM broadcast_deliveries)"
)


@pytest.fixture
def keeping(make_engine: MakeEngine, make_settings: Callable[..., Settings]) -> Callable[[], dict[str, int]]:
    """Removes what is older than KEEP says; how many rows of which table."""
    engine = make_engine(settings=KEEP)
    return lambda: retention.prune(engine, retention.rules(make_settings(**KEEP)), seconds_max=60)


def test_what_is_older_than_the_settings_keep_it_goes_and_the_rest_stays(
    keeping: Callable[[], dict[str, int]], engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    person(100)
    rows = 1_200  # more than a step takes
    sql(FILLED.replace("%(rows)s", str(rows)))
    assert keeping() == {
        "effects": rows,
        "health_probes": rows,
        "failed_operations": 2 * rows,
        "broadcast_deliveries": 2 * rows,
    }
    assert sql(COUNTS) == [(rows, rows, 4 * rows, rows)]
    assert sql("SELECT count(*) FROM failed_operations WHERE status = 'open'") == [(2 * rows,)]
    assert sql("SELECT count(*) FROM entries") == [(2,)]
    assert keeping() == {}
    ages = retention.oldest(engine)
    assert {table: round(seconds / 86_400) for table, seconds in ages.items()} == {
        "effects": YOUNG,
        "health_probes": (YOUNG - 1) // 2,
        "failed_operations": YOUNG,
        "broadcast_deliveries": YOUNG,
    }


def test_nothing_that_is_money_or_an_operator_s_deed_is_ever_pruned() -> None:
    assert not {*KEPT_TABLES, "users", "accounts"} & {*retention.TABLES}


def test_without_a_setting_keys_are_kept_forever(
    engine: GuardedEngine, make_settings: Callable[..., Settings], sql: Sql
) -> None:
    assert tuple(retention.rules(make_settings())) == retention.TABLES
    sql(
        "INSERT INTO effects (key, name, result, created_at) VALUES ('k', 'n', '1', now() - interval '90 years')"
    )
    assert retention.prune(engine, retention.rules(make_settings())) == {}
    assert retention.oldest(engine).keys() == {"effects"}


def test_a_step_is_bounded_and_leaves_out_what_somebody_holds(
    engine: GuardedEngine, sql: Sql, database_url: str, make_settings: Callable[..., Settings]
) -> None:
    sql(FILLED.replace("%(rows)s", "700"))
    holder = psycopg2.connect(database_url)
    with holder.cursor() as cursor:
        cursor.execute("SELECT FROM effects WHERE key = %s FOR UPDATE", (f"key-{OLD}-1",))
        assert effects.prune(engine, 40) == effects.PRUNED_AT_ONCE == 500
        assert [effects.prune(engine, 40) for _ in range(2)] == [199, 0]
    holder.rollback()
    assert effects.prune(engine, 40) == 1
    holder.close()
    rules = retention.rules(make_settings(**KEEP))
    assert retention.prune(engine, rules, seconds_max=0).keys() == {"health_probes"}  # one step, and no more
