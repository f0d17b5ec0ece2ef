"""Files of logs are asked for one after the other, and again while the daemon sends none."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_virtlog.client import LogFiles, RemoteError
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.files import Files

LIMIT = RemoteError(1004, "an answer is on its way")
NO_SUCH_LOG = RemoteError(1002, "there is no such log")
NONE = LogFiles((), more=False)


class FakeClient:
    """Has each request answered by the test."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[LogFiles]]] = []
        self.is_closed = False

    def files(self, path: str, _start: object) -> Deferred[LogFiles]:
        answered: Deferred[LogFiles] = Deferred()
        self.asked.append((path, answered))
        return answered

    def close(self) -> None:
        self.is_closed = True


def files_of(clock: Clock, *others: FakeClient) -> Files:
    """Make what asks, which connects to each of the others in turn."""
    left = list(others)

    async def connect() -> Client:
        return cast(Client, left.pop(0))

    return Files(clock, connect)


def ask(files: Files, client: FakeClient, path: str) -> Deferred[LogFiles]:
    """Ask for the files of a log."""
    return Deferred.fromCoroutine(files.of(cast(Client, client), path, None))


def result(answered: Deferred[LogFiles]) -> list[Any]:
    """Return what it has, if it has something."""
    results: list[Any] = []
    answered.addBoth(results.append)
    return results


def test_one_is_asked_for_after_the_other() -> None:
    files, client = files_of(Clock()), FakeClient()
    first, second = (result(ask(files, client, path)) for path in ("/a", "/b"))
    assert [path for path, _ in client.asked] == ["/a"]
    client.asked[0][1].callback(NONE)
    assert (first, second) == ([NONE], [])
    client.asked[1][1].callback(NONE)
    assert second == [NONE]


def test_it_is_asked_again_while_the_client_has_not_read_what_was_sent() -> None:
    clock, client = Clock(), FakeClient()
    answered = result(ask(files_of(clock), client, "/a"))
    client.asked[0][1].errback(LIMIT)
    assert answered == []
    clock.advance(1)
    client.asked[1][1].callback(NONE)
    assert answered == [NONE]


@pytest.mark.parametrize("ends", ["another error", "nobody waits"])
def test_who_comes_next_has_a_turn(ends: str) -> None:
    files, client = files_of(Clock()), FakeClient()
    first = ask(files, client, "/a")
    second = result(ask(files, client, "/b"))
    if ends == "another error":
        client.asked[0][1].errback(NO_SUCH_LOG)
    else:
        first.cancel()
    (failure,) = result(first)
    assert failure.check(RemoteError) or ends == "nobody waits"
    client.asked[1][1].callback(NONE)
    assert second == [NONE]


def test_who_waits_for_a_file_system_holds_up_only_who_wants_the_same_log() -> None:
    clock, client, other, third = Clock(), FakeClient(), FakeClient(), FakeClient()
    files = files_of(clock, other, third)
    stuck, same = (result(ask(files, client, "/stuck")) for _ in range(2))
    first = result(ask(files, client, "/a"))
    clock.advance(0.9)
    assert other.asked == []
    clock.advance(0.1)
    other.asked[0][1].callback(NONE)
    assert (first, other.is_closed) == ([NONE], True)
    # Nobody waits for a turn that has lasted too long already.
    second = result(ask(files, client, "/b"))
    clock.advance(0)
    third.asked[0][1].callback(NONE)
    assert second == [NONE]
    assert ([path for path, _ in client.asked], stuck, same) == (["/stuck"], [], [])
    client.asked[0][1].callback(NONE)
    client.asked[1][1].callback(NONE)
    assert (stuck, same) == ([NONE], [NONE])


def test_what_nobody_waits_for_any_more_holds_up_nobody_for_long() -> None:
    """The daemon answers no other request over that connection meanwhile."""
    clock, client, other = Clock(), FakeClient(), FakeClient()
    files = files_of(clock, other)
    ask(files, client, "/stuck").addErrback(lambda _cancelled: None).cancel()
    found = result(ask(files, client, "/a"))
    for _ in range(60):
        if other.asked:
            break
        client.asked[-1][1].errback(LIMIT)
        clock.advance(0.02)
    assert not other.is_closed
    other.asked[0][1].callback(NONE)
    assert (found, other.is_closed) == ([NONE], True)


def test_a_connection_is_closed_if_nobody_waits() -> None:
    clock, client, other = Clock(), FakeClient(), FakeClient()
    files = files_of(clock, other)
    ask(files, client, "/stuck")
    waiting = ask(files, client, "/a").addErrback(lambda _cancelled: None)
    clock.advance(1)
    assert len(other.asked) == 1
    waiting.cancel()
    assert other.is_closed
