"""A Redis database belongs to the bot that used it first."""

from __future__ import annotations

import pytest
import redis

from ballast.process import ownership
from ballast.process.ownership import WrongBot
from tests.conftest import MakeSettings


def test_the_first_bot_keeps_its_redis_and_another_is_told_what_to_do(
    client: redis.Redis, make_settings: MakeSettings
) -> None:
    first, second = (make_settings(telegram_bot_token=f"{bot_id}:SECRET") for bot_id in (111, 222))
    ownership.claim(client, make_settings())
    assert not client.exists(ownership.KEY), "without a token nobody is bound"
    ownership.claim(client, first)
    ownership.claim(client, first)
    with pytest.raises(WrongBot) as refused:
        ownership.claim(client, second)
    said = str(refused.value)
    assert "belongs to bot 111" in said
    assert "bot 222" in said
    assert "its own Redis database" in said
    assert "SECRET" not in said
    assert "\n" not in said


def test_a_redis_of_ones_own_is_handed_over(client: redis.Redis, make_settings: MakeSettings) -> None:
    ownership.claim(client, make_settings(telegram_bot_token="111:A"))
    ownership.hand_over(client, 222)
    ownership.claim(client, make_settings(telegram_bot_token="222:B"))
