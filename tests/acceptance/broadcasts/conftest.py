"""One stack for all tests of this folder, whose broadcasts go to the people of the one test."""

from __future__ import annotations

import pytest

from devstack.stack import Stack
from tests.acceptance.shared_stack import PROGRAMS, at_work, shared_stack, telegram, telegram_server

__all__ = ["shared_stack", "stack", "telegram", "telegram_server"]


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """With the worker that broadcasts, and beat. Whom tests before had to do with get no broadcast any more."""
    at_work(shared_stack, *PROGRAMS, "bulk", "beat")
    shared_stack.query("UPDATE users SET status = 'blocked'")
    return shared_stack
