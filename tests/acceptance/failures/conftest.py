"""One stack for all tests of this folder. They leave failed jobs behind, of which admins are told at some time."""

from tests.acceptance.shared_stack import shared_stack, stack, telegram, telegram_server

__all__ = ["shared_stack", "stack", "telegram", "telegram_server"]
