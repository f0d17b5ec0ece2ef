"""Mounts an ext4 that can be frozen: a disk that hangs. As root.

Frozen as by ``fsfreeze --freeze``, whatever would change the file system waits in the kernel until
it is thawed: at the latest when whoever mounted it ends, or after longer than a test may take.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.guardian import Guardian, Patience, say_ready, until_end
from harness.mounting import device_at, unmount_device

_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_FREEZES, _THAWED = b"f", b"t"
#: Of the file system; it has no journal to be larger for.
_MIB = 16


class FrozenMount:
    """A file system that can be frozen.

    :ivar point: where it is mounted.
    """

    def __init__(self, point: Path, image: Path, size_mib: int = _MIB) -> None:
        """Mount it; see :func:`frozen_mount`."""
        self.point = point
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        # (what it writes later it would write while it is frozen)
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image], check=True)
        self._guardian = Guardian("frozen_mount", [str(image), str(point)])
        # Opened now, as an open that looks for the path may wait later.
        self._root = os.open(point, os.O_RDONLY | os.O_DIRECTORY)

    def freeze(self) -> None:
        """Let all that would change it wait from now on."""
        self._guardian.tell(_FREEZES)
        fcntl.ioctl(self._root, _FIFREEZE)

    def thaw(self) -> None:
        """Let all go on."""
        fcntl.ioctl(self._root, _FITHAW)
        self._guardian.tell(_THAWED)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it inside the context."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def close(self) -> None:
        """Thaw it if it is frozen, and take it away."""
        os.close(self._root)
        self._guardian.end()


@contextmanager
def frozen_mount(point: Path, image: Path, size_mib: int = _MIB) -> Iterator[FrozenMount]:
    """Mount a new ext4 at a directory inside the context.

    :param image: the file that it is in, which is overwritten.
    :raises GuardianFailed: it cannot be mounted.
    """
    mounted = FrozenMount(point, image, size_mib)
    try:
        yield mounted
    finally:
        mounted.close()


def main(image: Path, point: Path) -> None:
    """Mount it, and thaw and unmount it with the end of standard input."""
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    number = device_at(point)
    assert number is not None
    patience = Patience()
    with ExitStack() as stack:
        # (open until the end, so that no other mount gets the number, which would go instead)
        root = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, root)
        stack.callback(unmount_device, number)
        stack.callback(_thaw, root)
        say_ready(number)

        def heard(said: bytes) -> None:
            """Take note of what is done."""
            if said.endswith(_FREEZES):
                patience.begin()
            else:
                patience.end()

        def look() -> None:
            if patience.is_over:
                _thaw(root)

        until_end(heard, look)


def _thaw(root: int) -> None:
    try:
        fcntl.ioctl(root, _FITHAW)
    except OSError as error:
        # It is not frozen.
        if error.errno != errno.EINVAL:
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
