"""The people there from the beginning: the admins, Bob and Carol."""

from __future__ import annotations

from devstack.telegram.people import People
from devstack.telegram.state.users import User
from devstack.telegram.telegram import Telegram

ADMIN_NAMES = ("Ada Admin", "Alan Admin", "Alma Admin", "Amir Admin", "Anna Admin")
BOB_ID, CAROL_ID = 2001, 2002


def add_demo_people(telegram: Telegram, people: People, admin_ids: list[int]) -> None:
    """Add whoever of them is missing; an admin id someone has already makes that user an admin."""
    for number, admin_id in enumerate(admin_ids):
        name = ADMIN_NAMES[number] if number < len(ADMIN_NAMES) else f"Admin {number + 1}"
        if telegram.users.get(admin_id) is not None:
            telegram.users.change(admin_id, {"is_admin": True})
            continue
        first, last = name.split(" ", 1)
        username = first.lower()
        taken = telegram.store.read_one("SELECT 1 FROM users WHERE username = ?", username) is not None
        people.add(
            User(admin_id, first, last, None if taken else username, "en", is_admin=True, deactivated=False),
            started=False,
        )
    if telegram.store.fact("demo_people_added"):
        return
    for user_id, first_name in ((BOB_ID, "Bob"), (CAROL_ID, "Carol")):
        if telegram.users.get(user_id) is None:
            people.add(
                User(user_id, first_name, None, first_name.lower(), "en", is_admin=False, deactivated=False),
                started=False,
            )
    telegram.store.set_fact("demo_people_added", True)
