"""Nobody reads the name of a reason."""

from __future__ import annotations

import pytest

from dbcore.outcomes import RejectionReason
from dbcore.people.reasons import in_words


@pytest.mark.parametrize("reason", RejectionReason)
def test_each_reason_has_words(reason: RejectionReason) -> None:
    assert str(in_words(reason)).endswith(".")


def test_an_apps_own_reason_is_said_as_it_is() -> None:
    assert in_words("Sold out") == "Sold out"
