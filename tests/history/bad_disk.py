"""What an index does on a disk that is full, read-only or dead; run by test_bad_disk.py as root.

Arguments: the name of a scenario, and an empty directory to mount things in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twisted.logger import capturedLogs

from tests.history.world import FILE_SYSTEM, World, at, later
from tests.logs.dead_disk import make, mount, shut_down
from tests.logs.small_disk import disk
from twisted_virtlog.history import keeping
from twisted_virtlog.history.index import Index

_SIZE = 400 << 10


def note(index: Index, first: int, last: int) -> None:
    """Note openings of logs."""
    for number in range(first, last):
        path = f"/{'x' * 200}/{number:06}.log"
        index.opened(path, "qemu", None, at(number, 0), FILE_SYSTEM, later(number))


def count(world: World, index: Index) -> int:
    """Return how many logs are known."""
    return len(world.wait_for(index.logs()))


def is_in_file(world: World, index: Index) -> bool:
    """Return whether that comes from the file."""
    return bool(
        world.wait_for(
            index._ask(
                lambda database, _: database.tables.do("PRAGMA database_list").fetchone()[2], str
            )
        )
    )


@contextmanager
def indexed(point: Path) -> Iterator[tuple[World, Index]]:
    """Give an index on a disk."""
    world = World(point / "state")
    yield world, world.start()
    world.close()


def full(directory: Path) -> None:
    """What does not fit is known all the same, and is added when there is room."""
    with disk(directory, f"size={_SIZE}") as point:
        with indexed(point) as (world, index):
            note(index, 0, 10)
            assert count(world, index) == 10
            assert is_in_file(world, index)
            ballast = point / "ballast"
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(1024))
            with capturedLogs() as events:
                for number in range(10, 200, 10):
                    note(index, number, number + 10)
                    assert count(world, index) == number + 10
            assert [event["reason"].partition(" (")[0] for event in events] == [
                "database or disk is full"
            ]
            assert is_in_file(world, index)
            with capturedLogs() as events:
                ballast.unlink()
                subprocess.run(["mount", "-o", "remount,size=64m", point], check=True)
                while not events:
                    assert count(world, index) == 200
            assert "kept there again" in events[0]["log_format"]
            assert count(world, index) == 200
        with indexed(point) as (world, index):
            assert count(world, index) == 200


def read_only(directory: Path) -> None:
    """It is begun when the disk can be written."""
    with disk(directory, f"size={_SIZE}") as point:
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        with indexed(point) as (world, index):
            note(index, 0, 10)
            assert count(world, index) == 10
            assert not is_in_file(world, index)
            subprocess.run(["mount", "-o", "remount,rw", point], check=True)
            while not is_in_file(world, index):
                pass
            assert count(world, index) == 10


def dead(directory: Path) -> None:
    """What was noted stays in memory, and goes to the disk that takes the dead one's place."""
    first, second = (make(directory / name) for name in ("first", "second"))
    point = directory / "disk"
    point.mkdir()
    mount(first, point)
    with indexed(point) as (world, index):
        note(index, 0, 10)
        assert count(world, index) == 10
        shut_down(point)
        note(index, 10, 20)
        # (what was on the disk is gone)
        assert count(world, index) == 10
        assert not is_in_file(world, index)
        subprocess.run(["umount", point], check=True)
        mount(second, point)
        while not is_in_file(world, index):
            pass
        assert count(world, index) == 10
    subprocess.run(["umount", point], check=True)


SCENARIOS = {scenario.__name__: scenario for scenario in (full, read_only, dead)}


def main(name: str, directory: str) -> None:
    """Run one scenario; ends with status 0 if all is as it should be."""
    keeping.WRITE_SECONDS = 0.01
    before = len(os.listdir("/proc/self/fd"))
    SCENARIOS[name](Path(directory))
    assert len(os.listdir("/proc/self/fd")) == before


if __name__ == "__main__":
    main(*sys.argv[1:])
