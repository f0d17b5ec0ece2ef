"""Logs are followed: what comes, from where on, and what is said of what is missing."""

from __future__ import annotations

import itertools
import os
from collections import deque
from pathlib import Path

import pytest

from tests.logs.fakes import KIB, Guest
from tests.logs.following.conftest import MakeRoom
from tests.logs.following.room import Client, Room, numbered
from twisted_virtlog.handover.state import EndedFile
from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import Policy, one_for_all
from twisted_virtlog.values import EndReason, Followed, FollowEnd, Position


def test_what_is_written_comes(room: Room) -> None:
    """From the end on, when it is there, and nothing twice."""
    guest = room.open()
    guest.write(b"before\n")
    client = room.follow()
    assert client.take() is None
    guest.write(b"one\n")
    room.run()
    assert client.calls == 1
    client.take_all()
    guest.write(b"two\n")
    room.run()
    client.take_all()
    assert client.text == b"one\ntwo\n"
    assert client.gaps == []
    assert client.follower is not None
    assert client.follower.position == room.position()
    assert room.status().followers == 1


def test_nobody_is_woken_for_nothing(room: Room) -> None:
    """Not while what was announced is not read."""
    guest = room.open()
    client = room.follow()
    assert client.take() is None
    for _ in range(3):
        guest.write(b"x")
        room.run()
    assert client.calls == 1
    client.take_all()
    assert client.text == b"xxx"
    room.run()
    assert client.calls == 1


def test_a_pipe_rests_long_if_all_who_follow_are_patient(room: Room) -> None:
    """One who is in a hurry suffices, and whoever leaves hurries nobody."""
    room.open()
    first, second = room.follow(), room.follow()
    (log,) = room.handler.open_logs()
    assert first.follower is not None
    assert second.follower is not None
    first.follower.be_patient(True)
    assert log.is_awaited
    second.follower.be_patient(True)
    assert not log.is_awaited
    assert room.status().followers == 2
    first.follower.be_patient(False)
    assert log.is_awaited
    first.follower.stop()
    assert not log.is_awaited


def test_rotation_loses_nothing(make_room: MakeRoom) -> None:
    """Whoever reads is given each file until its end, also those that are removed."""
    room = make_room(1 * KIB, 1)
    guest = room.open()
    client = room.follow()
    text = numbered(2000)
    for start in range(0, len(text), 4096):
        guest.write(text[start : start + 4096])
        room.run()
        client.take_all(1000)
    assert client.text == text
    assert client.gaps == []


def test_who_reads_late_is_told_what_is_missing(make_room: MakeRoom) -> None:
    """Exactly how many bytes."""
    room = make_room(1 * KIB, 1, most_files=1)
    guest = room.open()
    client = room.follow()
    text = numbered(4000)
    for start in range(0, len(text), 4096):
        guest.write(text[start : start + 4096])
        room.run()
    client.take_all()
    (missed,) = client.gaps
    assert missed is not None
    assert len(client.text) + missed == len(text)
    assert text.endswith(client.text[-1000:])


def begun(room: Room, text: bytes) -> tuple[Guest, Position]:
    """Write the first line of a text; return who writes on, and the line's end."""
    guest = room.open()
    guest.write(text[:8])
    room.run()
    return guest, room.position()


def assert_one_gap(client: Client, text: bytes) -> None:
    """Assert that all after the first line came, but for what was said to be missing."""
    (missed,) = client.gaps
    assert missed is not None
    assert client.text == text[8 + missed :]


