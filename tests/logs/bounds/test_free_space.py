"""File systems on which some room is to be left free."""

from __future__ import annotations

import errno

import pytest

from twisted_virtlog.logs.bounds.free_space import ASKED_SECONDS, FreeSpace
from twisted_virtlog.logs.bounds.leases import BLOCK_BYTES, LEASE_BYTES

MIB = 1024 * 1024
KEPT = 100 * MIB


class Disks:
    """Disks, whose files have their numbers for descriptors; and a clock.

    :ivar free: bytes, by disk.
    :ivar asked: which were asked, in order.
    :ivar taken_back: how many times leases were taken back.
    """

    def __init__(self, *free: int) -> None:
        self.free = list(free)
        self.asked: list[int] = []
        self.taken_back = 0
        self.now = 1000.0
        self.space = FreeSpace(KEPT, self._free_on, lambda: self.now, self._take_back)

    def _free_on(self, file: int) -> int:
        self.asked.append(file)
        return self.free[file]

    def _take_back(self) -> None:
        self.taken_back += 1

    def lease(self, disk: int = 0, logs: int = 1) -> int:
        """Ask for a lease."""
        return self.space.lease(disk, disk, logs)


def test_what_is_to_be_left_free_is_not_granted() -> None:
    """Nor is a part of a block."""
    disks = Disks(KEPT + 3 * BLOCK_BYTES + 1, KEPT, 0)
    assert [disks.lease(disk) for disk in (0, 1, 2)] == [3 * BLOCK_BYTES, 0, 0]


def test_a_disk_is_asked_some_times_a_second() -> None:
    """What was granted since counts as used."""
    disks = Disks(KEPT + 2 * LEASE_BYTES)
    assert [disks.lease() for _ in range(3)] == [LEASE_BYTES, LEASE_BYTES, 0]
    disks.now += ASKED_SECONDS / 2
    assert disks.lease() == 0
    assert disks.asked == [0]
    disks.now += ASKED_SECONDS
    assert disks.lease() == LEASE_BYTES
    assert disks.asked == [0, 0]


def test_each_disk_is_asked_for_itself() -> None:
    """A full one is nothing to the other."""
    disks = Disks(KEPT, KEPT + 2 * LEASE_BYTES)
    assert (disks.lease(0), disks.lease(1)) == (0, LEASE_BYTES)


def test_leases_are_taken_back_when_room_gets_scarce() -> None:
    """Then, and each time that half of it is gone; others write to the disk, too."""
    disks = Disks(KEPT + 1000 * MIB)
    found = []
    for left in (1000, 500, 39, 38, 20, 19, 10, 9, 1, 0, 0, 39, 1000, 39):
        disks.free[0] = KEPT + left * MIB
        disks.now += 1
        disks.lease(logs=10)
        found.append(disks.taken_back)
    assert found == [0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 5, 5, 5, 6]


def test_a_disk_that_cannot_be_asked() -> None:
    """Whoever wants to write is told."""

    def refuse(file: int) -> int:
        raise OSError(errno.ESTALE, "stale")

    space = FreeSpace(KEPT, refuse, lambda: 0.0, lambda: None)
    for _ in range(2):
        with pytest.raises(OSError, match="stale"):
            space.lease(0, 0, 1)
