"""One stack for all tests of this folder. They leave failed jobs behind, of which admins are told at some time."""

from tests.acceptance.standing import stack, standing, telegram, telegram_server

__all__ = ["stack", "standing", "telegram", "telegram_server"]
