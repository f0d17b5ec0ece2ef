"""What those who follow logs read: from which files, how much, and what is said to be missing."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from tests.logs.fakes import KIB, STRANGER
from tests.logs.following.conftest import MakeRoom
from tests.logs.following.room import Client, Room, numbered
from twisted_virtlog.errors import LimitReached, ShuttingDown, SystemFailure
from twisted_virtlog.logs.files import reader
from twisted_virtlog.logs.following import following, kept_files
from twisted_virtlog.values import EndReason, Followed, FollowEnd, Position, Watched, WatchKind


def test_who_never_reads_costs_nothing(make_room: MakeRoom) -> None:
    """Not even a note of each file that he has missed; and he is told of all when he reads."""
    room = make_room(100, 1, most_files=1)
    guest = room.open()
    client = room.follow()
    text = numbered(2000)
    for start in range(0, len(text), 800):
        guest.write(text[start : start + 800])
        room.run()
    (trail,) = room.following.trails()
    assert len(trail._segments()) < 100
    assert room.following.kept_files <= 1
    client.take_all()
    assert sum(missed or 0 for missed in client.gaps) + len(client.text) == len(text)
    assert None not in client.gaps
    assert text.endswith(client.text[-100:])


def test_a_file_is_kept_while_it_is_read(make_room: MakeRoom) -> None:
    """One descriptor for all who do, until the last of them has read it."""
    room = make_room(1 * KIB, 0)
    guest = room.open()
    clients = [room.follow(), room.follow()]
    guest.write(b"a" * 1024)
    room.run()
    guest.write(b"b" * 10)
    room.run()
    assert room.following.kept_files == 1
    for client in clients:
        client.take_all()
        assert client.text == b"a" * 1024 + b"b" * 10
    assert room.following.kept_files == 0
    assert all(client.gaps == [] for client in clients)


def test_a_file_that_nobody_reads_is_closed(make_room: MakeRoom) -> None:
    """After ten seconds; one who reads a little now and then keeps it."""
    room = make_room(1 * KIB, 0)
    guest = room.open()
    idle, slow = room.follow(), room.follow()
    guest.write(b"a" * 1024)
    room.run()
    guest.write(b"b" * 10)
    room.run()
    for _ in range(3):
        room.clock.advance(6)
        slow.take(10)
        assert room.following.kept_files == 1
    slow.take_all()
    assert room.following.kept_files == 1
    room.clock.advance(6)
    room.clock.advance(6)
    assert room.following.kept_files == 0
    idle.take_all()
    assert (idle.text, idle.gaps) == (b"b" * 10, [1024])
    assert (slow.text, slow.gaps) == (b"a" * 1024 + b"b" * 10, [])


def test_the_last_descriptors_are_for_others(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is rather missed than kept."""
    room = make_room(1 * KIB, 0)
    guest = room.open()
    client = room.follow()
    monkeypatch.setattr(kept_files.resource, "getrlimit", lambda _: (70, 70))
    guest.write(b"a" * 1024)
    room.run()
    guest.write(b"b")
    room.run()
    assert room.following.kept_files == 0
    client.take_all()
    assert (client.text, client.gaps) == (b"b", [1024])


def test_a_log_that_was_removed_goes_on_without_a_gap_for_who_had_read_it(
    make_room: MakeRoom,
) -> None:
    """The others are told how many bytes they missed, with what comes next."""
    room = make_room(16, 3)
    guest = room.open()
    read, late = room.follow(), room.follow()
    text = numbered(5)
    guest.write(text)
    guest.end()
    room.run()
    read.take_all()
    room.clock.advance(20)
    room.clock.advance(20)
    assert room.following.kept_files == 0
    assert room.handler.remove(room.path).bytes == len(text)
    room.run()
    assert late.take_all() == []
    room.open().write(b"anew\n")
    room.run()
    read.take_all()
    late.take_all()
    assert (read.text, read.gaps) == (text + b"anew\n", [])
    assert (late.text, late.gaps) == (b"anew\n", [len(text)])


