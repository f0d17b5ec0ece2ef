"""Logs in threads of their own are followed there, and those who follow others do not wait."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.logs.fakes import KIB, Threads, log_settings
from tests.logs.following.room import LaneClient, Turns, numbered
from tests.logs.lanes.test_all_logs import TIMEOUT
from tests.logs.lanes.test_all_logs import World as Lanes
from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.logs.all_logs import AllLogs, LaneSettings
from twisted_virtlog.logs.following.following import Following
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.loop.guest_watches import GuestWatches
from twisted_virtlog.values import EndReason, FollowEnd, FollowerState, Position


class Room(Lanes):
    """All logs, which are followed, in threads if the settings say so."""

    def __init__(
        self, directory: Path, threads: str = "always", max_size: int = 0, most_files: int = 256
    ) -> None:
        super().__init__(directory, threads)
        self.logs.close()
        self.turns = Turns()
        self.following = Following(self.clock, self.turns.later, self.turns.rest, most_files)
        self.settings = log_settings(max_size, 3)
        self.logs = AllLogs(
            self.reactor,
            self.clock,
            Threads(),
            GuestWatches(self.reactor),
            Pipes(64 * KIB, PipeLimits(1024 * KIB, None)),
            self.settings,
            lane_settings=LaneSettings(threads, TIMEOUT),
            observer_of=self.following.observer_of,
        )
        self.following.begin(self.logs)
        self.clients: list[LaneClient] = []
        self._stepped_at = time.monotonic()

    def follow(
        self, position: Position | None = None, until_closed: bool = False, path: str | None = None
    ) -> LaneClient:
        """Follow a log."""
        client = LaneClient()
        client.follower = self.result(
            self.following.follow(path or self.path, position, until_closed, client.ready)
        )
        self.clients.append(client)
        return client

    def resume(self, state: FollowerState) -> LaneClient:
        """Go on where another image stopped."""
        client = LaneClient()
        client.follower = self.following.resume(state, client.ready)
        self.clients.append(client)
        return client

    def until(self, condition: Any) -> None:
        """Let all go on, and time pass, until something holds."""
        while not condition():
            self.step()

    def step(self) -> None:
        """Let all go on, and as much time pass as it took.

        A clock that ran ahead of the threads would find files that nobody reads, as their thread
        had not had its turn yet.
        """
        self.reactor.turn()
        self.turns.run()
        for client in self.clients:
            client.go_on()
        os.sched_yield()
        now = time.monotonic()
        self.clock.advance(now - self._stepped_at)
        self._stepped_at = now

    def write(self, end: int, data: bytes, client: LaneClient) -> None:
        """Write, and wait until it has come."""
        text = client.text + data
        os.write(end, data)
        self.until(lambda: client.text == text)

    def end(self) -> None:
        """End everything."""
        self.following.end_all()
        self.turns.run()
        super().end()


@pytest.fixture
def make_room(tmp_path: Path, _nothing_leaks: None) -> Iterator[Any]:
    """Make logs that are followed; they end with the test."""
    rooms: list[Room] = []

    def make(*arguments: Any, **more: Any) -> Room:
        rooms.append(Room(tmp_path, *arguments, **more))
        return rooms[-1]

    yield make
    for room in rooms:
        room.end()


@pytest.fixture
def room(make_room: Any) -> Room:
    """Make logs in threads."""
    room: Room = make_room()
    return room


def test_what_is_written_in_a_thread_comes(room: Room) -> None:
    """Also across rollovers, and until the close."""
    end = room.open()
    client = room.follow(until_closed=True)
    room.write(end, b"one\n", client)
    room.write(end, b"two\n", client)
    assert room.status().followers == 1
    os.close(room.ends.pop())
    room.until(lambda: client.end)
    assert client.end == FollowEnd(EndReason.CLOSED)
    assert client.gaps == []


def test_rollovers_in_a_thread_lose_nothing(make_room: Any) -> None:
    """Files are kept open there."""
    room = make_room(max_size=KIB)
    end = room.open()
    client = room.follow()
    text = numbered(3000)
    for start in range(0, len(text), 4096):
        os.write(end, text[start : start + 4096])
        room.settle()
    room.until(lambda: len(client.text) == len(text) or client.gaps)
    assert client.gaps == []
    assert client.text == text


@pytest.mark.parametrize("has_asked", [True, False])
def test_a_thread_that_does_not_get_on_loses_nothing(make_room: Any, has_asked: bool) -> None:
    """Files that nobody could read meanwhile stay open, however long it takes."""
    room = make_room(max_size=KIB)
    end = room.open()
    client = room.follow()
    text = numbered(3000)
    for start in range(0, len(text), 4096):
        os.write(end, text[start : start + 4096])
    room.position()
    gate = room.hang()
    if has_asked:
        room.step()
    for _ in range(30):
        room.clock.advance(1)
    gate.let_go()
    room.settle()
    room.until(lambda: len(client.text) == len(text) or client.gaps)
    assert client.gaps == []
    assert client.text == text


def test_a_log_that_is_not_there_is_followed(room: Room) -> None:
    """In a directory that is not there either."""
    directory = room.directory / "new"
    path = str(directory / "guest.log")
    client = room.follow(path=path)
    directory.mkdir()
    room.result(room.logs.append(path, b"note\n", "qemu", None))
    room.until(lambda: client.text == b"note\n")
    end = room.open(path)
    room.write(end, b"hello\n", client)
    assert client.gaps == []


def test_a_silent_thread_ends_nothing(room: Room) -> None:
    """Who follows waits, and goes on when the file system answers."""
    end = room.open()
    client = room.follow()
    room.write(end, b"one\n", client)
    gate = room.hang()
    os.write(end, b"two\n")
    client.is_ready = True
    client.follower._waits = False  # type: ignore[union-attr]  # (as if there were something)
    client.go_on()
    room.fall_silent()
    room.turn_until(lambda: client.asked is None)
    assert client.end is None
    error = room.error(room.following.follow(room.path, None, False, client.ready))
    assert isinstance(error, NoAnswer)
    gate.let_go()
    room.until(lambda: client.text == b"one\ntwo\n")
    assert room.following.followed_logs == 1


def test_a_log_keeps_its_followers_when_it_changes_its_thread(make_room: Any) -> None:
    """They go on where they were."""
    room = make_room("auto", max_size=KIB)
    end = room.open()
    client = room.follow()
    room.write(end, b"inline\n", client)
    for threads in ("always", "never", "always"):
        room.logs.reload(room.settings, 64 * KIB, LaneSettings(threads, TIMEOUT))
        is_inline = threads == "never"
        while (room.status().thread is None) != is_inline:
            room.step()
        room.write(end, b"x" * 1500 + threads.encode(), client)
    assert client.gaps == []
    assert room.status().followers == 1


def test_a_hand_over_goes_on_in_a_thread(make_room: Any) -> None:
    """Where he was, and nothing twice."""
    room = make_room()
    end = room.open()
    client = room.follow()
    room.write(end, b"one\n", client)
    state = client.follower.suspended()
    client.follower.stop()
    client = room.resume(state)
    room.write(end, b"two\n", client)
    assert client.gaps == []


def test_files_of_a_thread_are_closed_for_a_hand_over(make_room: Any) -> None:
    """What somebody reads is opened by its name again."""
    room = make_room(max_size=KIB)
    end = room.open()
    client = room.follow()
    client.is_ready = False
    os.write(end, b"x" * 3000)
    room.turn_until(lambda: room.following.kept_files)
    room.result(room.logs.pause())
    assert room.following.kept_files == 0
    room.logs.go_on()
    client.is_ready = True
    room.until(lambda: client.text == b"x" * 3000)
