"""How much room there is on file systems, some of which do not answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.logs.lanes.lane import Silent
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.logs.spaces import Spaces
from twisted_virtlog.values import Space

ROOM = os.statvfs_result((4096, 4096, 100, 60, 50, 1000, 900, 800, 0, 255))
PSEUDO = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))


def mount(name: str) -> Mount:
    """Make a mount, whose file system has a device of its own."""
    return Mount(1, 0, name, f"/{name}", "ext4", "/dev/x")


def space(name: str) -> Space:
    """Return what is told of one that says ROOM."""
    return Space(f"/{name}", "ext4", 409600, 50 * 4096, 1000, 800)


class World:
    """File systems that answer when a test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.answers: dict[str, Deferred[os.statvfs_result]] = {}
        self.spaces = Spaces(self.clock, self._ask)  # type: ignore[arg-type]

    def _ask(self, mount: Mount) -> Deferred[os.statvfs_result]:
        assert mount.device not in self.answers
        answer = self.answers[mount.device] = Deferred()
        return answer

    def look(self, *names: str) -> list[Sequence[Space]]:
        """Look; what is found stands in the list then."""
        found: list[Sequence[Space]] = []
        self.spaces.of([mount(name) for name in names]).addCallback(found.append)
        return found

    def answer(self, name: str, room: object = ROOM) -> None:
        """Let a file system answer, or fail."""
        self.answers.pop(name).callback(room)  # type: ignore[arg-type]


def test_all_are_asked_at_once() -> None:
    """And told by mount, once all have answered; those that are none are left out."""
    world = World()
    found = world.look("b", "a", "proc")
    for name, room in (("b", ROOM), ("proc", PSEUDO), ("a", ROOM)):
        assert not found
        world.answer(name, room)
    assert found == [[space("a"), space("b")]]
    assert world.clock.getDelayedCalls() == []


def test_nothing_is_waited_for_where_there_is_nothing() -> None:
    assert World().look() == [[]]


def test_one_that_does_not_answer_holds_up_nobody_for_long() -> None:
    """It is left out, and asked again when it has answered."""
    world = World()
    found = world.look("a", "b")
    world.answer("a")
    world.clock.advance(0.4)
    assert not found
    world.clock.advance(0.2)
    assert found == [[space("a")]]
    again = world.look("a", "b")
    world.answer("a")
    assert again == [[space("a")]]
    world.answer("b")
    third = world.look("b")
    world.answer("b")
    assert third == [[space("b")]]


@pytest.mark.parametrize(
    "error", [Silent(begun=True), NoAnswer("Unable to look", "/a", "/a"), PermissionError(13, "no")]
)
def test_one_that_fails_is_left_out(error: Exception) -> None:
    world = World()
    found = world.look("a", "b")
    world.answer("b")
    world.answers.pop("a").errback(error)
    assert found == [[space("b")]]


def test_the_system_s_own_answer(tmp_path: Path) -> None:
    """Bytes are counted in the units of the file system."""
    world = World()
    found = world.look("a")
    room = os.statvfs(tmp_path)
    world.answer("a", room)
    ((one,),) = found
    assert one.size_bytes == room.f_blocks * room.f_frsize
