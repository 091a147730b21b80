from __future__ import annotations

import io
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from workers.latency_chart import FAILED, HEIGHT, HELD_BACK, LINE, POINTS_MAX, WIDTH, Probed, draw

BYTES_MAX = 100_000
"""A picture may have to wait in Redis for Telegram."""


def colours(png: bytes) -> set[tuple[int, int, int]]:
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
        counted = image.convert("RGB").getcolors(WIDTH * HEIGHT)
    assert counted is not None
    return {colour for _, colour in counted if isinstance(colour, tuple)}  # type: ignore[misc]  # of an RGB image


def test_latencies_are_a_line_and_failures_red_marks() -> None:
    well = [Probed(60.0 * number, ok=True, latency_ms=3.0 + number % 5) for number in range(100)]
    assert LINE in colours(draw(well, UTC))
    assert FAILED not in colours(draw(well, UTC))
    failed = [*well, Probed(6000.0, ok=False, latency_ms=None)]
    assert FAILED in colours(draw(failed, UTC))
    assert draw(well, ZoneInfo("Asia/Tokyo")) != draw(well, UTC), "by the clocks of whoever reads it"


def test_it_is_shaded_while_calls_were_held_back() -> None:
    well = [Probed(60.0 * number, ok=True, latency_ms=3.0) for number in range(10)]
    assert HELD_BACK in colours(draw(well, UTC, [(130.0, 131.0)]))
    assert HELD_BACK in colours(draw(well, UTC, [(-1e6, 1e6)]))
    assert HELD_BACK not in colours(draw(well, UTC, [(-50.0, -1.0), (601.0, 700.0)]))
    colours(draw([], UTC, [(130.0, 131.0)]))


@pytest.mark.parametrize(
    "probes",
    [
        [],
        [Probed(0.0, ok=True, latency_ms=0.0)],
        [Probed(0.0, ok=True, latency_ms=None)],
        [Probed(0.0, ok=False, latency_ms=None)] * 2,
        [Probed(0.0, ok=True, latency_ms=5.0), Probed(-60.0, ok=True, latency_ms=5.0)],
        [Probed(60.0 * number, ok=True, latency_ms=1e7 * number) for number in range(3 * POINTS_MAX)],
    ],
)
def test_whatever_was_probed_can_be_drawn_and_is_small(probes: list[Probed]) -> None:
    png = draw(probes, UTC)
    assert len(png) < BYTES_MAX
    colours(png)
