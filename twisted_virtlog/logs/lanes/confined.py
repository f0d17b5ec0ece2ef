"""Looks names up on one mount, and leaves it neither by a link nor by another mount.

openat2(2) does so for a whole path at once, and where it fails, halving finds the name at which.
What is opened this way is only looked up (O_PATH), and closed before anybody else is asked: an open
directory would keep its file system from being unmounted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from twisted_virtlog.logs.lanes.mounts import Mount, Mounts
from twisted_virtlog.syscalls import (
    AT_FDCWD,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    mount_number,
    openat2,
)

_FLAGS = os.O_PATH | os.O_CLOEXEC
_STAY = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV

#: The kernel does not know openat2(2) or may not do it, or no descriptor is left.
CANNOT = frozenset({errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Unreachable(Exception):
    """A mount's root cannot be opened, or another mount is, or may be, there."""


def look(
    mounts: Mounts,
    mount: Mount | None,
    directory: str,
    names: Sequence[str],
    is_present: Callable[[], bool],
) -> tuple[int, int, str]:
    """Look names up from a directory on.

    The mounts that lead to this one are passed on the way.

    :param mounts: the present table; if it is empty, nobody knows where another mount begins.
    :param mount: the one that the directory lies on; None for a root that is no mount.
    :param directory: its path, without links; empty for the root.
    :param names: neither empty nor ``.`` nor ``..``; at least one.
    :param is_present: returns whether the table is still the present one. The number of a mount
        says little, as the next one may get it as soon as it is unmounted.
    :returns: how many are there and are no links; the error number of the one after these, 0 if
        there is none; and if that is ELOOP, the text of the link. EAGAIN: it has changed meanwhile.
        A number of CANNOT says nothing of the names.
    :raises Unreachable: see there.
    """
    resolve = _STAY if mounts.all else RESOLVE_NO_SYMLINKS
    if mount is mounts.root or mount is None:
        return _look(AT_FDCWD, f"{directory}/", names, resolve)
    try:
        base = _root_of(mounts, mount)
    except OSError as error:
        if error.errno in CANNOT:
            return 0, error.errno or 0, ""
        raise Unreachable from error
    try:
        if not is_present():
            raise Unreachable
        below = directory[len(mount.point) + 1 :]
        return _look(base, below and f"{below}/", names, resolve)
    finally:
        os.close(base)


def _look(base: int, prefix: str, names: Sequence[str], resolve: int) -> tuple[int, int, str]:
    high = len(names)
    try:
        os.close(openat2(prefix + "/".join(names), _FLAGS, resolve, base))
    except OSError as error:
        number = error.errno or 0
    else:
        return high, 0, ""
    low, found = 0, -1
    # (a file that is to be made is usually all that is missing)
    middle = high - 1 if number == errno.ENOENT else high // 2
    try:
        while high - low > 1 and number not in CANNOT:
            try:
                file = openat2(prefix + "/".join(names[:middle]), _FLAGS, resolve, base)
            except OSError as error:
                high, number = middle, error.errno or 0
            else:
                if found >= 0:
                    os.close(found)
                low, found = middle, file
            middle = (low + high) // 2
        if number != errno.ELOOP:
            return low, number, ""
        if found < 0:
            found = openat2(prefix or ".", _FLAGS, resolve, base)
        return low, number, os.readlink(names[low], dir_fd=found)
    except OSError as error:
        return low, error.errno if error.errno in CANNOT else errno.EAGAIN, ""
    finally:
        if found >= 0:
            os.close(found)


def _root_of(mounts: Mounts, mount: Mount) -> int:
    """Open the root of a mount that is not the root itself.

    :raises OSError: ESTALE, another mount is there.
    """
    file, point = AT_FDCWD, ""
    try:
        for one in mounts.leading_to(mount):
            # (the root is where the way begins, and of autofs another may cover the place)
            if one.point in {"/", point}:
                continue
            head, _, name = one.point[len(point) :].rpartition("/")
            if head:
                file = _next(file, head, _STAY)
            # Only here it may come to another mount.
            file = _next(file, f"/{name}", RESOLVE_NO_SYMLINKS)
            point = one.point
        if mount_number(file) not in {None, mount.number}:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), mount.point)
    except OSError:
        if file >= 0:
            os.close(file)
        raise
    return file


def _next(file: int, path: str, resolve: int) -> int:
    """Open what is below a directory, or below the root for AT_FDCWD; close that if it succeeds."""
    found = openat2(path if file < 0 else path[1:], _FLAGS, resolve, file)
    if file >= 0:
        os.close(file)
    return found
