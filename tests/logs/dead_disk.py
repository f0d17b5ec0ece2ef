"""What a log does on an ext4 that dies; run by test_dead_descriptor.py where it may mount one."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

from tests.logs.fakes import World, descriptors
from tests.logs.small_disk import failure, pass_time
from twisted_virtlog.values import LogState

# From <linux/ext4.h>: nothing is read or written any more, not even the journal.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_GOING_FLAGS_NOLOGFLUSH = 2


def make(image: Path) -> Path:
    """Make an empty file system in a file."""
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    return image


def mount(image: Path, mount_point: Path) -> None:
    """Mount a file system that is in a file."""
    subprocess.run(["mount", "-o", "loop", image, mount_point], check=True)


def shut_down(mount_point: Path) -> None:
    """Let a file system fail from now on, as if its disk were gone."""
    directory = os.open(mount_point, os.O_RDONLY)
    fcntl.ioctl(directory, _EXT4_IOC_SHUTDOWN, struct.pack("I", _GOING_FLAGS_NOLOGFLUSH))
    os.close(directory)


def main(how: str, directory: str) -> None:
    """Let a disk die below a log; ends with status 0 if all is as it should be.

    :param how: what becomes of it: it is ``replaced``, or ``covered`` by a healthy one.
    """
    before = descriptors()
    mount_point = Path(directory) / "disk"
    mount_point.mkdir()
    first, second = (make(Path(directory) / name) for name in ("first", "second"))
    mount(second, mount_point)
    (mount_point / "guest.log").write_bytes(b"from former days. ")
    subprocess.run(["umount", mount_point], check=True)
    mount(first, mount_point)
    world = World(mount_point, max_size=1000, max_backups=2, drops=False)
    guest = world.open()
    # (some files are removed, which the daemon may hold)
    for _ in range(5):
        guest.write(b"x" * 999 + b"\n")
        world.position()
    shut_down(mount_point)
    guest.write(b"kept")
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    assert "Input/output error" in str(failure(world.position))
    pass_time(world, 3)
    assert world.status().state is LogState.FAILING
    if how == "replaced":
        # This is refused while somebody has a file open there.
        subprocess.run(["umount", mount_point], check=True)
    mount(second, mount_point)
    pass_time(world, 1.1)
    assert world.status().state is LogState.OPEN
    guest.write(b", and more")
    assert world.position().inode == os.stat(world.path).st_ino
    assert world.text() == b"from former days. kept, and more"
    assert world.status().lost_bytes == 0
    world.close()
    while os.path.ismount(mount_point):
        subprocess.run(["umount", mount_point], check=True)
    assert len(descriptors()) == len(before), (before, descriptors())


if __name__ == "__main__":
    main(*sys.argv[1:])
