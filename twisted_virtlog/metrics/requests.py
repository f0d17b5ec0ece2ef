"""Which HTTP requests are for metrics, and in which format they are answered."""

from __future__ import annotations

import re
from collections.abc import Iterator

from twisted_virtlog.sockets.http import Refusal, Request

_TARGET = re.compile(rb"(?:http://[^/?#]*)?/metrics(?:\?\S*)?")
_METHODS = (b"GET", b"HEAD")

_OPEN_METRICS = "application/openmetrics-text"
#: What may stand in place of the plain format's type.
_PLAIN = ("text/plain", "text/*", "*/*")


def refusal_of(request: Request) -> Refusal | None:
    """Return why a request is not carried out; None if it is."""
    if not _TARGET.fullmatch(request.target):
        return Refusal(404, "metrics are at /metrics")
    if request.method not in _METHODS:
        return Refusal(405, "metrics are served by GET", allow="GET, HEAD")
    return None


def wants_open_metrics(request: Request) -> bool:
    """Return whether a client rather has OpenMetrics than Prometheus' own format."""
    best, plain = 0.0, 0.0
    for kind, version, quality in _accepted(request):
        if kind == _OPEN_METRICS and version in {"", "1.0.0"}:
            best = max(best, quality)
        elif kind in _PLAIN:
            plain = max(plain, quality)
    return best > 0.0 and best >= plain


def _accepted(request: Request) -> Iterator[tuple[str, str, float]]:
    """Yield each media type that a client accepts, with its version and how much it is wanted."""
    for element in request.words("accept"):
        kind, *parameters = (part.strip() for part in element.split(";"))
        values = dict(one.partition("=")[::2] for one in parameters)
        try:
            quality = float(values.get("q", "1"))
        except ValueError:
            quality = 0.0
        yield kind, values.get("version", ""), quality
