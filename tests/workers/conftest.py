"""The inbox on a real Redis, as tests of ballast have it."""

from tests.ballast.conftest import client, inbox

__all__ = ["client", "inbox"]
