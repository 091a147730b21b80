"""The search of dbcore/people, and what Redis knows besides: whose job a reference stands for, and what waits."""

from __future__ import annotations

from typing import Any

import redis

from ballast.queueing import lookup
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import UserRef
from dbcore.people import card, search
from dbcore.people.search import Found


def find(engine: GuardedEngine, client: redis.Redis, text: str) -> list[Found]:
    """As dbcore.people.search, and by the reference of a job that waits, unless Redis does not answer."""
    found = search.search(engine, text)
    if not any(each.by != "name" for each in found) and (owner := _owner(client, text)) is not None:
        person = card.find(engine, UserRef(telegram_id=owner))
        if person is not None:
            found = [Found(person, "job"), *(each for each in found if each.person != person)]
    return found


def waiting(client: redis.Redis, telegram_id: int) -> list[dict[str, Any]] | None:
    """Their jobs on record, oldest first; None while Redis does not answer."""
    try:
        return lookup.waiting_of(client, telegram_id)
    except redis.RedisError:
        return None


def _owner(client: redis.Redis, text: str) -> int | None:
    reference = lookup.normal(text)
    if reference is None:
        return None
    try:
        job = lookup.find(client, reference, None)
    except redis.RedisError:
        return None
    return None if job is None else job.telegram_id