def test_a_file_that_took_a_number_is_not_taken_for_the_one_that_had_it(
    make_room: MakeRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system gives numbers again, and says nothing that tells files apart."""
    monkeypatch.setattr(identity, "birth", lambda _file: "")
    room = make_room(1 * KIB, 1, most_files=1)
    guest, start = begun(room, text := numbered(6 * 128))
    number, backup = tmp_path / "number", Path(f"{room.path}.0")
    for begin in range(8, len(text), 1000):
        guest.write(text[begin : begin + 1000])
        room.run()
        if begin // 1024 == 2:
            os.link(backup, number)
    client = room.follow(start)
    # As if the newest backup had the number of one that is gone.
    number.write_bytes(backup.read_bytes())
    number.rename(backup)
    client.take_all()
    assert_one_gap(client, text)


def test_the_current_file_may_have_the_number_of_one_that_is_gone(make_room: MakeRoom) -> None:
    """Of which nothing is known that tells it apart."""
    room = make_room(1 * KIB, 1, most_files=1)
    guest, start = begun(room, text := numbered(6 * 128))
    guest.write(text[8:])
    room.run()
    (log,) = room.handler._logs.values()
    newest, middle, *others = log.writer.lineage.ended
    middle = EndedFile(os.stat(room.path).st_ino, middle.size, "")
    log.writer.lineage._ended = deque((newest, middle, *others))
    client = room.follow(start)
    client.take_all()
    assert_one_gap(client, text)


@pytest.mark.parametrize("backups", [0, 1, 2])
def test_who_comes_in_the_middle_of_a_roll_over_is_told_what_is_missing(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch, backups: int
) -> None:
    """The file that is the last one to have ended is the current one then."""
    monkeypatch.setattr(Writer, "seconds", itertools.count().__next__)
    room = make_room(1 * KIB, backups, most_files=1)
    text = numbered(8 * 128)
    holes = set()
    for turns in range(4, 20):
        path = f"{room.path}-{turns}"
        guest = room.open(path)
        guest.write(text[:8])
        room.run()
        start = room.position(path)
        guest.write(text[8:])
        log = room.handler.log_of(path)
        assert log is not None
        for _ in range(turns):
            log.pipe_ready()
        holes.add(log.writer.hole)
        clients = [room.follow(start, path=path) for _ in range(2)]
        room.run()
        for client in clients:
            client.take_all()
            front = 8
            for one in client.got:
                assert isinstance(one, Followed)
                front += one.missed or 0
                data = b"".join(one.pieces)
                assert data == text[front : front + len(data)]
                front += len(data)
            assert front == len(text)
    assert len(holes) > 1


def test_what_still_has_a_name_is_never_missing(make_room: MakeRoom) -> None:
    """Though newer ones were removed before they were full, so that backups keep their names."""
    room = make_room(1 * KIB, 3, most_files=1)
    guest = room.open()
    client = room.follow()
    text = numbered(1100)
    for start in (*range(0, 8192, 1024), *range(8192, len(text), 152)):
        guest.write(text[start : start + (1024 if start < 8192 else 152)])
        room.run()
        if start >= 8192:
            os.unlink(room.path)
    # What is gone is forgotten before a hand-over, and now and then.
    room.follow()
    assert client.follower is not None
    client.follower.suspended()
    client.take_all()
    assert len(client.text) + sum(missed or 0 for missed in client.gaps) == len(text)
    for content in room.files().values():
        assert content in client.text


@pytest.mark.parametrize("is_open", [True, False])
def test_a_position_is_where_it_begins(make_room: MakeRoom, is_open: bool) -> None:
    """Also in an older file."""
    room = make_room(100, 3)
    guest = room.open()
    start = room.position()
    text = numbered(40)
    guest.write(text)
    room.run()
    if not is_open:
        guest.end()
        room.run()
    client = room.follow(start)
    client.take_all()
    assert client.text == text
    assert client.gaps == []
    client = room.follow(Position(0, 0))
    client.take_all()
    assert client.text == text


def test_until_closed(room: Room) -> None:
    """All comes that was written before, then the end."""
    guest = room.open()
    client = room.follow(until_closed=True)
    assert client.take() is None
    guest.write(b"last words")
    guest.end()
    room.run()
    client.take_all()
    assert client.text == b"last words"
    assert client.end == FollowEnd(EndReason.CLOSED)


def test_a_log_that_is_not_there(room: Room) -> None:
    """Is followed from its first byte on, until the close after its opening."""
    client = room.follow(until_closed=True)
    assert client.follower is not None
    assert client.follower.position == Position(0, 0)
    assert client.take() is None
    room.append(b"note\n")
    room.run()
    client.take_all()
    guest = room.open()
    guest.write(b"hello\n")
    guest.end()
    room.run()
    client.take_all()
    assert client.text == b"note\nhello\n"
    assert client.end == FollowEnd(EndReason.CLOSED)
    assert client.gaps == []


@pytest.mark.parametrize("is_open", [True, False])
def test_a_truncating_open_loses_nothing(room: Room, is_open: bool) -> None:
    """To those who follow."""
    guest = room.open()
    client = room.follow()
    assert client.take() is None
    guest.write(b"old")
    guest.end()
    if not is_open:
        room.run()
    guest = room.open(truncate=True)
    guest.write(b"new")
    room.run()
    client.take_all()
    assert client.text == b"oldnew"
    assert client.gaps == []


def test_a_log_that_is_kept_when_it_is_truncated_goes_on(make_room: MakeRoom) -> None:
    """Though no guest had opened it before."""
    room = make_room(0, 0)
    policy = Policy(Limits(0, 0), keep_on_truncate=True)
    room.handler.reload(LogSettings(one_for_all(policy)), 64 * KIB)
    room.append(b"old")
    client = room.follow()
    assert client.take() is None
    guest = room.open(truncate=True)
    guest.write(b"new")
    room.run()
    client.take_all()
    assert client.text == b"new"
    assert client.gaps == []


def test_a_removed_file_is_read_to_its_end(room: Room) -> None:
    """Somebody removes it; then the log goes on in another one."""
    guest = room.open()
    client = room.follow()
    guest.write(b"one")
    room.run()
    os.unlink(room.path)
    guest.write(b"two")
    room.run()
    client.take_all()
    assert client.text == b"onetwo"
    assert client.gaps == []


def test_what_is_cut_is_missing(room: Room) -> None:
    """And what is written after that comes."""
    guest = room.open()
    client = room.follow()
    guest.write(b"0123456789")
    room.run()
    assert client.take(4) is not None
    os.truncate(room.path, 0)
    guest.write(b"abc")
    room.run()
    client.take_all()
    assert client.text == b"0123abc"
    assert client.gaps == [6]