def test_an_old_position_is_told_exactly_what_is_missing(make_room: MakeRoom) -> None:
    """As the log remembers how large the last files were."""
    room = make_room(100, 1)
    guest = room.open()
    guest.write(b"x" * 50)
    position = room.position()
    text = numbered(100)
    guest.write(text)
    room.run()
    client = room.follow(position)
    client.take_all()
    (missed,) = client.gaps
    assert missed == len(text) - len(client.text)
    assert text.endswith(client.text)


def test_a_position_of_another_time_has_a_gap(room: Room) -> None:
    """Of which nobody knows how large it is."""
    guest = room.open()
    guest.write(b"all that is kept")
    room.run()
    client = room.follow(Position(1, 5, "h.somewhere"))
    client.take_all()
    assert (client.text, client.gaps) == (b"all that is kept", [None])


def test_what_is_left_out_is_read_once_more(room: Room) -> None:
    """With what comes after it; nobody is told to read it before."""
    guest = room.open()
    client = room.follow()
    guest.write(b"abc\xe2\x82")
    room.run()
    follower = client.follower
    assert follower is not None
    found = follower.read(100)
    assert isinstance(found, Followed)
    end = Position(found.end.inode, found.end.offset - 2, found.end.birth)
    follower.advance(end)
    assert follower.read(100) is None
    room.run()
    assert follower.read(100) is None
    guest.write(b"\xac")
    room.run()
    found = follower.read(100)
    assert isinstance(found, Followed)
    assert found.pieces == (b"\xe2\x82\xac",)
    assert found.start == end
    with pytest.raises(ValueError, match="not a position"):
        follower.advance(Position(1, 2))


def test_the_last_bytes_are_final(room: Room) -> None:
    """Nothing completes them once the log is closed for one who follows until then."""
    guest = room.open()
    client = room.follow(until_closed=True)
    guest.write(b"\xe2")
    guest.end()
    room.run()
    first, end = client.take_all()
    assert isinstance(first, Followed)
    assert first.final
    assert end == FollowEnd(EndReason.CLOSED)
    assert client.follower is not None
    assert client.follower.read(10) == end


def test_a_message_comes_when_it_is_whole(make_room: MakeRoom) -> None:
    """A part of one may yet be taken back."""
    room = make_room()
    room.open()
    client = room.follow()
    room.slices.later = True
    message = b"m" * (300 * KIB)
    answer: Any = room.handler.append(room.path, message, "qemu", None)
    assert isinstance(answer, Deferred)
    while room.slices.take():
        if answer.called:
            break
        room.turns.run()
        client.take_all()
        assert client.text == b""
    room.turns.run()
    client.take_all()
    assert client.text == message


