"""Each request is counted with how long it took, whether it is answered at once, later or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from tests.fakes.connection import FakeConnection
from twisted_virtlog.loop.durations import BOUNDS, ByName, Durations
from twisted_virtlog.sockets import asking
from twisted_virtlog.sockets.asking import AskingConversation


@dataclass
class Entry:
    """What can be asked."""

    name: str
    ask: Callable[[Any, Any], Any]


class Asking(AskingConversation[int, Entry, str]):
    """Carries out one entry again and again, once for each byte that comes."""

    def __init__(self, calls: ByName | None, entry: Entry) -> None:
        super().__init__(calls)
        self.entry = entry
        self.left = 0
        self.replies: list[str] = []

    @property
    def held_bytes(self) -> int:
        return self.left

    def discard(self) -> None:
        self.left = 0

    def feed(self, data: bytes) -> None:
        self.left += len(data)

    def handle_next(self) -> bool | Deferred[None]:
        if not self.left:
            return False
        self.left -= 1
        reply = self.carry_out(self.left, self.entry, None, None)
        if isinstance(reply, Deferred):
            return reply.addCallback(self.replies.append)
        self.replies.append(reply)
        return True

    def present(self, answer: Any, request: int, entry: Entry, arguments: Any) -> Any:
        return answer

    def fail(
        self,
        error: BaseException | None,
        failure: Failure | None,
        request: int,
        entry: Entry,
        arguments: Any,
    ) -> str:
        return f"failed: {error}"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets."""
    now = [100.0]
    for module in ("asking", "conversation"):
        monkeypatch.setattr(f"twisted_virtlog.sockets.{module}.monotonic", lambda: now[0])
    assert asking.monotonic() == 100.0
    return now


def ask(entry: Entry, requests: int = 1) -> tuple[Asking, Durations]:
    """Let a client ask; return what was counted of the entry."""
    calls = ByName()
    conversation = Asking(calls, entry)
    conversation.connection_made(FakeConnection(conversation))
    conversation.data_received(b"x" * requests)
    return conversation, calls[entry.name]


def test_what_is_answered_at_once_is_counted_by_itself(now: list[float]) -> None:
    """Each from the end of the one before."""

    def take(service: object, arguments: object) -> str:
        now[0] += 0.25
        return "done"

    conversation, measured = ask(Entry("a", take), requests=3)
    assert conversation.replies == ["done"] * 3
    assert (measured.counts[BOUNDS.index(0.5)], measured.seconds, measured.failed) == (3, 0.75, 0)
    assert sum(measured.counts) == 3


@pytest.mark.parametrize("from_present", [False, True])
def test_what_is_answered_later_is_counted_then(now: list[float], from_present: bool) -> None:
    """Whether the answer comes later, or its presentation takes long."""
    later: Deferred[str] = Deferred()

    class Presenting(Asking):
        def present(self, answer: Any, request: int, entry: Entry, arguments: Any) -> Any:
            return later if from_present else answer

    calls = ByName()
    entry = Entry("a", lambda *_: "text" if from_present else later)
    conversation = Presenting(calls, entry)
    conversation.connection_made(FakeConnection(conversation))
    conversation.data_received(b"x")
    now[0] += 10.0
    assert sum(calls["a"].counts) == 0
    later.callback("done")
    assert conversation.replies == ["done"]
    assert (calls["a"].counts[-1], calls["a"].seconds) == (1, 10.0)


def test_failures_are_counted_too(now: list[float]) -> None:
    """At once, or later."""

    def broken(service: object, arguments: object) -> str:
        raise ValueError("no")

    for entry in (Entry("a", broken), Entry("b", lambda *_: fail(ValueError("no")))):
        conversation, measured = ask(entry)
        assert conversation.replies == ["failed: no"]
        assert (sum(measured.counts), measured.failed) == (1, 1)


def test_nobody_need_want_to_know() -> None:
    conversation = Asking(None, Entry("a", lambda *_: "done"))
    conversation.connection_made(FakeConnection(conversation))
    conversation.data_received(b"x")
    assert conversation.replies == ["done"]
