"""All three clients follow logs of a daemon on a real UNIX socket, also when it goes and comes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, FakeDaemon, Params, Refusal
from tests.client.followers import DRIVERS, Driver
from twisted_virtlog.client import Disconnected, Position, RemoteError, Unreachable
from twisted_virtlog.client.notifications import FollowedChunk

Refuse = Callable[[Params], Any]


@pytest.fixture(params=DRIVERS, ids=lambda kind: kind.__name__)
def driver(request: pytest.FixtureRequest, daemon: FakeDaemon) -> Iterator[Driver]:
    """Connect a client of each kind; it leaves nothing open."""
    before = len(os.listdir("/proc/self/fd"))
    driver: Driver = request.param(str(daemon.path))
    daemon.wait_for(lambda daemon: daemon.accepted == 1)
    yield driver
    driver.close()
    daemon.wait_for(lambda daemon: not daemon.connections)
    # (a daemon that was stopped has closed something of its own)
    assert len(os.listdir("/proc/self/fd")) <= before


def chunk(start: int, data: bytes) -> FollowedChunk:
    """Return what comes of a fake log."""
    return FollowedChunk(data, Position(INODE, start), Position(INODE, start + len(data)))


def refuse(code: int) -> Refuse:
    """Return what answers with an error."""

    def answer(_params: Params) -> Any:
        raise Refusal(code, "no")

    return answer


def test_all_that_is_written_after_the_beginning_comes(daemon: FakeDaemon, driver: Driver) -> None:
    """Every byte, from where the log was when following it had begun."""
    daemon.logs["/a"] = b"before"
    with_all = bytes(range(256))
    following = driver.follow("/a")
    assert following.position == Position(INODE, 6)
    daemon.write("/a", with_all)
    assert following.next() == chunk(6, with_all)
    daemon.write("/a", b"more")
    assert following.next() == chunk(262, b"more")
    following.close()
    assert following.ended == "unfollowed"
    assert following.next() is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"position": Position(INODE, 2)}, {"position": {"inode": INODE, "offset": 2}}),
        (
            {"since": datetime(2024, 2, 29, 12, tzinfo=timezone.utc), "until_closed": True},
            {"since": "2024-02-29T12:00:00Z", "until": "closed"},
        ),
    ],
)
def test_where_it_begins_is_asked_for(
    daemon: FakeDaemon, driver: Driver, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Only what is wanted is sent, over a connection beside the client's."""
    driver.follow("/a", **given).close()
    asked = [one for one in daemon.requests if one["method"] == "log.follow"]
    assert [one["params"] for one in asked] == [{"path": "/a", "encoding": "base64", **sent}]
    assert daemon.accepted == 2


def test_two_beginnings_are_refused_at_once(driver: Driver) -> None:
    """It is a mistake of the program, and nothing is asked."""
    with pytest.raises(ValueError, match="not from both"):
        driver.client.follow("/a", Position(1, 2), since=datetime(2024, 2, 29, tzinfo=timezone.utc))


def test_each_byte_comes_once_over_crashes(daemon: FakeDaemon, driver: Driver) -> None:
    """What was taken is not told again, and what was not is not left out."""
    daemon.logs["/a"] = b"before"
    daemon.chunk_bytes = 2
    following = driver.follow("/a")
    daemon.crash()
    daemon.write("/a", b"12345")
    assert following.next() == chunk(6, b"12")
    daemon.crash()
    # (the rest may have come before the crash, or comes after it)
    got = b""
    while len(got) < 3:
        got += following.next().data
    assert got == b"345"
    daemon.crash()
    daemon.write("/a", b"6")
    assert following.next() == chunk(11, b"6")
    following.close()


def test_a_position_that_was_asked_for_is_asked_for_again(
    daemon: FakeDaemon, driver: Driver
) -> None:
    """Before anything came, it is where to go on; so a gap after it is told in any case."""
    wanted = Position(3, 1, "h1.a")
    following = driver.follow("/a", wanted)
    daemon.crash()
    daemon.logs["/a"] = b"xy"
    assert following.next() == chunk(1, b"y")
    following.close()
    asked = [one["params"] for one in daemon.requests if one["method"] == "log.follow"]
    assert (
        asked
        == [
            {
                "path": "/a",
                "encoding": "base64",
                "position": {"inode": 3, "offset": 1, "birth": "h1.a"},
            }
        ]
        * 2
    )


def test_a_log_that_is_not_there_is_followed_from_its_first_byte(
    daemon: FakeDaemon, driver: Driver
) -> None:
    """Also if it begins while the daemon cannot be reached."""
    following = driver.follow("/a")
    assert following.position == Position(0, 0)
    daemon.crash()
    daemon.logs["/a"] = b"first"
    assert following.next() == chunk(0, b"first")
    following.close()
    asked = [one["params"] for one in daemon.requests if one["method"] == "log.follow"]
    assert asked[-1]["position"] == {"inode": 0, "offset": 0}


def test_another_daemon_takes_over(daemon: FakeDaemon, driver: Driver, tmp_path: Path) -> None:
    """The socket may be away meanwhile, for any time."""
    following = driver.follow("/a")
    daemon.write("/a", b"one")
    assert following.next() == chunk(0, b"one")
    daemon.stop()
    daemon.path.unlink()
    second = FakeDaemon(tmp_path / "later", {"/a": b"onetwo"})
    os.link(second.path, daemon.path)
    try:
        assert following.next() == chunk(3, b"two")
    finally:
        following.close()
        second.stop()


