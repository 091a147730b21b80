"""What operators did is written down once, with what it did, and stays."""

from __future__ import annotations

import uuid

import pytest
from psycopg2 import errors

from dbcore import admin_actions
from dbcore.admin_actions import DONE, AdminAction
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.guard.engine import GuardedEngine
from tests.dbcore.conftest import Sql

AT = 1_700_000_000.0


def an_order(action: str = "broadcast.pause", target: str = "7", at: float = AT) -> AdminAction:
    return AdminAction(str(uuid.uuid4()), "web:Ada \x00", action, target, at)


def test_an_order_is_written_down_once_with_what_came_of_it_first(engine: GuardedEngine) -> None:
    order = an_order()
    assert admin_actions.outcome_of(engine, order.action_id) is None
    admin_actions.record(engine, order, "refused: no")
    admin_actions.record(engine, order, DONE)
    assert admin_actions.outcome_of(engine, order.action_id) == "refused: no"
    (found,) = admin_actions.recent(engine, 10)
    assert (found.actor, found.action, found.target) == ("web:Ada ", "broadcast.pause", "7")
    assert found.created_at.timestamp() == AT


def test_the_last_ones_come_by_when_they_were_ordered(engine: GuardedEngine) -> None:
    orders = [an_order(target=str(number), at=AT - number) for number in range(5)]
    for order in reversed(orders):
        admin_actions.record(engine, order, DONE)
    assert [found.target for found in admin_actions.recent(engine, 3)] == ["0", "1", "2"]


def test_a_broadcasts_order_is_written_down_with_it_and_only_where_it_is_obeyed(
    engine: GuardedEngine, sql: Sql
) -> None:
    drawn_up = broadcasts.create(engine, key="k", payload={"text": "x"}, segment={}, actor="test")
    refused, obeyed = an_order(), an_order("broadcast.cancel")
    with pytest.raises(BroadcastRefused):
        broadcasts.pause(engine, drawn_up.id, refused)
    with pytest.raises(BroadcastRefused):
        broadcasts.pause(engine, 999, refused)
    for _ in range(2):  # whoever did it first died before he could say so
        broadcasts.cancel(engine, drawn_up.id, obeyed)
    assert sql("SELECT action_id, outcome FROM admin_actions") == [(obeyed.action_id, DONE)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE admin_actions SET actor = 'x'", "DELETE FROM admin_actions", "TRUNCATE admin_actions"],
)
def test_what_was_written_down_stays(engine: GuardedEngine, sql: Sql, statement: str) -> None:
    admin_actions.record(engine, an_order(), DONE)
    with pytest.raises(errors.RestrictViolation, match="append-only"):
        sql(statement)
