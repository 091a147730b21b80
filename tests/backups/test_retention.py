"""Which backups go: never the last proven one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ballast.backups.retention import UNPROVEN_KEPT, superfluous
from ballast.backups.stores import NAME, Note, Stored

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def stored(days_ago: int, *, proven: bool) -> Stored:
    taken = NOW - timedelta(days=days_ago)
    name = f"ballast-1-{taken:%Y%m%dT%H%M%SZ}-0000.tar"
    assert NAME.fullmatch(name)
    note = Note(
        name=name, taken_at="", proven_at="", bytes=1, sha256="", sealed=False, checks=1, inbox=0, revision="",
        server_version="", ballast="",
    )  # fmt: skip
    return Stored(name, 1, note if proven else None)


def test_the_newest_proven_ones_are_kept_by_their_number() -> None:
    backups = [stored(days, proven=True) for days in range(5)]
    assert superfluous(backups, "3", NOW) == backups[3:]


def test_they_are_kept_by_their_age_but_for_the_last_one() -> None:
    backups = [stored(days, proven=True) for days in (40, 50)]
    assert superfluous(backups, "30d", NOW) == backups[1:]


def test_what_was_not_proven_does_not_push_out_what_was() -> None:
    proven = stored(9, proven=True)
    unproven = [stored(days, proven=False) for days in range(5)]
    assert superfluous([*unproven, proven], "1", NOW) == unproven[UNPROVEN_KEPT:]
    assert superfluous(unproven, "1", NOW) == []


@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans()), unique_by=lambda each: each[0]),
    st.sampled_from(["1", "2", "1d", "30d"]),
)
def test_the_last_proven_one_never_goes(days: list[tuple[int, bool]], keep: str) -> None:
    backups = [stored(ago, proven=proven) for ago, proven in sorted(days)]
    proven = [each for each in backups if each.note is not None]
    gone = superfluous(backups, keep, NOW)
    assert not proven or proven[0] not in gone
    assert len(set(gone)) == len(gone)
