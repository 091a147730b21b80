"""What a figure of `/metrics` is, and the few shapes that all of them have.

Labels come from small fixed sets, never from people: what is in none of them is `_OTHER`. What is not known is left
out, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ballast.status.counters import ANSWER_MS
from bot_frontend.web.snapshot import StatusSnapshot

OTHER = "_OTHER"

Values = Iterable[tuple[tuple[str, ...], float | None]]


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Histogram:
    """A histogram's series. counts -- of each bucket of ANSWER_MS, and of what is beyond; total -- seconds."""

    counts: tuple[int, ...]
    total: float

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(f"{bound / 1000:g}" for bound in ANSWER_MS), "+Inf"]
        return [(name, float(sum(self.counts[: place + 1]))) for place, name in enumerate(names)]


@dataclass(frozen=True)
class Metric:
    """values -- labels and value of each series, of a gauge or a counter; spreads -- the same of a histogram."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    values: Callable[[StatusSnapshot, float], Values] = lambda _, __: ()
    spreads: Callable[[StatusSnapshot], Iterable[tuple[tuple[str, ...], Histogram]]] = lambda _: ()


def gauge(name: str, meaning: str, value: Callable[[StatusSnapshot, float], float | None]) -> Metric:
    return Metric(name, Kind.GAUGE, (), meaning, lambda look, now: [((), value(look, now))])


def gauges(
    name: str, label: str, meaning: str, values: Callable[[StatusSnapshot], dict[str, float]]
) -> Metric:
    return Metric(
        name, Kind.GAUGE, (label,), meaning, lambda look, _: [((k,), v) for k, v in values(look).items()]
    )


def state_set(
    name: str, label: str, words: Collection[str], meaning: str, word: Callable[[StatusSnapshot], str | None]
) -> Metric:
    """1 for the word that holds now, 0 for the others; nothing where none is known."""

    def values(look: StatusSnapshot) -> dict[str, float]:
        held = word(look)
        return {} if held is None else {each: float(each == held) for each in words}

    return gauges(name, label, meaning, values)


def total(name: str, meaning: str, *, key: str) -> Metric:
    def values(look: StatusSnapshot, _: float) -> Values:
        return [((), float(look.totals.get(key, 0)) if look.seen_at else None)]

    return Metric(name, Kind.COUNTER, (), meaning, values)


def totals(name: str, key: str, labels: dict[str, Collection[str]], meaning: str) -> Metric:
    """labels -- with the values they may take, in the order of the field `key|value|…`.

    Of a single label all values are there from the start: what begins at 1 Prometheus does not see rise.
    """
    single = next(iter(labels.values())) if len(labels) == 1 else ()

    def values(look: StatusSnapshot, _: float) -> Values:
        found: dict[tuple[str, ...], float] = {(word,): 0.0 for word in single} if look.seen_at else {}
        for field, count in look.totals.items():
            first, *parts = field.split("|")
            if first == key and len(parts) == len(labels):
                known = tuple(
                    part if part in words else OTHER
                    for part, words in zip(parts, labels.values(), strict=True)
                )
                found[known] = found.get(known, 0.0) + count
        return found.items()

    return Metric(name, Kind.COUNTER, tuple(labels), meaning, values)
