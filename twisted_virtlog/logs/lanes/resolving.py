"""Resolves a path as os.path.realpath does, and stops before a mount that must not be touched.

A path's mount is the lane that its file is in, and below a mount that does not answer every look
waits. So the table of mounts says where another begins; and since it may have changed a moment ago,
the names on one mount are looked up in a way that does not leave it. Where the kernel cannot do so,
they are read one by one, and the table is asked before each.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted_virtlog.logs.lanes.confined import CANNOT, Unreachable, look
from twisted_virtlog.logs.lanes.mounts import AUTOFS, PATH_MAX, UNKNOWN, Mount, Mounts

#: As in the kernel.
_MOST_LINKS = 40

#: After so many beginnings a path is resolved by whatever table there is.
_MOST_BEGINNINGS = 16


#: So often a name is looked up again at which the table turned out to be wrong.
_MOST_SURPRISES = 8

_NO_MOUNTS = Mounts("")


class Table(Protocol):
    """What tells the mounts; see :class:`table.MountTable`."""

    def now(self) -> Mounts:
        """Return the present ones."""

    def afresh(self) -> Mounts:
        """Look again, also if no change was told, and return the present ones."""


class Resolving:
    """One path, as far as it is resolved.

    Each :meth:`advance` may be called in another thread, one after the other. Between two of them
    nothing is open.

    :ivar real: once done, the path without links, ``.`` and ``..``. What does not exist is as it is
        written, also after a file that is no directory or that may not be entered.
    :ivar mount: once done, the mount that ``real`` lies on, or would; UNKNOWN if nobody can tell.
    """

    __slots__ = (
        "_beginnings",
        "_directory",
        "_follows_last",
        "_is_stepwise",
        "_last",
        "_links",
        "_mount",
        "_mounts",
        "_names",
        "_path",
        "_surprises",
        "_table",
        "mount",
        "real",
    )

    def __init__(self, path: str, table: Table, follow_last: bool = True) -> None:
        """Touch nothing yet.

        :param path: a relative one begins in what is the present directory when it is begun.
        :param follow_last: whether to resolve the last name, too, if that is a link and no slash
            follows.
        """
        self._path = path
        self._table = table
        self._follows_last = follow_last
        self._beginnings = 0
        self._is_stepwise = False
        self._surprises = 0
        self._mounts = _NO_MOUNTS
        # What is done: a directory without links, "" for the root, and the mount that it is on.
        self._directory = ""
        self._mount: Mount | None = None
        # What is to be done.
        self._names: Sequence[str] = ()
        self._last: str | None = None
        self._links = 0
        self.real = path
        self.mount = UNKNOWN

    def advance(self, may_touch: Callable[[Mount], bool]) -> Mount | None:
        """Go on as far as allowed, by the mounts that there are now.

        :param may_touch: whether names may be looked up on a mount. It is asked for each mount on
            which there is anything to be looked up. Those that only lead to it are passed then,
            too, as there is no other way there. What is mounted when a directory of autofs, say, is
            entered, is a mount of its own; it is made by who may touch that directory.
        :returns: the mount that would be next, and must not be touched; None when done.
        :raises OSError: ELOOP, there are too many links; ENAMETOOLONG, the path or a name is too
            long; ENOENT, the path is relative, and the present directory was removed.
        :raises ValueError: no file's name can be so, as a NUL is in it.
        """
        self._renew(self._table.now())
        allowed: Mount | None = None
        while names := self._names:
            if names[0] == "..":
                self._go_up()
                continue
            count, above = self._mounts.along(self._mount, self._directory, names)
            if not count:
                if above is None:
                    raise self._error(errno.ENAMETOOLONG)
                # (which touches neither)
                self._directory = above.point
                self._mount = above
                self._names = names[1:]
                continue
            mount = self._mount or UNKNOWN
            if mount is not allowed:
                if not may_touch(mount):
                    return mount
                allowed = mount
            if self._is_stepwise:
                self._step()
            else:
                self._look(names[:count])
        self._end()
        return None

    def _renew(self, mounts: Mounts) -> bool:
        """Take note of the present mounts; start over if what is done lies elsewhere by them.

        :returns: whether anything has changed.
        """
        if not self._beginnings:
            self._begin(mounts)
            return True
        if mounts is self._mounts:
            return False
        here = mounts.of(self._directory or "/")
        if self._lies_still(here) or self._beginnings >= _MOST_BEGINNINGS:
            self._mounts, self._mount = mounts, here
        else:
            self._begin(mounts)
        return True

    def _lies_still(self, here: Mount | None) -> bool:
        """Return whether what is done is the same, if it lies on some mount now."""
        if here == self._mount:
            return True
        # (or was mounted on just now, for instance since it was entered)
        old = self._mount.number if self._mount else None
        return here is not None and (here.point, here.parent) == (self._directory, old)

    def _begin(self, mounts: Mounts) -> None:
        self._beginnings += 1
        self._mounts, self._mount = mounts, mounts.root
        self._directory = ""
        self._links = 0
        path = self._path
        if not path.startswith("/"):
            path = f"{os.getcwd()}/{path}"
        if len(os.fsencode(path)) >= PATH_MAX:
            raise self._error(errno.ENAMETOOLONG)
        names = _names(path)
        self._last = None
        if not self._follows_last and names and names[-1] != ".." and path.endswith(names[-1]):
            self._last = names.pop()
        self._names = names

    def _go_up(self) -> None:
        """Go to the parent directory, which touches nothing: there are no links in what is done."""
        self._directory = self._directory.rpartition("/")[0]
        self._names = self._names[1:]
        if self._mount is not None and len(self._directory) < len(self._mount.point):
            self._mount = self._mounts.of(self._directory or "/")

    def _look(self, names: Sequence[str]) -> None:
        """Look up names that are on one mount, as the table says."""
        try:
            count, number, text = look(
                self._mounts, self._mount, self._directory, names, self._is_present
            )
        except Unreachable:
            if self._is_surprised():
                self._is_stepwise = True
            return
        if number in CANNOT:
            self._is_stepwise = True
        elif number == errno.EXDEV:
            self._meet_unknown(names[: count + 1])
        elif number == errno.ENAMETOOLONG:
            raise self._error(number)
        elif number == errno.ELOOP:
            self._advance_by(names[:count])
            self._follow(text)
        elif number != errno.EAGAIN:
            # (all are there, or what follows the first that is not is taken as it is written)
            self._advance_by(names)
        elif self._beginnings < _MOST_BEGINNINGS:
            self._begin(self._table.now())
        else:
            self._is_stepwise = True

    def _meet_unknown(self, names: Sequence[str]) -> None:
        """Find out about a mount that the table does not have, at the last of some names.

        A directory above it may have been renamed. Or a file system mounts it when the directory is
        entered: then it is entered now.
        """
        if not self._is_surprised():
            return
        _enter(f"{self._directory}/{'/'.join(names)}")
        self._is_stepwise = not self._renew(self._table.afresh())

    def _is_surprised(self) -> bool:
        """Return whether the table is wrong, again and again, and does not change.

        A mount may have come and gone again, and then the table is as before.
        """
        if self._renew(self._table.afresh()):
            return False
        self._surprises += 1
        return self._surprises > _MOST_SURPRISES

    def _is_present(self) -> bool:
        return self._table.now() is self._mounts

    def _step(self) -> None:
        """Read one name."""
        if self._renew(self._table.now()):
            return
        path = f"{self._directory}/{self._names[0]}"
        try:
            text = os.readlink(path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise
            self._advance_by(self._names[:1])
            if self._mount is not None and self._mount.kind == AUTOFS:
                _enter(path)
        else:
            self._follow(text)

    def _advance_by(self, names: Sequence[str]) -> None:
        if names:
            self._directory = f"{self._directory}/{'/'.join(names)}"
            self._names = self._names[len(names) :]

    def _follow(self, text: str) -> None:
        """Go on with what a link says, in place of its name."""
        self._links += 1
        if self._links > _MOST_LINKS:
            raise self._error(errno.ELOOP)
        if text.startswith("/"):
            self._directory = ""
            self._mount = self._mounts.root
        self._names = [*_names(text), *self._names[1:]]

    def _end(self) -> None:
        real, mount = self._directory, self._mount
        if self._last is not None:
            above = self._mounts.along(mount, real, [self._last])[1]
            real, mount = f"{real}/{self._last}", above or mount
        self.real = self._path if real == self._path else real or "/"
        self.mount = mount or UNKNOWN

    def _error(self, number: int) -> OSError:
        return OSError(number, os.strerror(number), self._path)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]


def _enter(path: str) -> None:
    """Have mounted what is mounted when a directory is entered."""
    with contextlib.suppress(OSError):
        os.readlink(f"{path}/.")
