from __future__ import annotations

import pytest

from workers.plurals import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (1_001, "1,001 jobs")]
)
def test_one_is_singular_and_all_else_is_not(number: int, said: str) -> None:
    assert counted(number, "job", "jobs") == said
