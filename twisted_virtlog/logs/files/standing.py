"""What stands for a file of a log: the file by its name or, if there is none, the packed one.

To whoever reads, rotates or counts the files of a log, a packed file is the one that it was: it has
that one's inode number, birth and size. Only who opens or removes it needs to know.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import NamedTuple

from twisted_virtlog.logs.accounts.account import SeenFile
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import packed_path
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.reading import origin_of

# A packed file is none that somebody else put there as a link or a device.
_PACKED_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW


class Standing(NamedTuple):
    """A file of a log that is there.

    :ivar path: by which it is there: its name, or that of the packed file.
    :ivar look: its number and size; of a packed one, those that it had.
    :ivar status: of what is there.
    :ivar origin: what a packed file says of the one that it was; None if it is not packed.
    """

    path: str
    look: SeenFile
    status: os.stat_result
    origin: Origin | None = None


def standing(directory: LogDirectory, name: str, may_be_packed: bool = True) -> Standing | None:
    """Look what stands for a file of a log; None if nothing does, or it cannot be asked.

    :param name: the path that it has unless it is packed.
    :param may_be_packed: False if it is known that it is not.
    :raises OSError: EMFILE or ENFILE, as a packed file has to be opened that was not seen before.
    """
    try:
        status = directory.lstat(name)
    except FileNotFoundError:
        return standing_packed(directory, name) if may_be_packed else None
    except OSError:
        return None
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Standing(name, SeenFile(status.st_ino, size), status)


def standing_packed(directory: LogDirectory, name: str) -> Standing | None:
    """Look at the packed file, whatever has the name itself; None if there is none.

    :param name: see :func:`standing`.
    :raises OSError: see :func:`standing`.
    """
    if not directory.has_packed:
        return None
    path = packed_path(name)
    try:
        status = directory.lstat(path)
        origin = _seen.get(_key(status))
        if origin is None:
            file, origin = open_packed(directory, name)
            try:
                status = os.fstat(file)
            finally:
                os.close(file)
            _see(status, origin)
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            raise
        return None
    return Standing(path, SeenFile(origin.inode, origin.size), status, origin)


# What packed files say, by what tells them apart: those that were seen last. A rotation needs no
# descriptor for them.
_seen: dict[tuple[int, int, int, int], Origin] = {}
_MOST_SEEN = 16384


def _key(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _see(status: os.stat_result, origin: Origin) -> None:
    # (each of these is done at once, whichever thread does it)
    if len(_seen) >= _MOST_SEEN:
        _seen.clear()
    _seen[_key(status)] = origin


def open_standing(directory: LogDirectory, name: str, flags: int) -> tuple[int, Origin | None]:
    """Open what stands for a file of a log.

    :param name: see :func:`standing`.
    :param flags: to open it with if it is not packed.
    :returns: its descriptor, and what it says if it is packed.
    :raises FileNotFoundError: nothing does.
    :raises OSError: it cannot be opened.
    """
    try:
        return directory.open(name, flags), None
    except FileNotFoundError:
        if not directory.has_packed:
            raise
        return open_packed(directory, name)


def open_packed(directory: LogDirectory, name: str) -> tuple[int, Origin]:
    """Open the packed file, whatever has the name itself.

    :param name: see :func:`standing`.
    :raises FileNotFoundError: there is none, or it is something else.
    :raises OSError: it cannot be opened.
    """
    path = packed_path(name)
    try:
        file = directory.open(path, _PACKED_FLAGS)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG}:
            raise FileNotFoundError(path) from error
        raise
    try:
        origin = origin_of(file) if stat.S_ISREG(os.fstat(file).st_mode) else None
        if origin is None:
            raise FileNotFoundError(path)
    except BaseException:
        os.close(file)
        raise
    return file, origin


def remove_packed(directory: LogDirectory, name: str) -> None:
    """Remove the packed file, if there is one; the file by the name itself is there.

    :param name: see :func:`standing`.
    """
    found = standing_packed(directory, name)
    if found is not None:
        with contextlib.suppress(FileNotFoundError):
            directory.unlink(found.path)
