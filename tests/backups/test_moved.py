"""After `ballast move` a backup finds its way as the processes do."""

from __future__ import annotations

import redis

from ballast.backups import source
from dbcore.moving import record, whereabouts
from dbcore.moving.record import Move, MoveState
from dbcore.moving.sealing import seal
from tests.conftest import MakeSettings

GONE = "postgresql://bot:the-old-password@127.0.0.1:1/old"


def test_the_new_database_is_backed_up_though_the_old_server_is_gone_and_settings_still_name_it(
    make_settings: MakeSettings, database_url: str, redis_url: str
) -> None:
    sealed = seal(database_url, ["the-old-password"])
    move = Move("m", MoveState.SWITCHED, whereabouts.fingerprint_of(GONE), "old", "new", sealed, "dump", 1.0)
    try:
        with redis.Redis.from_url(redis_url) as client:
            record.write(client, move)
            for direct in (None, "postgresql://bot:other@127.0.0.1:1/old"):
                found = source.database(make_settings(database_url=GONE, backup_database_url=direct), client)
                assert whereabouts.place_of(found) == whereabouts.place_of(database_url)
    finally:
        whereabouts._moved.clear()