@pytest.mark.parametrize("is_open", [True, False])
def test_a_message_that_does_not_fit_never_comes(
    room: Room, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    """Nor a part of it."""
    guest = room.open()
    client = room.follow()
    guest.write(b"before ")
    if not is_open:
        guest.end()
    room.run()
    pwrite = os.pwrite
    left = [1]

    def full(file: int, data: Any, offset: int) -> int:
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        return pwrite(file, data[: 100 * KIB], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(SystemFailure):
            room.append(b"m" * (200 * KIB))
    room.run()
    client.take_all()
    room.append(b"after")
    room.run()
    client.take_all()
    assert client.text == b"before after"
    assert client.gaps == []


def test_the_next_guest_of_an_open_log_is_its_next_opening(room: Room) -> None:
    """Who follows until the close ends between the two."""
    guest = room.open()
    client = room.follow(until_closed=True)
    endless = room.follow()
    guest.write(b"first")
    next_guest = room.open()
    next_guest.write(b"second")
    room.run()
    client.take_all()
    endless.take_all()
    assert client.text == b"first"
    assert client.end == FollowEnd(EndReason.CLOSED)
    assert endless.text == b"firstsecond"


def test_a_log_is_closed_by_force(room: Room) -> None:
    """That is a close, too."""
    guest = room.open()
    client = room.follow(until_closed=True)
    guest.write(b"all")
    room.handler.close_log(room.path)
    room.run()
    client.take_all()
    assert client.text == b"all"
    assert client.end == FollowEnd(EndReason.CLOSED)


def test_a_file_that_cannot_be_read_ends_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason; what cannot be opened for want of descriptors is tried again."""
    guest = room.open()
    client = room.follow()
    guest.write(b"x")
    room.run()

    def broken(*_: object) -> bytes:
        raise SystemFailure("Unable to read from file", errno.EIO, room.path)

    monkeypatch.setattr("twisted_virtlog.logs.following.trail.read_piece", broken)
    client.take_all()
    assert client.end is not None
    assert client.end.reason is EndReason.FAILED
    assert isinstance(client.end.error, SystemFailure)
    assert room.status().followers == 0


def test_want_of_descriptors_ends_nothing(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again."""
    room = make_room(100, 3)
    guest = room.open()
    start = room.position()
    guest.write(b"x" * 150)
    room.run()
    client = room.follow(start)
    (trail,) = room.following.trails()
    trail.paused()
    with monkeypatch.context() as patch:
        patch.setattr(kept_files.resource, "getrlimit", lambda _: (10, 10))
        assert client.take() is None
        assert not client.is_ready
    room.clock.advance(1)
    room.run()
    client.take_all()
    assert client.text == b"x" * 150


def test_what_is_not_in_memory_is_read_in_a_thread(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the log goes on meanwhile."""
    guest = room.open()
    client = room.follow()
    guest.write(b"cold ")
    room.run()
    preadv = os.preadv

    def uncached(file: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return preadv(file, buffers, offset, flags)

    monkeypatch.setattr("twisted_virtlog.logs.following.trail.is_in_memory", lambda _: False)
    monkeypatch.setattr(reader.os, "preadv", uncached)
    room.threads.held = True
    assert client.follower is not None
    answer: Any = client.follower.read(100)
    found: list[Any] = []
    answer.addCallback(found.append)
    guest.write(b"warm")
    room.run()
    room.threads.run()
    assert found[0].pieces == (b"cold ",)
    client.follower.advance(found[0].end)
    room.threads.held = False
    client.is_ready = True
    client.take_all()
    assert client.text == b"warm"


def test_what_is_cut_while_a_thread_reads_it_is_read_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be anything."""
    guest = room.open()
    client = room.follow()
    guest.write(b"cold ")
    room.run()

    def uncached(file: int, buffers: Any, offset: int, flags: int = 0) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    room.threads.held = True
    with monkeypatch.context() as patch:
        patch.setattr("twisted_virtlog.logs.following.trail.is_in_memory", lambda _: False)
        patch.setattr(reader.os, "preadv", uncached)
        assert client.follower is not None
        answer: Any = client.follower.read(100)
    found: list[Any] = []
    answer.addCallback(found.append)
    os.truncate(room.path, 0)
    guest.write(b"new")
    room.run()
    room.threads.run()
    assert found == [None]
    room.threads.held = False
    room.run()
    client.take_all()
    assert (client.text, client.gaps) == (b"new", [5])


def test_somebody_wants_an_opening(room: Room) -> None:
    """Nothing is looked at, and nothing comes, before the daemon opens the log."""
    Path(room.path).write_bytes(b"secret")
    client = room.follow(from_opening=True)
    other = room.follow(Position(0, 0), from_opening=True)
    assert client.take() is None
    assert client.follower is not None
    assert client.follower.position == Position(0, 0)
    guest = room.open(domain=STRANGER)
    guest.write(b" and more")
    room.run()
    client.take_all()
    other.take_all()
    assert client.text == b" and more"
    assert other.text == b"secret and more"


def test_one_log_has_many_names(room: Room) -> None:
    """A link's path, and the real one; each with those who follow the log by it."""
    link = room.directory / "link.log"
    link.symlink_to(room.path)
    clients = [room.follow(), room.follow(path=str(link))]
    guest = room.open(str(link))
    assert room.status(str(link)).followers == 2
    guest.write(b"one")
    room.run()
    for client in clients:
        client.take_all()
        assert client.text == b"one"
    assert room.following.followed_logs == 1


def test_a_link_becomes_a_log(room: Room) -> None:
    """A truncating open puts a file in a link's place: who follows the link's path follows that."""
    Path(room.path).write_bytes(b"other's")
    link = room.directory / "link.log"
    link.symlink_to(room.path)
    client = room.follow(path=str(link))
    guest = room.open(str(link), truncate=True)
    assert not link.is_symlink()
    guest.write(b"own")
    room.run()
    client.take_all()
    assert client.text == b"own"


def test_there_may_be_so_many(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no more, until one is left; and none once the daemon ends."""
    monkeypatch.setattr(following, "MOST_SUBSCRIPTIONS", 2)
    room.open()
    client = room.follow()
    watch = room.following.watch(lambda: None)
    with pytest.raises(LimitReached) as caught:
        room.follow()
    assert caught.value.limit == "subscriptions"
    with pytest.raises(LimitReached):
        room.following.watch(lambda: None)
    watch.stop()
    assert client.follower is not None
    client.follower.stop()
    client.follower.stop()
    assert room.status().followers == 0
    last = room.follow()
    room.following.end_all()
    room.run()
    assert last.take() == FollowEnd(EndReason.SHUTTING_DOWN)
    with pytest.raises(ShuttingDown):
        room.follow()


def test_one_who_cannot_follow_leaves_nothing(room: Room) -> None:
    """As when the log's directory is no directory."""
    (room.directory / "file").write_bytes(b"")
    client = room.follow(path=str(room.directory / "file" / "a.log"))
    assert client.take() is None
    client.follower.stop()  # type: ignore[union-attr]
    path = room.directory / "loop.log"
    path.symlink_to(path)
    with pytest.raises(SystemFailure):
        room.follow(path=str(path))
    assert room.following.followed_logs == 0


def test_a_device_holds_nothing(room: Room) -> None:
    """But is followed all the same."""
    path = "/dev/null"
    guest = room.open(path)
    client = room.follow(path=path, until_closed=True)
    guest.write(b"gone")
    guest.end()
    room.run()
    client.take_all()
    assert client.text == b""
    assert client.end == FollowEnd(EndReason.CLOSED)


def test_all_that_happens_to_logs_is_watched(room: Room) -> None:
    """Openings and closings, with the log's row."""
    calls: list[None] = []
    watch = room.following.watch(lambda: calls.append(None))
    guest = room.open()
    guest.write(b"x")
    guest.end()
    room.run()
    opened, closed = watch.take(), watch.take()
    assert opened is not None
    assert closed is not None
    assert (opened.kind, opened.status.path) == (WatchKind.OPENED, room.path)
    assert closed.kind is WatchKind.CLOSED
    assert closed.status.position is None
    assert closed.status.closed_at is not None
    assert closed.status.bytes_written == 1
    assert watch.take() is None
    assert len(calls) == 1


def test_a_closing_that_is_told_late_is_no_news(room: Room) -> None:
    """A log may be opened in another thread before the one that closed it has told so."""
    watch = room.following.watch(lambda: None)
    guest = room.open()
    opened = watch.take()
    assert opened is not None
    before = msgspec.structs.replace(
        opened.status, opened_at=opened.status.opened_at - timedelta(seconds=1)
    )
    room.following.happened(Watched(WatchKind.CLOSED, before))
    assert watch.take() is None
    guest.end()
    room.run()
    closed = watch.take()
    assert closed is not None
    assert closed.kind is WatchKind.CLOSED


def test_who_is_put_aside_comes_back(make_room: MakeRoom) -> None:
    """One with a position that is gone leads on to what is there, and holds that."""
    room = make_room(100, 2)
    guest = room.open()
    guest.write(numbered(10))
    position = Position(1, 0, "h.gone")
    guest.write(numbered(15))
    room.run()
    clients: list[Client] = [room.follow(position), room.follow(position)]
    for client in clients:
        client.take_all(8)
        assert client.gaps == [None]
        assert len(client.text) == 200
        assert client.follower is not None
        client.follower.stop()
    assert room.following.kept_files == 0
