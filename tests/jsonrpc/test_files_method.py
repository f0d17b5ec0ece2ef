"""The files of a log: what is asked for, what comes with the answer, and who may have it when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from tests.jsonrpc.fakes import Client
from twisted_virtlog.errors import LimitReached, NoSuchLog
from twisted_virtlog.jsonrpc.methods import METHODS
from twisted_virtlog.values import KeptFile, OpenedFile, OpenedFiles, Position

PATH = "/var/log/libvirt/qemu/web.log"
START = {"inode": 7, "offset": 3, "birth": "h1.x"}
WRITTEN = datetime(2026, 11, 26, tzinfo=timezone.utc)


@pytest.fixture
def opened() -> Iterator[OpenedFiles]:
    """Two files, the second one after a gap, with an inode number that is not exact for all."""
    descriptors = [os.memfd_create("a file") for _ in range(2)]
    kept = [
        KeptFile(7, "h1.x", 100, WRITTEN, ""),
        KeptFile(2**60, "h1.y", 5, WRITTEN, "", parted=True),
    ]
    files = [OpenedFile(one, number) for one, number in zip(kept, descriptors, strict=True)]
    yield OpenedFiles(tuple(files), more=True)
    for descriptor in descriptors:
        if is_open(descriptor):
            os.close(descriptor)


def is_open(descriptor: int) -> bool:
    """Return whether a descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def descriptors_of(opened: OpenedFiles) -> list[int]:
    """Return the descriptors, in order."""
    return [file.descriptor for file in opened.files]


def test_the_answer_comes_with_a_descriptor_for_each(opened: OpenedFiles) -> None:
    """Oldest first, in the documented type."""
    client = Client(files=opened)
    answer = client.call("log.files", {"path": PATH, "start": START})["result"]
    msgspec.convert(answer, METHODS["log.files"].result)
    assert answer == {
        "files": [
            {"inode": 7, "birth": "h1.x", "size": 100, "compressed": False, "gap": False},
            {"inode": str(2**60), "birth": "h1.y", "size": 5, "compressed": False, "gap": True},
        ],
        "more": True,
        "fds": 2,
    }
    assert client.handler.calls == [("files", PATH, Position(7, 3, "h1.x"))]
    assert client.connection.descriptors == descriptors_of(opened)
    assert client.connection.claims == [64, -2]


def test_all_is_asked_for_without_a_start() -> None:
    """A log may have no file that can be read so."""
    client = Client(files=OpenedFiles((), more=False))
    answer = client.call("log.files", [PATH])["result"]
    assert answer == {"files": [], "more": False, "fds": 0}
    assert client.handler.calls == [("files", PATH, None)]
    assert client.connection.claims == [64, 0]


def test_it_is_refused_before_anything_is_opened() -> None:
    """Where too many descriptors are on their way."""
    client = Client()
    client.connection.refuses_descriptors = LimitReached("read first", "descriptors")
    error = client.call("log.files", {"path": PATH})["error"]
    assert error == {"code": 1004, "message": "read first", "data": {"limit": "descriptors"}}
    assert client.handler.calls == []
    assert client.connection.claims == [64]


def test_an_error_takes_no_room() -> None:
    """Nor does one that comes later."""
    client = Client(files=NoSuchLog("no file", PATH))
    assert client.call("log.files", {"path": PATH})["error"]["code"] == 1002
    assert client.connection.claims == [64, 0]
    later: Deferred[OpenedFiles] = Deferred()
    client = Client(files=later)
    client.send('{"jsonrpc":"2.0","id":1,"method":"log.files","params":["/a"]}')
    assert client.connection.claims == [64]
    later.errback(NoSuchLog("no file", PATH))
    assert client.connection.claims == [64, 0]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_notification_gets_none(opened: OpenedFiles, is_late: bool) -> None:
    """What was opened for it is closed."""
    later: Deferred[OpenedFiles] = Deferred()
    client = Client(files=later if is_late else opened)
    client.send('{"jsonrpc":"2.0","method":"log.files","params":["/a"]}')
    if is_late:
        later.callback(opened)
    assert client.connection.claims == [64, 0]
    assert not any(map(is_open, descriptors_of(opened)))
    assert client.answers == []


def test_who_has_left_gets_none(opened: OpenedFiles) -> None:
    """A late answer's descriptors are closed."""
    later: Deferred[OpenedFiles] = Deferred()
    client = Client(files=later)
    client.send('{"jsonrpc":"2.0","id":1,"method":"log.files","params":["/a"]}')
    client.connection.abort()
    later.callback(opened)
    assert not any(map(is_open, descriptors_of(opened)))


def test_descriptors_of_a_batch_come_with_its_array(opened: OpenedFiles) -> None:
    """In the order of the entries."""
    client = Client(files=opened, position=Position(1, 2))
    request = '{"jsonrpc":"2.0","id":%d,"method":"log.%s","params":["/a"]}'
    (answers,) = client.ask(f"[{request % (1, 'files')},{request % (2, 'position')}]")
    assert [answer["id"] for answer in answers] == [1, 2]
    assert client.connection.descriptors == descriptors_of(opened)


def test_http_cannot_carry_them() -> None:
    """It is refused there by name."""
    client = Client()
    body = '{"jsonrpc":"2.0","id":1,"method":"log.files","params":["/a"]}'
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    text: Any = client.connection.output.partition(b"\r\n\r\n")[2]
    assert msgspec.json.decode(text)["error"]["code"] == 1012
    assert client.handler.calls == []
