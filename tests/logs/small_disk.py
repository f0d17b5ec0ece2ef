"""What a log does on a disk of 256 KiB; run by test_small_disk.py where it may mount one."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.logs.fakes import KIB, World, descriptors
from twisted_virtlog.errors import NotWritten, SystemFailure
from twisted_virtlog.values import LogState

DISK = 256 * KIB
NOTICE = re.compile(
    rb"\[virtlogd: (\d+) bytes lost from \S+ \S+ to \S+ \S+: No space left on device\]\n"
)


@contextmanager
def disk(directory: Path, options: str = f"size={DISK}") -> Iterator[Path]:
    """Mount a small disk."""
    mount_point = directory / "disk"
    mount_point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount_point], check=True)
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", mount_point], check=True)
        mount_point.rmdir()


def pass_time(world: World, seconds: float) -> None:
    """Let time pass in steps in which guests are looked after."""
    world.clock.pump([0.05] * round(seconds / 0.05))


def failure(call: Callable[[], object]) -> SystemFailure:
    """Call what fails; give the failure."""
    try:
        call()
    except SystemFailure as error:
        return error
    raise AssertionError("it did not fail")


def lines(first: int, last: int) -> bytes:
    """Make lines of 16 bytes each that tell their number."""
    return b"".join(b"line %010d\n" % number for number in range(first, last))


def drop(directory: Path) -> None:
    """Under "drop" the guest writes on, and a line tells what is missing."""
    other_path = str(directory / "other.log")
    with disk(directory) as mount_point:
        world = World(mount_point, drops=True)
        guest, other = world.open(), world.open(other_path)
        (mount_point / "ballast").write_bytes(b"b" * 200 * KIB)
        guest.write(lines(0, 4096))
        world.reactor.turn()
        on_disk = len(world.text())
        assert 0 < on_disk < 64 * KIB, on_disk
        for call in (world.position, lambda: world.append(b"message")):
            error = failure(call)
            assert isinstance(error, NotWritten)
            assert error.errno == errno.ENOSPC
            assert error.pending_bytes == 64 * KIB - on_disk
        status = world.status()
        assert status.state is LogState.FAILING
        assert status.error
        assert "No space left on device" in status.error
        other.write(b"fine")
        assert world.position(other_path).offset == 4
        assert world.text() == lines(0, 4096)[:on_disk], "a refused message left something"
        last = 4096 + guest.write_without_blocking(lines(4096, 12000)) // 16
        assert world.status().lost_bytes == 0
        pass_time(world, 1.1)
        lost = world.status().lost_bytes
        assert lost == last * 16 - on_disk
        guest.write(lines(last, last + 10))
        pass_time(world, 1.1)
        assert world.status().lost_bytes == lost
        (mount_point / "ballast").unlink()
        pass_time(world, 1.1)
        assert world.status().state is LogState.OPEN
        guest.write(lines(last + 10, last + 20))
        assert world.position().offset == len(world.text())
        found = NOTICE.search(world.text())
        assert found
        assert int(found[1]) == lost
        before, after = world.text()[: found.start()], world.text()[found.end() :]
        assert before.rstrip(b"\n") == lines(0, last)[:on_disk].rstrip(b"\n")
        assert before.endswith(b"\n")
        assert after == lines(last, last + 20)
        other.write(b", still")
        assert world.position(other_path).offset == 11
        world.close()


def block(directory: Path) -> None:
    """Under "block" the guest waits, and nothing is lost."""
    with disk(directory) as mount_point:
        world = World(mount_point, drops=False)
        guest = world.open()
        (mount_point / "ballast").write_bytes(b"b" * 200 * KIB)
        data = lines(0, 10_000)
        taken = 0
        for _ in range(3):
            taken += guest.write_without_blocking(data[taken:])
            world.reactor.turn()
            pass_time(world, 2)
        assert guest.write_without_blocking(data[taken : taken + 4 * KIB]) == 0
        assert world.status().state is LogState.FAILING
        (mount_point / "ballast").unlink()
        pass_time(world, 1.1)
        guest.write(data[taken:][: 60 * KIB])
        end = world.position().offset
        assert world.text() == data[:end]
        assert end > taken
        assert world.status().lost_bytes == 0
        world.close()


def rotation(directory: Path) -> None:
    """Rotation that frees no space neither loses nor overwrites a backup."""
    with disk(directory) as mount_point:
        world = World(mount_point, 100 * KIB, 3, drops=False)
        guest = world.open()
        data = lines(0, 20_000)
        taken = 0
        while world.status().state is LogState.OPEN:
            taken += guest.write_without_blocking(data[taken:][: 32 * KIB])
            world.reactor.turn()
        pass_time(world, 3)
        files = world.files()
        assert len(files) == 3, files.keys()
        assert b"".join(files.values()) == data[: sum(map(len, files.values()))]
        (mount_point / "guest.log.1").unlink()
        pass_time(world, 1.1)
        assert world.position().offset == len(world.text())
        assert world.whole() == data[:taken][len(files[".1"]) :]
        world.close()


def no_inodes(directory: Path) -> None:
    """A rollover that cannot make its new file goes on when it can; no name moves twice."""
    with disk(directory, "size=1m,nr_inodes=4") as mount_point:
        world = World(mount_point, 1000, 3, drops=False)
        guest = world.open()
        guest.write(b"a" * 1000 + b"b" * 1000)
        world.position()
        (mount_point / "ballast").touch()
        guest.write(b"c" * 500)
        error = failure(world.position)
        assert error.errno == errno.ENOSPC, error
        assert "Unable to open file" in str(error)
        pass_time(world, 3)
        assert world.files() == {".1": b"a" * 1000, ".0": b"b" * 1000}
        (mount_point / "ballast").unlink()
        pass_time(world, 1.1)
        assert world.files() == {".1": b"a" * 1000, ".0": b"b" * 1000, "": b"c" * 500}
        world.close()


def immutable(directory: Path) -> None:
    """A directory in which nothing may be renamed keeps its files as they are."""
    with disk(directory) as mount_point:
        world = World(mount_point, 1000, 2, drops=False)
        guest = world.open()
        guest.write(b"a" * 1000 + b"b" * 1000 + b"c" * 1000)
        world.position()
        before = world.files()
        subprocess.run(["chattr", "+i", mount_point], check=True)
        guest.write(b"d" * 500)
        assert failure(world.position).errno == errno.EPERM
        pass_time(world, 3)
        assert world.files() == before
        subprocess.run(["chattr", "-i", mount_point], check=True)
        pass_time(world, 1.1)
        assert world.files() == {".1": b"b" * 1000, ".0": b"c" * 1000, "": b"d" * 500}
        world.close()


SCENARIOS = {
    scenario.__name__: scenario for scenario in (drop, block, rotation, no_inodes, immutable)
}


def main(name: str, directory: str) -> None:
    """Run one scenario; ends with status 0 if all is as it should be."""
    before = descriptors()
    SCENARIOS[name](Path(directory))
    assert len(descriptors()) == len(before), (before, descriptors())


if __name__ == "__main__":
    main(*sys.argv[1:])
