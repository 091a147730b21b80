"""One stack for all tests of this folder, none of which leaves a failed job behind."""

from tests.acceptance.standing import stack, standing, telegram, telegram_server

__all__ = ["stack", "standing", "telegram", "telegram_server"]
