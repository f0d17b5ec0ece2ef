"""Files of real file systems and their births; run by test_identity.py where it may mount some.

Arguments: the type of a file system, and a directory to mount it in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer

#: How to make each, on a disk of so many MiB.
KINDS = {
    "ext4": (["mkfs.ext4", "-q"], 64),
    "xfs": (["mkfs.xfs", "-q"], 300),
    "btrfs": (["mkfs.btrfs", "-q"], 128),
    "tmpfs": ([], 64),
}

REUSES = 20_000


@contextmanager
def mounted(kind: str, image: Path, point: Path) -> Iterator[None]:
    """Mount a file system."""
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
    else:
        subprocess.run(["mount", "-o", "loop", "-t", kind, image, point], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


def birth(path: Path) -> str:
    """Return the birth of a file, without opening what it holds."""
    file = os.open(path, os.O_PATH)
    try:
        return identity.birth(file)
    finally:
        os.close(file)


def reuse(path: Path) -> tuple[int, int]:
    """Make a file and remove it, again and again.

    :returns: how many inode numbers there were, and how many births.
    """
    inodes, births = set(), set()
    for _ in range(REUSES):
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        inodes.add(os.fstat(file).st_ino)
        births.add(identity.birth(file))
        os.close(file)
        os.unlink(path)
    return len(inodes), len(births)


def stay(path: Path) -> str:
    """Do to a file what must not change its birth; return that."""
    writer = Writer(str(path), Limits(0, 0))
    first = writer.position().birth
    writer.append(b"x" * 1000)
    writer.close()
    os.truncate(path, 10)
    os.chmod(path, 0o640)
    os.rename(path, path.with_suffix(".0"))
    os.link(path.with_suffix(".0"), path)
    os.unlink(path.with_suffix(".0"))
    assert birth(path) == first
    return first


def main(kind: str, directory: Path) -> None:
    """Mount a file system, reuse an inode number, and see what stays the same."""
    image, point = directory / "image", directory / "mounted"
    point.mkdir()
    make, size = KINDS[kind]
    if make:
        with open(image, "wb") as file:
            file.truncate(size << 20)
        subprocess.run([*make, image], check=True)
    with mounted(kind, image, point):
        inodes, births = reuse(point / "reused")
        assert births == REUSES, births
        first = stay(point / "stays")
        assert first.startswith("h"), first
        sys.stdout.write(f"{kind}: {inodes} inode numbers, {births} births, as {first}\n")
    if make:
        with mounted(kind, image, point):
            assert birth(point / "stays") == first


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