def test_a_daemon_that_shuts_down_is_waited_for(daemon: FakeDaemon, driver: Driver) -> None:
    """It says so; the next one goes on."""
    following = driver.follow("/a")
    daemon.write("/a", b"one")
    daemon.end("/a", "shutting down")
    assert following.next() == chunk(0, b"one")
    daemon.logs["/a"] += b"two"
    assert following.next() == chunk(3, b"two")
    following.close()


@pytest.mark.parametrize("reason", ["closed", "unfollowed", "of a newer daemon"])
def test_an_end_is_an_end(daemon: FakeDaemon, driver: Driver, reason: str) -> None:
    """What came before it is there, and then it is over."""
    following = driver.follow("/a")
    daemon.write("/a", b"one")
    daemon.end("/a", reason)
    assert following.ended is None
    assert following.next() == chunk(0, b"one")
    assert following.next() is None
    assert following.ended == reason
    assert following.next() is None
    # Its connection is closed, and the client's is not.
    driver.settle()
    daemon.wait_for(lambda daemon: len(daemon.connections) == 1)


def test_files_that_cannot_be_read_are_an_error(daemon: FakeDaemon, driver: Driver) -> None:
    """With all that the daemon says of it; after that nothing comes."""
    following = driver.follow("/a")
    error = {"errno": "EIO", "strerror": "Input/output error", "path": "/a"}
    daemon.end("/a", "failed", error=error)
    with pytest.raises(RemoteError, match="cannot follow /a: Input/output error") as raised:
        following.next()
    assert (raised.value.code, raised.value.data) == (1003, error)
    assert following.next() is None
    assert following.ended == "failed"


@pytest.mark.parametrize("code", [-32601, -32602, 1004, 1011, 1012])
def test_a_refusal_at_first_is_raised(daemon: FakeDaemon, driver: Driver, code: int) -> None:
    """Nothing has begun then."""
    daemon.answers["log.follow"] = refuse(code)
    with pytest.raises(RemoteError) as raised:
        driver.follow("/a")
    assert raised.value.code == code


@pytest.mark.parametrize("code", [-32601, -32602, -32603, 1011, 1012])
def test_a_refusal_that_stays_is_raised_later_too(
    daemon: FakeDaemon, driver: Driver, code: int
) -> None:
    """Nobody waits for ever for what cannot come."""
    following = driver.follow("/a")
    daemon.answers["log.follow"] = refuse(code)
    daemon.crash()
    with pytest.raises(RemoteError) as raised:
        following.next()
    assert raised.value.code == code


@pytest.mark.parametrize("code", [1003, 1004, 1005])
def test_a_refusal_that_passes_is_tried_again(
    daemon: FakeDaemon, driver: Driver, code: int
) -> None:
    """Such as that of a daemon that is about to end."""
    follow = daemon.answers["log.follow"]
    following = driver.follow("/a")
    refusals = []

    def answer(params: Params) -> Any:
        if len(refusals) < 3:
            refusals.append(code)
            raise Refusal(code, "not now")
        return follow(params)

    daemon.answers["log.follow"] = answer
    daemon.crash()
    daemon.write("/a", b"one")
    assert following.next() == chunk(0, b"one")
    assert len(refusals) == 3
    following.close()


def test_who_does_not_want_to_connect_again_is_told(daemon: FakeDaemon, driver: Driver) -> None:
    """After all that came before the end of the connection."""
    following = driver.follow("/a", reconnect=False)
    daemon.write("/a", b"one")
    daemon.crash()
    assert following.next() == chunk(0, b"one")
    with pytest.raises(Disconnected, match=r"closed the connection|connection is gone"):
        following.next()
    assert following.next() is None


def test_no_daemon_at_first_is_an_error(daemon: FakeDaemon, driver: Driver) -> None:
    """It is raised at once, whatever may come later."""
    daemon.path.rename(daemon.path.with_name("elsewhere"))
    with pytest.raises(Unreachable):
        driver.follow("/a")
    daemon.path.with_name("elsewhere").rename(daemon.path)


def test_a_daemon_that_hangs_up_at_first_is_an_error(daemon: FakeDaemon, driver: Driver) -> None:
    """Nobody knows then where it would have begun."""

    def hang_up(_params: Params) -> Any:
        raise ConnectionAbortedError

    daemon.answers["log.follow"] = hang_up
    with pytest.raises(Disconnected):
        driver.follow("/a")


def test_a_gap_is_told(daemon: FakeDaemon, driver: Driver) -> None:
    """With how much is missing, where that is known."""
    following = driver.follow("/a")
    here = {"inode": 9, "offset": 0, "birth": "h1.b"}
    for missed in (7, None):
        told = {"data": "eA==", "encoding": "base64", "start": here, "end": here, "gap": True}
        daemon.notify(1, "log.data", missed=missed, **told)
        place = Position(9, 0, "h1.b")
        assert following.next() == FollowedChunk(b"x", place, place, True, missed)
    following.close()


def test_a_client_is_free_meanwhile(daemon: FakeDaemon, driver: Driver) -> None:
    """Several logs are followed, and calls are answered; a closed client ends none of it."""
    first, second = driver.follow("/a"), driver.follow("/b")
    daemon.write("/b", b"b")
    daemon.write("/a", b"a")
    assert first.next() == chunk(0, b"a")
    assert second.next() == chunk(0, b"b")
    first.close()
    second.close()


def test_an_iterator_that_was_dropped_is_closed(daemon: FakeDaemon, driver: Driver) -> None:
    """A loop that was left needs no more than that."""
    following = driver.follow("/a")
    daemon.write("/a", b"one")
    assert following.next() == chunk(0, b"one")
    del following
    driver.settle()
    daemon.wait_for(lambda daemon: len(daemon.connections) == 1)
