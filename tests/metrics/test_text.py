"""The text is to the byte what the library prometheus_client writes, and its parser reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from prometheus_client.utils import floatToGoString

from tests.effort import examples
from tests.metrics.reference import Reference, histogram_metric, metric
from twisted_virtlog.metrics.family import Family, Kind
from twisted_virtlog.metrics.text import OPEN_METRICS, PLAIN, histogram, labels, number, samples

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -0.0, 999_999, 1_000_000, 1e15, 1e16, 1e-5, math.inf, -math.inf]),
)
values = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=examples(300))
@given(numbers)
def test_numbers_are_written_as_the_library_does(value: float) -> None:
    assert number(value) == floatToGoString(value)


@settings(max_examples=examples(100))
@given(
    st.sampled_from([Kind.COUNTER, Kind.GAUGE, Kind.INFO]),
    values,
    st.lists(st.tuples(values, values, numbers), max_size=5),
    st.sampled_from(["", "bytes"]),
    st.booleans(),
)
def test_families_are_written_as_the_library_does(
    kind: Kind, text: str, rows: Sequence[tuple[str, str, float]], unit: str, open_metrics: bool
) -> None:
    """Whatever stands in the help and in labels, in both formats."""
    if kind is Kind.INFO:
        unit, rows = "", [(*row[:2], 1) for row in rows]
    family = Family("virtlogd_x_bytes", kind, text, ("domain", "path"), unit)
    found = [((domain, path), value) for domain, path, value in rows]
    written_as = OPEN_METRICS if open_metrics else PLAIN
    written = written_as.head(family) + "".join(samples(family, found)) + written_as.end
    assert written == Reference([metric(family, found)]).text(open_metrics)


@settings(max_examples=examples(50))
@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4), st.floats(0, 1e9), st.booleans())
def test_histograms_are_written_as_the_library_does(
    counts: Sequence[int], total: float, open_metrics: bool
) -> None:
    """With ``le`` among the other labels."""
    family = Family("virtlogd_x_seconds", Kind.HISTOGRAM, "X.", ("kind", "method"), "seconds")
    given_values = (("a", "b"), (0.00001, 0.5, 10_000_000.0), counts, total)
    written_as = OPEN_METRICS if open_metrics else PLAIN
    written = written_as.head(family) + "".join(histogram(family, *given_values)) + written_as.end
    expected = Reference([histogram_metric(family, *given_values)]).text(open_metrics)
    assert written == expected
    (read,) = (parse_open if open_metrics else parse_plain)(written)
    assert read.samples[-1].value == total


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/var/log/a b", "/var/log/a b"),
        ('/x"y\\z\nt', r"/x\"y\\z\nt"),
        ("/g\u00e4st", "/g\u00e4st"),
        ("/\udcff", r"/\\udcff"),
    ],
)
def test_labels_take_any_path(value: str, written: str) -> None:
    """Also one of bytes that are no text, of which another remains different."""
    assert labels(("path",), (value,)) == f'{{path="{written}"}}'
    text = f"x{labels(('path',), (value,))} 1.0\n"
    (family,) = parse_plain(text)
    assert family.samples[0].labels["path"] == value.encode("utf-8", "backslashreplace").decode()
