"""What became of recipients is read page by page, what they have can be taken back within two days, and it is forgotten
in the end.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.guard.engine import GuardedEngine
from tests.dbcore.conftest import Person, Sql
from workers.broadcasts import report


def sent_to(engine: GuardedEngine, person: Person, sql: Sql, count: int) -> int:
    """A broadcast to so many people, all of them sent to; its id."""
    for _ in range(count):
        person()
    made = broadcasts.create(engine, key="b", payload={"text": "x"}, segment={}, actor="test")
    broadcasts.begin(engine, made.id)
    sql("UPDATE broadcast_deliveries SET status = 'sent', message_id = 1000 + user_id")
    return made.id


def test_pages_hold_everybody_once_in_order(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    broadcast_id = sent_to(engine, person, sql, 7)
    after, seen = 0, []
    while page := deliveries.page(engine, broadcast_id, after_user_id=after, limit=3):
        assert len(page) <= 3
        seen += [each.telegram_id for each in page]
        after = page[-1].user_id
    known = [telegram_id for (telegram_id,) in sql("SELECT telegram_id FROM users ORDER BY id")]
    assert seen == known


def test_the_report_has_a_line_each_and_goes_on_in_another_part_where_it_grows_too_large(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    broadcast_id = sent_to(engine, person, sql, 7)
    sql(
        "UPDATE broadcast_deliveries SET status = 'failed', error = 'no, \"never\"', message_id = NULL "
        "WHERE user_id = (SELECT max(user_id) FROM broadcast_deliveries)"
    )
    whole = io.BytesIO()
    assert report.write(engine, broadcast_id, whole, page_rows=2) == report.Written(7)
    lines = list(csv.DictReader(io.StringIO(whole.getvalue().decode())))
    assert [line["status"] for line in lines] == 6 * ["sent"] + ["failed"]
    assert (lines[-1]["error"], lines[-1]["sent_at"]) == ('no, "never"', "")
    assert lines[0]["sent_at"].endswith("Z")
    parts: list[str] = []
    last: int | None = 0
    while last is not None:
        part = io.BytesIO()
        written = report.write(engine, broadcast_id, part, after_user_id=last, page_rows=2, bytes_max=150)
        last = written.last_user_id
        parts += [line["telegram_id"] for line in csv.DictReader(io.StringIO(part.getvalue().decode()))]
        assert written.lines < 7
    assert parts == [line["telegram_id"] for line in lines]


def test_no_error_in_the_report_is_a_formula_or_a_line_of_its_own(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    broadcast_id = sent_to(engine, person, sql, 1)
    forged = '=HYPERLINK("x")\u202e\n1,sent,,'
    sql("UPDATE broadcast_deliveries SET status = 'failed', error = %s, message_id = NULL", forged)
    file = io.BytesIO()
    report.write(engine, broadcast_id, file)
    (line,) = csv.DictReader(io.StringIO(file.getvalue().decode()))
    assert line["error"] == '\'=HYPERLINK("x") 1,sent,,'


def test_what_is_older_than_two_days_or_deleted_already_is_not_found_to_delete(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    broadcast_id = sent_to(engine, person, sql, 4)
    old, album, gone, last = (
        user_id for (user_id,) in sql("SELECT user_id FROM broadcast_deliveries ORDER BY user_id")
    )
    sql("UPDATE broadcast_deliveries SET updated_at = now() - interval '49 hours' WHERE user_id = %s", old)
    sql("UPDATE broadcast_deliveries SET more_message_ids = '{5,6}' WHERE user_id = %s", album)
    deliveries.forget_messages(engine, broadcast_id, [gone])
    assert deliveries.count_messages(engine, broadcast_id) == 3
    found = deliveries.arrived(engine, broadcast_id, after_user_id=0, limit=10)
    assert {each.user_id: each.message_ids for each in found} == {
        album: (1000 + album, 5, 6),
        last: (1000 + last,),
    }
    (rest,) = deliveries.arrived(engine, broadcast_id, after_user_id=album, limit=1)
    assert rest.user_id == last


def test_what_ended_long_ago_is_forgotten_bit_by_bit_and_its_counts_stay(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    broadcast_id = sent_to(engine, person, sql, 5)
    young = broadcasts.create(engine, key="c", payload={"text": "x"}, segment={}, actor="test").id
    broadcasts.begin(engine, young)
    for number, days in ((broadcast_id, 91), (young, 89)):
        sql(
            "UPDATE broadcasts SET status = 'finished', unknown = 2, finished_at = now() - make_interval(days => %s) "
            "WHERE id = %s",
            days,
            number,
        )
    assert [deliveries.forget_old(engine, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert sql("SELECT broadcast_id, count(*) FROM broadcast_deliveries GROUP BY 1") == [(young, 5)]
    old = broadcasts.require_progress(engine, broadcast_id)
    assert (old.audience, old.unknown) == (5, 2)
    now = datetime.now(UTC)
    with pytest.raises(BroadcastRefused, match="more than 90 days ago"):
        deliveries.require_kept(engine, old, now)
    with pytest.raises(BroadcastRefused, match="nothing of it can be sent again"):
        broadcasts.resend_unknown(engine, broadcast_id, "word")
    deliveries.require_kept(engine, broadcasts.require_progress(engine, young), now)
