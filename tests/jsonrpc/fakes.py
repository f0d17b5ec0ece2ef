"""A log handler that answers what a test tells it to, and a connection that keeps what is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from tests.administration_fakes import FakeDaemon
from twisted_virtlog.interfaces import Answer, IConnection, ILogHandler
from twisted_virtlog.jsonrpc.method import Services, ServingSocket
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation
from twisted_virtlog.values import Closed, Counts, Domain, Excerpt, LogStatus, Opened, Position


@implementer(ILogHandler)
class FakeHandler:
    """Answers each method by what its name was given; an exception is raised.

    :ivar calls: what was asked, in order.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []

    def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        answer = self.answers[call[0]]
        if callable(answer):
            answer = answer(*call[1:])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def open(self, path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        """See ILogHandler."""
        answer: Answer[Opened] = self._answer("open", path, driver, domain, truncate)
        return answer

    def close_log(self, path: str) -> Answer[Closed]:
        """See ILogHandler."""
        answer: Answer[Closed] = self._answer("close_log", path)
        return answer

    def position(self, path: str) -> Answer[Position]:
        """See ILogHandler."""
        answer: Answer[Position] = self._answer("position", path)
        return answer

    def read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        """See ILogHandler."""
        answer: Answer[Excerpt] = self._answer("read", path, position, max_bytes)
        return answer

    def append(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Answer[Position]:
        """See ILogHandler."""
        answer: Answer[Position] = self._answer("append", path, message, driver, domain)
        return answer

    def logs(self) -> Sequence[LogStatus]:
        """See ILogHandler."""
        answer: Sequence[LogStatus] = self._answer("logs")
        return answer

    def is_known(self, path: str) -> bool:
        """See ILogHandler."""
        answer: bool = self._answer("is_known", path)
        return answer

    def counts(self) -> Counts:
        """See ILogHandler."""
        answer: Counts = self._answer("counts")
        return answer


@implementer(IConnection)
class FakeConnection:
    """Keeps what is sent; owns the descriptors it was given, as the real one does.

    :ivar sent: each piece with its descriptors.
    :ivar congest_at: number of bytes from which the client is said not to read.
    """

    def __init__(self, congest_at: int | None = None) -> None:
        self.sent: list[tuple[bytes, tuple[int, ...]]] = []
        self.congest_at = congest_at
        self.paused = False
        self.closed = False
        self.is_gone = False

    @property
    def congested(self) -> bool:
        """See IConnection."""
        return self.congest_at is not None and len(self.output) >= self.congest_at

    @property
    def output(self) -> bytes:
        """All bytes that were sent."""
        return b"".join(data for data, _ in self.sent)

    @property
    def descriptors(self) -> list[int]:
        """All descriptors that were sent, in order."""
        return [d for _, descriptors in self.sent for d in descriptors]

    @property
    def answers(self) -> list[Any]:
        """What was sent, one decoded text for each line."""
        lines = self.output.split(b"\n")
        assert lines.pop() == b"", "an answer without its newline"
        return [msgspec.json.decode(line) for line in lines]

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """See IConnection."""
        if self.is_gone:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        assert data, "descriptors need a byte to ride on"
        assert not self.closed, "sent after it was closed"
        self.sent.append((data, tuple(descriptors)))

    def gather(self) -> None:
        """See IConnection; here each answer is seen by itself."""

    def flush(self) -> None:
        """See IConnection."""

    def pause_reading(self) -> None:
        """See IConnection."""
        self.paused = True

    def resume_reading(self) -> None:
        """See IConnection."""
        self.paused = False

    def close_when_sent(self) -> None:
        """See IConnection."""
        self.closed = True

    def abort(self) -> None:
        """See IConnection."""
        self.is_gone = self.closed = True


class FakeReactorTurns:
    """Keeps what is to be called in a later turn, until the test takes that turn."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def call_soon(self, function: Callable[[], None]) -> None:
        """See Services."""
        self.calls.append(function)

    def take(self) -> int:
        """Make all turns until nothing is left; tell how many there were."""
        turns = 0
        while self.calls:
            calls, self.calls = self.calls, []
            turns += 1
            for call in calls:
                call()
        return turns


class Client:
    """One conversation over fakes, as its client sees it."""

    def __init__(
        self, congest_at: int | None = None, daemon: FakeDaemon | None = None, **answers: Any
    ) -> None:
        self.handler = FakeHandler(**answers)
        self.turns = FakeReactorTurns()
        self.daemon = daemon or FakeDaemon()
        self.sockets = (ServingSocket("jsonrpc", b"/run/virtlogd-jsonrpc-sock", read_only=False),)
        self.reexecs: list[tuple[str | None, int | None]] = []
        self.services = Services(
            handler=self.handler,
            administration=self.daemon.administration,
            sockets=lambda: self.sockets,
            reexec=self._reexec,
            call_soon=self.turns.call_soon,
        )
        self.conversation = JSONRPCConversation(self.services)
        self.connection = FakeConnection(congest_at)
        self.conversation.connection_made(self.connection)

    def _reexec(self, to_virtlogd: str | None, state_version: int | None) -> Deferred[None]:
        self.reexecs.append((to_virtlogd, state_version))
        return succeed(None)

    def send(self, data: bytes | str) -> None:
        """Send bytes, and let the daemon have all the turns it asks for."""
        self.conversation.data_received(data.encode() if isinstance(data, str) else data)
        self.turns.take()

    def ask(self, data: bytes | str) -> list[Any]:
        """Send bytes; return what is answered to them."""
        before = len(self.connection.sent)
        self.send(data)
        sent = self.connection.sent[before:]
        lines = b"".join(piece for piece, _ in sent).split(b"\n")
        assert lines.pop() == b"", "an answer without its newline"
        return [msgspec.json.decode(line) for line in lines]

    def call(self, method: str, params: Any = msgspec.UNSET) -> Any:
        """Call a method; return the answer without its frame."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        if params is msgspec.UNSET:
            del request["params"]
        (answer,) = self.ask(msgspec.json.encode(request))
        assert answer.pop("jsonrpc") == "2.0"
        assert answer.pop("id") == 1
        return answer
