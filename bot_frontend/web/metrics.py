"""`/metrics` in Prometheus's text format, from what the monitor saw last: one scrape of one frontend shows the fleet.

What there is stands in metric_definitions.py; this turns it into the format, and asks nothing of Redis or the database.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as PrometheusMetric
from prometheus_client.registry import Collector

from bot_frontend.web.metric import Kind, Metric
from bot_frontend.web.metric_definitions import METRICS
from bot_frontend.web.snapshot import StatusSnapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(look: StatusSnapshot, now: float) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(look, now))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, look: StatusSnapshot, now: float) -> None:
        self._look = look
        self._now = now

    def collect(self) -> Iterator[PrometheusMetric]:
        for figure in METRICS:
            yield _family(figure, self._look, self._now)


def _family(figure: Metric, look: StatusSnapshot, now: float) -> PrometheusMetric:
    match figure.kind:
        case Kind.GAUGE | Kind.COUNTER:
            made = GaugeMetricFamily if figure.kind is Kind.GAUGE else CounterMetricFamily
            family = made(figure.name, figure.meaning, labels=figure.labels)
            for labels, value in figure.values(look, now):
                if value is not None:
                    family.add_metric(labels, value)
            return family
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(figure.name, figure.meaning, labels=figure.labels)
            for labels, spread in figure.spreads(look):
                histogram.add_metric(labels, buckets=spread.cumulative(), sum_value=spread.total)
            return histogram
