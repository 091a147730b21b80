"""People find their time zone by the name of their city."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ballast.builtin import button_data
from ballast.texts import time_zones


@pytest.mark.parametrize(
    ("words", "zones"),
    [
        ("Europe/Berlin", ["Europe/Berlin"]),
        ("europe/berlin", ["Europe/Berlin"]),
        ("BERLIN", ["Europe/Berlin"]),
        ("new york", ["America/New_York"]),
        ("New_York", ["America/New_York"]),
        ("São Paulo", ["America/Sao_Paulo"]),
        ("utc", ["UTC"]),
        ("Etc/GMT-3", ["Etc/GMT-3"]),
        ("Etc/GMT+3", ["Etc/GMT+3"]),
        ("Buenos", ["America/Argentina/Buenos_Aires"]),
        ("nowhere at all", []),
        ("../../etc/passwd", []),
        ("", []),
        ("\u200b", []),
    ],
)
def test_a_zone_is_found_by_its_name_or_its_city(words: str, zones: list[str]) -> None:
    assert time_zones.find(words)[:1] == zones


def test_what_several_cities_match_is_a_choice_of_a_few() -> None:
    found = time_zones.find("san")
    assert 1 < len(found) <= time_zones.FOUND_MAX
    assert found[0] == "America/Santiago", "those that are offered stand first"


def test_the_short_list_is_in_the_order_of_the_clocks() -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    offered = time_zones.offered(now)
    assert (offered[0], offered[-1]) == ("Pacific/Honolulu", "Australia/Sydney")
    assert sorted(offered) == sorted(time_zones.OFFERED)


def test_each_zone_that_can_be_found_fits_a_button() -> None:
    for name in time_zones.all_names():
        data = button_data.time_zone(2**52, name)
        assert len(data.encode()) <= 64
        assert button_data.TIME_ZONE.fullmatch(data), name
