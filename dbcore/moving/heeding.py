"""What a process of the fleet does when it hears of a move: asked, it tries the new server and says whether it can
connect; and once the database is there it goes on there.

It looks at its start and with each change of the fleet's breaker, which is held during a move and closed after it: so
it knows of the new place before it makes a call again.
"""

from __future__ import annotations

import psycopg2
import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from dbcore.guard import pool
from dbcore.guard.deadline import Deadline
from dbcore.moving import record, sealing, whereabouts
from dbcore.moving.record import Move, MoveState
from dbcore.moving.sealing import Unreadable

log = structlog.get_logger(__name__)

REACH_SECONDS_MAX = 2.5


class MoveListener:
    """Of one process. `url` -- its DATABASE_URL."""

    def __init__(self, client: redis.Redis, url: str, process: str) -> None:
        self._redis = client
        self._url = url
        self._process = process
        self._tried = ""
        self._is_noted = False

    def look(self) -> None:
        """Raises redis.RedisError."""
        if (move := _move_of(self._redis, self._url)) is not None:
            self._heed(move)
        if not self._is_noted and whereabouts.current(self._url) != self._url:
            record.note_followed(self._redis, self._process)
            self._is_noted = True

    def _heed(self, move: Move) -> None:
        if move.state is not MoveState.SWITCHED and self._tried == move.id:
            return
        self._tried = move.id
        try:
            to = sealing.unseal(move.sealed, whereabouts.secrets_of(self._url))
        except Unreadable as error:
            log.error("new_address_unreadable", reason=str(error), move=move.id)
            record.note_reached(
                self._redis, move, self._process, f"the new address cannot be opened: {error}"
            )
            return
        if move.state is MoveState.SWITCHED:
            whereabouts.note(whereabouts.current(self._url), to)
        else:
            record.note_reached(self._redis, move, self._process, _trouble(to))


def follow_record(client: redis.Redis, url: str) -> None:
    """For a command, which is none of the fleet's processes: from now on it connects to where the database at `url`
    went, as far as Redis knows.

    Raises redis.RedisError, Unreadable.
    """
    move = _move_of(client, url)
    if move is not None and move.state is MoveState.SWITCHED:
        to = sealing.unseal(move.sealed, whereabouts.secrets_of(url))
        whereabouts.note(whereabouts.current(url), to)


def _move_of(client: redis.Redis, url: str) -> Move | None:
    """The one on record, if it moves the database that `url` leads to by now."""
    move = record.read(client)
    if move is None or move.fingerprint != whereabouts.fingerprint_of(whereabouts.current(url)):
        return None
    return move


def _trouble(url: str) -> str | None:
    try:
        with Deadline(REACH_SECONDS_MAX), pool.single(url, application_name="ballast").connect():
            return None
    except (SQLAlchemyError, psycopg2.Error) as error:
        return " ".join(str(getattr(error, "orig", None) or error).split())[:300]
