"""A small picture of how long the probes took: a line, a red mark where one failed, and shaded while calls were held
back. PNG, for Telegram.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 800, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 46, 40
POINTS_MAX = 720
FONT_PIXELS = 15
MARK_PIXELS = 4

PAPER, INK, GRID = (255, 255, 255), (60, 64, 72), (226, 229, 234)
LINE, AREA, FAILED = (32, 104, 180), (222, 235, 248), (214, 48, 49)
HELD_BACK = (247, 224, 222)

_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe. at -- seconds since 1970; latency_ms -- None where it measured none."""

    at: float
    ok: bool
    latency_ms: float | None


def draw(probes: Sequence[Probed], zone: tzinfo, held_back: Sequence[tuple[float, float]] = ()) -> bytes:
    """The newest POINTS_MAX, oldest first; an empty frame without any.

    zone -- whose clocks the times are by. held_back -- beginning and end of each outage and pause.
    """
    probes = probes[-POINTS_MAX:]
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT_PIXELS)
    measured = [probe.latency_ms for probe in probes if probe.ok and probe.latency_ms is not None]
    top = _round_above(max(measured, default=1.0))
    if probes:
        _shade(pen, held_back, probes[0].at, probes[-1].at)
    _grid(pen, font, top)
    if probes:
        _times(pen, font, probes[0].at, probes[-1].at, zone)
        _curve(pen, probes, top)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def _grid(pen: ImageDraw.ImageDraw, font: Font, top: float) -> None:
    pen.text((LEFT - 8, TOP - 24), "ms", INK, font, anchor="rm")
    for quarter in range(5):
        value = top * quarter / 4
        y = _y(value, top)
        pen.line((LEFT, y, WIDTH - RIGHT, y), GRID)
        pen.text((LEFT - 8, y), f"{value:g}", INK, font, anchor="rm")


def _shade(
    pen: ImageDraw.ImageDraw, held_back: Sequence[tuple[float, float]], begin: float, end: float
) -> None:
    for since, until in held_back:
        if until >= begin and since <= end:
            left, right = (_x(min(max(at, begin), end), begin, end) for at in (since, until))
            pen.rectangle((left, TOP, max(right, left + 1), HEIGHT - BOTTOM), HELD_BACK)


def _times(pen: ImageDraw.ImageDraw, font: Font, begin: float, end: float, zone: tzinfo) -> None:
    for share, anchor in ((0.0, "lt"), (0.5, "mt"), (1.0, "rt")):
        moment = datetime.fromtimestamp(begin + share * (end - begin), zone)
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        name = f" {zone}" if share == 1.0 else ""
        pen.text((x, HEIGHT - BOTTOM + 10), f"{moment:%H:%M}{name}", INK, font, anchor=anchor)


def _curve(pen: ImageDraw.ImageDraw, probes: Sequence[Probed], top: float) -> None:
    begin, end = probes[0].at, probes[-1].at
    floor = HEIGHT - BOTTOM
    piece: list[tuple[float, float]] = []
    for probe in probes:
        x = _x(probe.at, begin, end)
        if probe.ok and probe.latency_ms is not None:
            piece.append((x, _y(probe.latency_ms, top)))
            continue
        _piece(pen, piece, floor)
        piece = []
        if not probe.ok:
            pen.line((x, TOP, x, floor), FAILED, 2)
    _piece(pen, piece, floor)


def _piece(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], floor: int) -> None:
    """What was measured without a break: a line with an area under it, or a dot where it is one probe alone."""
    if len(points) > 1:
        pen.polygon([(points[0][0], floor), *points, (points[-1][0], floor)], AREA)
        pen.line(list(points), LINE, 2)
    for x, y in points[:1] if len(points) == 1 else ():
        pen.ellipse((x - MARK_PIXELS, y - MARK_PIXELS, x + MARK_PIXELS, y + MARK_PIXELS), LINE)


def _x(at: float, begin: float, end: float) -> float:
    return LEFT + (at - begin) / max(1.0, end - begin) * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    floor = HEIGHT - BOTTOM
    return floor - value / top * (floor - TOP)


def _round_above(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, …"""
    scale = 1.0
    for _ in range(12):
        for step in _STEPS:
            if step * scale >= value:
                return step * scale
        scale *= 10
    return value
