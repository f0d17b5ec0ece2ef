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

    def files(self, path: str, _start: object) -> Deferred[LogFiles]:
        answered: Deferred[LogFiles] = Deferred()
        self.asked.append((path, answered))
        return answered


def ask(files: Files, client: FakeClient, path: str) -> Deferred[LogFiles]:
    """Ask for the files of a log."""
    return Deferred.fromCoroutine(files.of(cast(Client, client), path, None))


def result(answered: Deferred[LogFiles]) -> list[Any]:
    """Return what it has, if it has something."""
    results: list[Any] = []
    answered.addBoth(results.append)
    return results


def test_one_is_asked_for_after_the_other() -> None:
    files, client = Files(Clock()), FakeClient()
    first, second = (result(ask(files, client, path)) for path in ("/a", "/b"))
    assert [path for path, _ in client.asked] == ["/a"]
    client.asked[0][1].callback(NONE)
    assert (first, second) == ([NONE], [])
    client.asked[1][1].callback(NONE)
    assert second == [NONE]


def test_it_is_asked_again_while_the_client_has_not_read_what_was_sent() -> None:
    clock, client = Clock(), FakeClient()
    answered = result(ask(Files(clock), client, "/a"))
    client.asked[0][1].errback(LIMIT)
    assert answered == []
    clock.advance(1)
    client.asked[1][1].callback(NONE)
    assert answered == [NONE]


@pytest.mark.parametrize("ends", ["another error", "nobody waits"])
def test_who_comes_next_has_a_turn(ends: str) -> None:
    files, client = Files(Clock()), FakeClient()
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
