"""Clients of a real daemon that follow logs, with all that they were told."""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from typing_extensions import Self

from harness.daemon import Daemon
from twisted_virtlog.client.feed import Feed, FeedData, FeedEnd, FeedLog
from twisted_virtlog.values import Position

SECONDS = 60.0

#: So much is read at once; texts are longer.
_MOST_READ = 30_000
_LONGEST_HEAD = 64


class Told:
    """What came to one connection.

    :ivar data: the bytes of each subscription, put together.
    :ivar gaps: all that had one, and ``ends`` by subscription.
    :ivar last: where each subscription is to go on.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.data: dict[int, bytearray] = defaultdict(bytearray)
        self.gaps: list[FeedData] = []
        self.ends: dict[int, FeedEnd] = {}
        self.logs: list[FeedLog] = []
        self.last: dict[int, Position] = {}

    def until(self, condition: Callable[[], bool]) -> None:
        """Take what comes until something holds."""
        while not condition():
            self.take(SECONDS)

    def until_has(self, subscription: int, count: int) -> bytes:
        """Take what comes until a subscription has so many bytes; return them."""
        self.until(lambda: len(self.data[subscription]) >= count)
        return bytes(self.data[subscription])

    def until_end(self, subscription: int) -> str:
        """Take what comes until a subscription ends; return why."""
        self.until(lambda: subscription in self.ends)
        return self.ends[subscription].reason

    def take(self, timeout: float) -> bool:
        """Take what comes next; return whether anything came."""
        told = self.feed.next(timeout)
        assert told is not None or not timeout, "nothing came"
        if isinstance(told, FeedData):
            assert told.subscription not in self.ends
            if told.gap:
                self.gaps.append(told)
            self.data[told.subscription] += told.data
            self.last[told.subscription] = told.end
        elif isinstance(told, FeedEnd):
            assert told.subscription not in self.ends
            self.ends[told.subscription] = told
        elif told is not None:
            self.logs.append(told)
        return told is not None


class RawFollower:
    """A connection on which each text is looked at as it comes; it reads as little as is asked."""

    def __init__(self, path: str, headers: bool = False) -> None:
        """:param headers: have ``Content-Length:`` before each text, both ways."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self._has_headers = headers
        self._received = bytearray()
        self._searched = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, text: object) -> None:
        """Send a text."""
        data = json.dumps(text).encode()
        head = b"Content-Length: %d\r\n\r\n" % len(data) if self._has_headers else b""
        self.socket.sendall(head + data)

    def ask(self, number: int, method: str, **params: object) -> None:
        """Send a request."""
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def answer(self) -> Any:
        """Return the next text, which is an answer: its result."""
        return self.text()["result"]

    def text(self) -> Any:
        """Wait for the next text; None at the end."""
        while (text := self._whole()) is None:
            data = self.socket.recv(_MOST_READ)
            if not data:
                assert not self._received
                return None
            self._received += data
        return json.loads(text)

    def rest(self) -> Iterator[Any]:
        """Yield all texts until the end."""
        while (text := self.text()) is not None:
            yield text

    def _whole(self) -> bytes | None:
        """Return the next text, if all of it is there."""
        received = self._received
        if self._has_headers:
            head, found, _ = bytes(received[:_LONGEST_HEAD]).partition(b"\r\n\r\n")
            begin = len(head) + len(found)
            end = begin + int(head.removeprefix(b"Content-Length: ")) if found else -1
        else:
            begin, end = 0, received.find(b"\n", self._searched) + 1 or -1
        if not 0 <= end <= len(received):
            self._searched = len(received)
            return None
        text = bytes(received[begin:end])
        del received[:end]
        self._searched = 0
        return text


def feed(daemon: Daemon) -> Feed:
    """Connect."""
    return Feed(daemon.socket, SECONDS)
