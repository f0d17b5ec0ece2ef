"""Puts a file in the place of the packed one that stands for it, under the name that it had."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.making import unpack_file
from twisted_virtlog.packed.reading import origin_of

_SUFFIX = ".zst"

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

#: How often a file is tried whose name a rotation changes meanwhile.
_TRIES = 8


def packed_files(place: Path) -> list[Path]:
    """Return the packed files of a log, or of all logs in a directory, sorted by name.

    :param place: of the log, whether there is such a file or not; or of the directory.
    :raises OSError: the directory cannot be read.
    """
    directory, log = (place, None) if place.is_dir() else (place.parent, place.name)
    found = []
    for one in sorted(directory.iterdir()):
        if one.suffix != _SUFFIX:
            continue
        name, _, number = one.stem.rpartition(".")
        if log is not None and (name not in {log, f".{log}.held"} or not number.isdecimal()):
            continue
        with contextlib.suppress(OSError):
            if _origin_at(one) is not None:
                found.append(one)
    return found


def restore(packed: Path) -> int:
    """Unpack a packed file, and remove it; if the file itself is there, only remove it.

    Whoever is killed meanwhile loses nothing.

    :returns: the bytes of the file.
    :raises OSError: it cannot be done; FileNotFoundError, it has another name by now.
    """
    directory = os.open(packed.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            size = _restore(packed, directory)
            if size is not None:
                return size
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(packed))
    finally:
        os.close(directory)


def _restore(packed: Path, directory: int) -> int | None:
    """Do so; return None if names have changed meanwhile."""
    name = packed.name.removesuffix(_SUFFIX)
    source = os.open(packed.name, _FLAGS, dir_fd=directory)
    try:
        origin = origin_of(source)
        if origin is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(packed))
        if not _exists(name, directory):
            target = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)
            try:
                _unpack(source, target, origin)
                if not _is_named(source, packed.name, directory):
                    return None
                try:
                    os.link(
                        f"/proc/self/fd/{target}", name, dst_dir_fd=directory, follow_symlinks=True
                    )
                except FileExistsError:
                    return None
                if not _is_named(source, packed.name, directory):
                    # (a rotation has moved it just before)
                    if _is_named(target, name, directory):
                        os.unlink(name, dir_fd=directory)
                    return None
            finally:
                os.close(target)
            os.fsync(directory)
        os.unlink(packed.name, dir_fd=directory)
        return origin.size
    finally:
        os.close(source)


def _unpack(source: int, target: int, origin: Origin) -> None:
    unpack_file(source, target, origin)
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    with contextlib.suppress(OSError):
        for attribute in os.listxattr(source):
            os.setxattr(target, attribute, os.getxattr(source, attribute))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.fsync(target)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_named(file: int, name: str, directory: int) -> bool:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file))


def _origin_at(path: Path) -> Origin | None:
    file = os.open(path, _FLAGS)
    try:
        return origin_of(file) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)
