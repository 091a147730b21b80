"""What /dbstatus says. On a real Redis; tests/acceptance/test_admins.py asks for it in Telegram."""

from __future__ import annotations

import redis

from dbcore.fleet import operate
from workers import status_report


def told(client: redis.Redis) -> str:
    return status_report.text(status_report.read(client, budget=None))


def test_a_breaker_that_cannot_be_read_is_unknown_and_the_rest_is_told(client: redis.Redis) -> None:
    client.rpush("ballast:breaker", "closed")
    lines = told(client).splitlines()
    assert lines[0] == "<b>The database was not probed yet.</b>"
    assert lines[1].startswith("Breaker: unknown, for what Redis holds of it cannot be read")
    assert "Waiting: 0 jobs" in lines
    client.delete("ballast:breaker")
    client.set("ballast:breaker", "no state")
    assert told(client).splitlines() == lines
    operate.tell(client, "open", "test")
    assert "Breaker: held open by an operator" in told(client)
