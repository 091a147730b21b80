"""What tests of a bot are written with: the fixtures of ballast/pytest_plugin.py give these objects.

docs/reference/api.md describes each. Needs `pip install 'ballast[testing]'`.
"""

from __future__ import annotations

from ballast.testing.database import Database
from ballast.testing.places import Group, Topic
from ballast.testing.stack import Ballast
from ballast.testing.telegram import Telegram
from ballast.testing.user import Pressed, User
from devstack.telegram.control_objects import SeenMessage, Sent

__all__ = [
    "Ballast",
    "Database",
    "Group",
    "Pressed",
    "SeenMessage",
    "Sent",
    "Telegram",
    "Topic",
    "User",
]
