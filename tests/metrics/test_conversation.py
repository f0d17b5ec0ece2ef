"""A scraper's connection: requests are answered one after another, however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.fakes.connection import FakeConnection
from tests.fakes.metrics import FakeMetrics
from twisted_virtlog.metrics.conversation import MetricsConversation
from twisted_virtlog.values import Suspended

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b'a 1.0\nb{c="\\\\"} 2.0\n'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\n" + BODY


class Scraper:
    """One conversation over fakes."""

    def __init__(self, metrics: FakeMetrics | None = None, congest_at: int | None = None) -> None:
        self.metrics = metrics or FakeMetrics()
        self.conversation = MetricsConversation(self.metrics)
        self.connection = FakeConnection(self.conversation, congest_at)
        self.conversation.connection_made(self.connection)

    def send(self, data: bytes) -> bytes:
        """Send bytes; return all that was answered so far."""
        self.conversation.data_received(data)
        self.connection.take_turns()
        return self.connection.output


def test_metrics_are_answered_with_their_size() -> None:
    assert len(BODY) == 20
    scraper = Scraper()
    assert scraper.send(GET) == ANSWER
    assert not scraper.connection.closed


def test_the_format_is_as_the_client_wants() -> None:
    answer = Scraper().send(
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n"
    )
    assert b"\r\nContent-Type: text/open\r\n" in answer


def test_a_head_has_no_body() -> None:
    """But says how long it would be."""
    scraper = Scraper()
    assert scraper.send(GET.replace(b"GET", b"HEAD")) == ANSWER.removesuffix(BODY)
    assert not scraper.connection.closed


@pytest.mark.parametrize(
    "request_", [GET.replace(b"Host: x", b"Connection: close"), GET.replace(b"1.1", b"1.0")]
)
def test_a_connection_ends_that_is_to_end(request_: bytes) -> None:
    """After the whole answer; a request behind it is not carried out."""
    scraper = Scraper()
    answer = scraper.send(request_ + GET)
    assert answer.endswith(b"\r\nConnection: close\r\n\r\n" + BODY)
    assert scraper.connection.closing == "when sent"


@given(st.lists(st.integers(0, 3 * len(GET))))
def test_requests_may_be_cut_anywhere(cuts: list[int]) -> None:
    """And come one behind another."""
    data = 3 * GET
    scraper = Scraper()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        scraper.send(data[begin:end])
    assert scraper.connection.output == 3 * ANSWER
    assert scraper.conversation.held_bytes == 0


@pytest.mark.parametrize(
    ("request_", "status", "goes_on"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found", True),
        (b"PUT /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed\r\nAllow: GET, HEAD", True),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"400 Bad Request", False),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400 Bad Req", False),
        (b"nonsense\r\n\r\n", b"400 Bad Request", False),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"505 HTTP Version Not Supported", False),
        (b"GET /" + b"a" * 20000, b"431 Request Header Fields Too Large", False),
    ],
)
def test_what_is_not_served_is_refused(request_: bytes, status: bytes, goes_on: bool) -> None:
    """The connection goes on where it is certain where the next request begins."""
    scraper = Scraper()
    answer = scraper.send(request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert scraper.connection.closed != goes_on
    if goes_on:
        assert scraper.send(GET).endswith(ANSWER)


def test_who_does_not_read_gets_no_more_than_that() -> None:
    """The rest is sent as it is read."""
    scraper = Scraper(FakeMetrics(*[b"x" * 1000] * 10), congest_at=3000)
    assert len(scraper.send(GET + GET)) < 4100
    scraper.connection.congest_at = None
    scraper.conversation.output_drained()
    assert scraper.connection.output.count(b"x" * 10_000) == 2


def test_an_answer_that_takes_longer_is_waited_for() -> None:
    """Nothing else is carried out meanwhile, and a daemon that stops answers it."""
    scraper = Scraper()
    scraper.metrics.later = later = Deferred()
    assert scraper.send(GET + GET) == b""
    assert scraper.conversation.waiting
    scraper.conversation.finish()
    later.callback(None)
    assert scraper.connection.output == ANSWER
    assert scraper.connection.closing == "when sent"


def test_a_hand_over_loses_nothing() -> None:
    """What was begun is sent before; what has come is carried out after it."""
    scraper = Scraper(congest_at=100)
    scraper.send(GET + GET[:10])
    state = scraper.conversation.suspended()
    assert scraper.connection.output == ANSWER
    assert state == Suspended(received=GET[:10])
    successor = Scraper()
    successor.conversation.resume(state)
    assert successor.send(GET[10:]) == ANSWER


def test_a_client_that_shuts_down_its_side_is_answered() -> None:
    """As ``socat`` does."""
    scraper = Scraper()
    scraper.send(GET)
    scraper.conversation.input_ended()
    assert scraper.connection.output == ANSWER
    assert scraper.connection.closing == "when sent"


def test_one_that_is_gone_is_forgotten() -> None:
    """Whatever was asked, and is answered later."""
    scraper = Scraper()
    scraper.metrics.later = later = Deferred()
    scraper.send(GET + b"more")
    scraper.conversation.connection_lost()
    later.callback(None)
    assert scraper.connection.output == b""
    assert scraper.conversation.held_bytes == 0
