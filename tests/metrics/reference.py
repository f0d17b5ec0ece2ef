"""What the library prometheus_client writes of the same families."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from prometheus_client import exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as open_exposition
from prometheus_client.utils import floatToGoString

from twisted_virtlog.metrics.family import Family, Kind

_CLASSES = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Reference:
    """A registry of the library, for one text."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics

    def text(self, open_metrics: bool) -> str:
        """Return what the library writes."""
        writer = open_exposition if open_metrics else exposition
        return writer.generate_latest(self).decode()  # type: ignore[arg-type]


def metric(family: Family, samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """Return the library's family of the same."""
    if family.kind is Kind.INFO:
        info = InfoMetricFamily(family.name, family.help)
        for values, _ in samples:
            info.add_metric([], dict(zip(family.labels, values, strict=True)))
        return info
    made = _CLASSES[family.kind](family.name, family.help, labels=family.labels, unit=family.unit)
    for values, value in samples:
        made.add_metric(values, value)
    return made


def histogram_metric(
    family: Family,
    values: Sequence[str],
    bounds: Sequence[float],
    counts: Sequence[int],
    total: float,
) -> Metric:
    """Return the library's histogram of the same."""
    made = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
    up_to = [sum(counts[: number + 1]) for number in range(len(counts))]
    names = [floatToGoString(bound) for bound in (*bounds, math.inf)]
    made.add_metric(values, list(zip(names, up_to, strict=True)), total)
    return made
