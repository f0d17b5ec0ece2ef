"""A client of JSON-RPC, whose daemon answers what a test tells it to."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed

from tests.fakes.administration import FakeDaemon
from tests.fakes.connection import FakeConnection
from tests.fakes.consumers import FakeConsumers
from tests.fakes.following import FakeFollowing
from tests.fakes.handler import FakeHandler
from tests.fakes.history import FakeHistory
from tests.fakes.metrics import FakeMetrics
from tests.fakes.slices import Slices
from twisted_virtlog.jsonrpc.method import Services, ServingSocket
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation


class Client:
    """One conversation over fakes, as its client sees it."""

    def __init__(
        self, congest_at: int | None = None, daemon: FakeDaemon | None = None, **answers: Any
    ) -> None:
        self.handler = FakeHandler(**answers)
        self.daemon = daemon or FakeDaemon()
        self.sockets = (ServingSocket("jsonrpc", b"/run/virtlogd-jsonrpc-sock", read_only=False),)
        self.slices = Slices()
        self.following = FakeFollowing()
        self.history = FakeHistory()
        self.metrics = FakeMetrics()
        self.consumers = FakeConsumers()
        self.reexecs: list[tuple[str | None, int | None]] = []
        self.services = Services(
            handler=self.handler,
            administration=self.daemon.administration,
            sockets=lambda: self.sockets,
            reexec=self._reexec,
            in_slices=self.slices,
            following=self.following,
            history=self.history,
            metrics=self.metrics,
            consumers=self.consumers,
        )
        self.conversation = JSONRPCConversation(self.services)
        self.connection = FakeConnection(self.conversation, congest_at)
        self.conversation.connection_made(self.connection)

    def _reexec(self, to_virtlogd: str | None, state_version: int | None) -> Deferred[None]:
        self.reexecs.append((to_virtlogd, state_version))
        return succeed(None)

    @property
    def answers(self) -> list[Any]:
        """What was sent, one decoded text for each line."""
        return _decoded(self.connection.output)

    def send(self, data: bytes | str) -> None:
        """Send bytes, and let the daemon have all the turns it asks for."""
        self.conversation.data_received(data.encode() if isinstance(data, str) else data)
        self.connection.take_turns()
        while self.slices.take():
            self.connection.take_turns()

    def ask(self, data: bytes | str) -> list[Any]:
        """Send bytes; return what is answered to them."""
        before = len(self.connection.sent)
        self.send(data)
        return _decoded(b"".join(self.connection.pieces[before:]))

    def call(self, method: str, params: Any = msgspec.UNSET) -> Any:
        """Call a method; return the answer without its frame."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        if params is msgspec.UNSET:
            del request["params"]
        (answer,) = self.ask(msgspec.json.encode(request))
        assert answer.pop("jsonrpc") == "2.0"
        assert answer.pop("id") == 1
        return answer


def _decoded(output: bytes) -> list[Any]:
    lines = output.split(b"\n")
    assert lines.pop() == b"", "an answer without its newline"
    return [msgspec.json.decode(line) for line in lines]
