"""Metrics that are a text which a test tells."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_virtlog.interfaces import Answer, IMetrics
from twisted_virtlog.values import MetricsText


@implementer(IMetrics)
class FakeMetrics:
    """Answers with its text.

    :ivar pieces: of the text.
    :ivar later: answered when this fires, if there is such.
    :ivar asked: the formats that were asked for: whether OpenMetrics.
    """

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces) or [b"a 1.0\n", b'b{c="\\\\"} 2.0\n']
        self.later: Deferred[None] | None = None
        self.asked: list[bool] = []

    def text(self, open_metrics: bool) -> Answer[MetricsText]:
        self.asked.append(open_metrics)
        made = MetricsText("text/open" if open_metrics else "text/plain", deque(self.pieces))
        if self.later is None:
            return made
        return self.later.addCallback(lambda _: made)
