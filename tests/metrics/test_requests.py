"""Which requests are for metrics, and in which format they are answered."""

from __future__ import annotations

import pytest

from twisted_virtlog.metrics.requests import refusal_of, wants_open_metrics
from twisted_virtlog.sockets.http import Request, parse_request


def request(*lines: str, first: str = "GET /metrics HTTP/1.1") -> Request:
    """Make a request."""
    return parse_request("\r\n".join((first, *lines, "", "")).encode())


@pytest.mark.parametrize(
    ("first", "status", "allow"),
    [
        ("GET /metrics HTTP/1.1", None, ""),
        ("HEAD /metrics HTTP/1.0", None, ""),
        ("GET /metrics?target=a HTTP/1.1", None, ""),
        ("GET http://localhost/metrics HTTP/1.1", None, ""),
        ("GET / HTTP/1.1", 404, ""),
        ("GET /metrics/ HTTP/1.1", 404, ""),
        ("GET /a/metrics HTTP/1.1", 404, ""),
        ("POST / HTTP/1.1", 404, ""),
        ("POST /metrics HTTP/1.1", 405, "GET, HEAD"),
        ("get /metrics HTTP/1.1", 405, "GET, HEAD"),
    ],
)
def test_what_is_served(first: str, status: int | None, allow: str) -> None:
    """One path, to be read."""
    refused = refusal_of(request(first=first))
    assert (refused and refused.status) == status
    assert refused is None or refused.allow == allow


#: What Prometheus 2.42 sends, and later ones.
_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "open_metrics"),
    [
        ([], False),
        (["*/*"], False),
        ([_PROMETHEUS], True),
        (["Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8"], True),
        (["application/openmetrics-text"], True),
        (["text/plain;version=0.0.4, application/openmetrics-text"], True),
        (["text/plain;q=0.9", "application/openmetrics-text;q=0.8"], False),
        (["application/openmetrics-text;q=0"], False),
        (["application/openmetrics-text;version=2.0.0"], False),
        (["application/openmetrics-text;q=high"], False),
        (["text/html, , ;q"], False),
    ],
)
def test_the_format_is_the_one_that_is_rather_wanted(accept: list[str], open_metrics: bool) -> None:
    """Prometheus' own where nothing is said."""
    assert wants_open_metrics(request(*(f"Accept: {one}" for one in accept))) == open_metrics
