"""The control API: what it refuses, and what a foreign web page cannot do with it."""

from __future__ import annotations

import aiohttp
import pytest

from devstack.telegram.control import ControlRefusedError, MessageMissingError, TelegramControl
from devstack.telegram.demo import BOB_ID, CAROL_ID


async def test_many_users_can_be_written_to_at_once(control: TelegramControl) -> None:
    ids = await control.create_users(500)
    assert len(ids) == 500
    one = await control.create_user("Eve")
    assert one.id not in ids
    assert (await control.create_user("Fay", started=True)).bot_status == "member"


async def test_a_username_belongs_to_one_and_can_change_hands(control: TelegramControl) -> None:
    with pytest.raises(ControlRefusedError, match="the username BOB belongs to user 2001"):
        await control.change_user(CAROL_ID, username="BOB")
    await control.change_user(BOB_ID, username=None)
    assert (await control.change_user(CAROL_ID, username="BOB")).username == "BOB"


async def test_nobody_presses_what_is_not_there_or_writes_where_they_are_not(
    control: TelegramControl,
) -> None:
    message = (await control.send_text(BOB_ID, "no buttons")).message
    with pytest.raises(ControlRefusedError, match="the message has no such button"):
        await control.press(BOB_ID, message.message_id, "x")
    with pytest.raises(ControlRefusedError, match="user 2002 is not in chat 2001"):
        await control.send_text(CAROL_ID, "hi", chat_id=BOB_ID)


async def test_waiting_in_vain_tells_what_came_instead(control: TelegramControl) -> None:
    await control.send_text(BOB_ID, "something else")
    with pytest.raises(MessageMissingError, match="something else"):
        await control.wait_for_message(
            BOB_ID, lambda message: "expected" in message.text, from_bot=False, timeout_seconds=0.3
        )


async def test_an_edit_of_a_users_message_is_an_update(control: TelegramControl) -> None:
    sent = await control.send_text(BOB_ID, "5.00")
    assert await control.edit_text(BOB_ID, sent.message.message_id, "6.00") is not None
    assert [update.kind for update in await control.updates()] == ["message", "edited_message"]


async def test_a_foreign_pages_form_is_refused(control: TelegramControl, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{control.url}/control/reset", data=b"{}") as response:
        assert response.status == 415


@pytest.mark.parametrize("path", ["/users?limit=many", "/messages?latest=perhaps", "/updates?state=odd"])
async def test_a_wrong_question_is_answered_with_a_reason(
    path: str, control: TelegramControl, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{control.url}/control{path}") as response:
        assert response.status == 400
        assert "expected" in (await response.json())["error"]
