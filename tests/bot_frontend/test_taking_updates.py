"""Whose lane an update is in that a function of an app takes, where it is answered, and who is told that it waits. A
process of its own says it, for which apps there are is known from its start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot_frontend.updates import ALLOWED_UPDATES
from tests.harness.programs import run_program

ANN = {"id": 7, "is_bot": False, "first_name": "Ann"}
PRIVATE = {"id": 7, "type": "private"}
GROUP = {"id": -100, "type": "supergroup"}
CHANNEL = {"id": -200, "type": "channel"}
DATED = {"message_id": 5, "date": 1_700_000_000}
PLACE = {"location": {"latitude": 1, "longitude": 2}}
IN_TOPIC = {"is_topic_message": True, "message_thread_id": 3}
FORWARDED = {"forward_origin": {"type": "hidden_user", "sender_user_name": "Bo", "date": 1_700_000_000}}
ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
REACTION = {"user": ANN, "old_reaction": [], "new_reaction": [], **DATED}
JOINING = {"from": ANN, "chat": GROUP, "user_chat_id": 7, "date": 1_700_000_000}
VOTE = {"poll_id": "1", "user": ANN, "option_ids": [0], "option_persistent_ids": ["0"]}

MESSAGE = "Your message is saved, and I'll answer it here as soon as I can."
REQUEST = "Your request is saved, and I'll write to you here as soon as I can."

EXPECTED: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "in private": (
        {"message": {**DATED, "chat": PRIVATE, "from": ANN, **PLACE}},
        ["message", "user:7", [7, 7, 5, None], MESSAGE],
    ),
    "forwarded": (
        {"message": {**DATED, "chat": PRIVATE, "from": ANN, **PLACE, **FORWARDED}},
        ["message", "user:7", [7, 7, 5, None], MESSAGE],
    ),
    "in a group's topic": (
        {"message": {**DATED, "chat": GROUP, "from": ANN, **PLACE, **IN_TOPIC}},
        ["message", "user:7", [-100, 7, 5, 3], None],
    ),
    "as a group": (
        {"message": {**DATED, "chat": GROUP, "from": ANONYMOUS, "sender_chat": GROUP, **PLACE}},
        ["message", "chat:-100", [None, None, None, None], None],
    ),
    "by a channel": (
        {"channel_post": {**DATED, "chat": CHANNEL, "sender_chat": CHANNEL, **PLACE}},
        ["message", "chat:-200", [None, None, None, None], None],
    ),
    "edited": (
        {"edited_message": {**DATED, "chat": GROUP, "from": ANN, "text": "x", **IN_TOPIC}},
        ["edited_message", "user:7", [-100, 7, 5, 3], None],
    ),
    "a reaction": (
        {"message_reaction": {**REACTION, "chat": PRIVATE}},
        ["message_reaction", "user:7", [7, 7, None, None], REQUEST],
    ),
    "a reaction in a group": (
        {"message_reaction": {**REACTION, "chat": GROUP}},
        ["message_reaction", "user:7", [-100, 7, None, None], None],
    ),
    "without a chat": ({"poll_answer": VOTE}, ["poll_answer", "user:7", [7, 7, None, None], REQUEST]),
    "who wants to join": (
        {"chat_join_request": JOINING},
        ["chat_join_request", "user:7", [7, 7, None, None], REQUEST],
    ),
    "of somebody's business": (
        {"business_message": {**DATED, "chat": PRIVATE, "from": ANN, "business_connection_id": "1"}},
        ["business_message", "user:7", [None, None, None, None], None],
    ),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("updates")
    raws = {name: {"update_id": 1, **raw} for name, (raw, _) in EXPECTED.items()}
    program = ["-m", "tests.bot_frontend.taking_updates", json.dumps(raws)]
    done = run_program(program, folder, BALLAST_APPS="tests.bot_frontend.taking_updates:app")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_function_answers_where_the_update_came_from_and_a_group_is_not_told_to_wait(
    said: Any, name: str
) -> None:
    kind, lane, origin, told = EXPECTED[name][1]
    found_kind, found_lane, found_origin, found_told = said["found"][name]
    assert (found_kind, found_lane, found_origin) == (f"shop.update.{kind}", lane, origin)
    assert found_told is None if told is None else told in found_told


def test_telegram_is_asked_for_what_is_registered_and_no_more(said: Any) -> None:
    assert set(said["allowed"]) == {
        *ALLOWED_UPDATES,
        *("channel_post", "edited_message", "message_reaction"),
        *("poll_answer", "chat_join_request", "business_message"),
    }
