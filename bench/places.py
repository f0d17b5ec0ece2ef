"""File systems of their own for the logs of a load, mounted before the daemon starts; as root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from harness.frozen_mount import frozen_mount
from harness.fuse import Operation
from harness.mounting import mount, unmount
from harness.pass_mount import pass_mount

#: Larger than what a load leaves there.
_DISK_MIB = 256


@dataclass(frozen=True)
class Place:
    """A file system.

    :ivar point: where it is mounted.
    :ivar hang: lets it answer nothing any more, from the next write on; ``recover`` ends that.
    """

    point: Path
    hang: Callable[[], None] = lambda: None
    recover: Callable[[], None] = lambda: None


#: Mounts one below a directory inside the context.
Mounting = Callable[[Path], AbstractContextManager[Place]]


@contextmanager
def fuse(directory: Path) -> Iterator[Place]:
    """Mount one whose server is stopped in the middle of the next write.

    So whoever splices from a pipe into a file waits with the pipe's lock.
    """
    shown, point = directory / "shown", directory / "hung"
    shown.mkdir()
    point.mkdir()
    with pass_mount(shown, point) as mounted:

        def stop() -> None:
            mounted.held()
            mounted.stop()

        def hang() -> None:
            mounted.hold(Operation.WRITE)
            Thread(target=stop, daemon=True).start()

        def recover() -> None:
            mounted.release()
            mounted.resume()

        yield Place(point, hang, recover)


@contextmanager
def frozen(directory: Path) -> Iterator[Place]:
    """Mount a disk that can be frozen."""
    point = directory / "hung"
    point.mkdir()
    with frozen_mount(point, directory / "image", _DISK_MIB) as mounted:
        yield Place(point, mounted.freeze, mounted.thaw)


@contextmanager
def memory(directory: Path) -> Iterator[Place]:
    """Mount a tmpfs, which waits for nobody."""
    point = directory / "apart"
    point.mkdir()
    mount("bench", point, "tmpfs")
    try:
        yield Place(point)
    finally:
        unmount(point)


def are_possible() -> bool:
    """Return whether this process may mount, and serve what it mounts."""
    return os.geteuid() == 0 and os.path.exists("/dev/fuse")
