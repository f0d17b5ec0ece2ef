"""Which logs there may be: those below the directories that ``log_roots`` names, if it names any.

A path is taken as it is written, without ``.`` and ``..``: as no symbolic link may be below a root,
it leads nowhere else. Above a root there may be links. So a root has two spellings, as it is
written and without links, and a log's path begins with either.

No descriptor of a root is kept: it would keep the root's file system from being unmounted, and show
what another mount hides. A log's directory is looked up afresh whenever it is needed (beneath.py),
by its path from the root's spelling without links on, in the thread in which the log is.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence

from twisted_virtlog.errors import NotAllowed
from twisted_virtlog.logs.files.beneath import Beneath
from twisted_virtlog.logs.files.log_directory import BY_PATH, NOTHING_PACKED, LogDirectory


class Roots:
    """The directories below which logs are; any thread may ask.

    :ivar names: as they are written; none: logs may be anywhere.
    """

    def __init__(self, names: Sequence[str] = (), has_packed: bool = True) -> None:
        """Know no links yet; see :meth:`leads_to`.

        :param has_packed: whether files of logs may be packed.
        """
        self.names = tuple(names)
        self._has_packed = has_packed
        self._real: dict[str, str] = {}
        # How a path begins, and how its real path does; the longest first.
        self._beginnings: Sequence[tuple[str, str]] = ()
        self._sort()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.names)

    def leads_to(self, name: str, real: str) -> None:
        """Take note where a root leads, in the reactor's thread.

        :param real: its path without links; until that is known, it is as it is written.
        """
        if self._real.get(name) != real:
            self._real[name] = real
            self._sort()

    def _sort(self) -> None:
        beginnings: dict[str, str] = {}
        for name in self.names:
            written = _beginning(name)
            target = _beginning(self._real.get(name, name))
            beginnings.setdefault(target, target)
            beginnings[written] = target
        self._beginnings = sorted(beginnings.items(), key=lambda one: len(one[0]), reverse=True)

    def real_path(self, path: str) -> str | None:
        """Return the path of a log without links; None if it is not below a root.

        No file is asked: whether there are links below the root is found out when it is opened.
        """
        if "/." in path or "//" in path:
            path = _normal(path)
        for written, target in self._beginnings:
            if path.startswith(written) and path != written:
                return path if written == target else target + path[len(written) :]
        return None

    def check(self, path: str) -> None:
        """Refuse a log that is not below a root, if there are any.

        :raises NotAllowed: it is not.
        """
        if self.names and self.real_path(path) is None:
            raise self._outside(path)

    def check_directory(self, path: str) -> None:
        """Refuse a directory in which there may be no logs.

        :param path: without links.
        :raises NotAllowed: it is neither a root nor below one.
        """
        is_below = any(f"{path}/".startswith(target) for _, target in self._beginnings)
        if self.names and not is_below:
            raise self._outside(path)

    def directory_of(self, real_path: str) -> LogDirectory:
        """Return what reaches the files of a log.

        :param real_path: of the log; where it is not below a root, what is returned refuses all.
        """
        if not self.names:
            return BY_PATH if self._has_packed else NOTHING_PACKED
        real = self.real_path(real_path)
        # (thousands of logs are in one directory)
        directory = None if real is None else sys.intern(os.path.dirname(real))
        return Beneath(directory, self.names, self._has_packed)

    def check_links(self, path: str, status: os.stat_result) -> None:
        """Refuse a log whose file is a symbolic link, or has a hard one.

        :param status: of what has its name.
        :raises NotAllowed: it is, or has.
        """
        if stat.S_ISLNK(status.st_mode):
            raise self.link(path)
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise self._not_allowed(path, "its file has another name (a hard link)")

    def link(self, path: str) -> NotAllowed:
        """Return why a log is refused whose path has a symbolic link below a root."""
        return self._not_allowed(path, "a symbolic link is on its way")

    def _not_allowed(self, path: str, reason: str) -> NotAllowed:
        message = f"{path}: {reason}, which must not be {self._below()}"
        return NotAllowed(message, path, self.names)

    def _outside(self, path: str) -> NotAllowed:
        return NotAllowed(f"{path} is not {self._below()}", path, self.names)

    def _below(self) -> str:
        return f"below log_roots, {', '.join(self.names)}"


#: Logs may be anywhere.
ANYWHERE = Roots()


def _beginning(name: str) -> str:
    """Return how the paths of what is below a directory begin."""
    return f"{_normal(name)}/".replace("//", "/")


def _normal(path: str) -> str:
    # (two slashes at the beginning are one on Linux)
    normal = os.path.normpath(path)
    return normal[1:] if normal.startswith("//") else normal
