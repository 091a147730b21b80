"""One stack for all tests of this folder, none of which leaves a failed job behind."""

from tests.acceptance.shared_stack import shared_stack, stack, telegram, telegram_server

__all__ = ["shared_stack", "stack", "telegram", "telegram_server"]
