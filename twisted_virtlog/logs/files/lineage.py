"""What is known of the order of a log's files: where bytes are missing between two of them.

After these files bytes are missing: one that an earlier configuration left above the backups that
are kept; one that stands above a missing number, when the files below move up; the newest backup,
when another program cut, removed or moved away the current file. A mark says so, an extended
attribute, which stays with the file whatever it is called and whoever writes the log then. Where
there can be none, the log remembers it while it is open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from twisted_virtlog.handover.state import EndedFile
from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory
from twisted_virtlog.logs.files.removal import HOLD_FLAGS
from twisted_virtlog.logs.files.standing import Standing, standing
from twisted_virtlog.values import MAX_BACKUPS, Position, birth_with_cut, birth_without_cut

#: The mark, whatever its value.
GAP_ATTRIBUTE = "user.twisted_virtlog.gap"

V = TypeVar("V")

_NONE: Mapping[str, Any] = MappingProxyType({})

#: The current file and its backups.
_MOST_FILES = MAX_BACKUPS + 1


class Lineage:
    """What an open log remembers of its files.

    :ivar cuts: when another program was last seen to cut a file, by the file's birth without that.
    """

    __slots__ = ("_ended", "_gaps", "cuts")

    def __init__(
        self,
        cuts: Mapping[str, str] | None = None,
        gaps: Sequence[str] = (),
        ended: Sequence[EndedFile] = (),
    ) -> None:
        """Go on with what another process remembered."""
        # One object for all logs to which nothing has happened; there may be ten thousand.
        self.cuts: Mapping[str, str] = cuts or _NONE
        # By birth; in a dict as that keeps the order.
        self._gaps: Mapping[str, None] = dict.fromkeys(gaps) if gaps else _NONE
        # The newest first.
        self._ended: deque[EndedFile] | None = deque(ended, _MOST_FILES) if ended else None

    @property
    def ended(self) -> tuple[EndedFile, ...]:
        """The files that rotation moved away, the newest first, with nothing missing between."""
        return tuple(self._ended or ())

    @property
    def gaps(self) -> tuple[str, ...]:
        """The births, without a cut, of files that have a gap after them and cannot be marked."""
        return tuple(self._gaps)

    def full(self, birth: str) -> str:
        """Return the birth of a file with its last cut, as far as it is known.

        :param birth: of the file itself.
        """
        return birth_with_cut(birth, self.cuts.get(birth, ""))

    def note_cut(self, birth: str) -> str:
        """Remember that another program has cut a file just now.

        :param birth: of the file itself.
        :returns: its birth with the cut.
        """
        self._ended = None
        if birth:
            # The boot clock: it goes on while the machine sleeps, and nobody sets it.
            now = f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME):x}"
            self.cuts = _with_newest(self.cuts, birth, now)
        return self.full(birth)

    def note_end(self, inode: int, size: int, birth: str) -> None:
        """Remember where a file ended that rotation moves away."""
        if self._ended is None:
            self._ended = deque(maxlen=_MOST_FILES)
        self._ended.appendleft(EndedFile(inode, size, birth))

    def adjoins(self, position: Position, inode: int, birth: str, current: bool) -> bool:
        """Return whether no byte is known to lie between a position and a file's first byte.

        :param position: of a file that is gone.
        :param inode: of the file, as its birth.
        :param current: it is the log's current file.
        """
        newer: EndedFile | None = None
        is_passed = False
        for ended in self._ended or ():
            if ended.inode == position.inode and position.birth in {"", ended.birth}:
                if newer is None:
                    begun = current
                else:
                    is_it = newer.birth == birth or not (newer.birth or is_passed)
                    begun = newer.inode == inode and is_it
                return begun and ended.size == position.offset
            # (what is older and has that number is another file)
            is_passed |= newer is not None and newer.inode == inode
            newer = ended
        return False

    def forget_ends(self) -> None:
        """Forget which file follows which, as bytes are missing before what comes now."""
        self._ended = None

    def mark_gap_after(self, path: str, directory: LogDirectory = BY_PATH) -> bool:
        """Mark a file, if there is one.

        :returns: whether it could not be marked, and is remembered here from now on.
        """
        try:
            found = standing(directory, path)
        except OSError:
            return False
        if found is None or not stat.S_ISREG(found.status.st_mode):
            return False
        try:
            directory.mark(found.path, GAP_ATTRIBUTE)
            return False
        except OSError:
            return self._remember_gap(found, directory)

    def _remember_gap(self, found: Standing, directory: LogDirectory) -> bool:
        with contextlib.suppress(OSError):
            file = directory.open(found.path, HOLD_FLAGS)
            try:
                birth = found.origin.birth if found.origin else identity.birth(file)
            finally:
                os.close(file)
            if birth and birth not in self._gaps:
                self._gaps = _with_newest(self._gaps, birth, None)
                return True
        return False

    def has_gap_after(self, birth: str) -> bool:
        """Return whether a gap is remembered after a file.

        :param birth: of the file, with or without a cut.
        """
        return bool(self._gaps) and birth_without_cut(birth) in self._gaps


def ended_file(path: str, directory: LogDirectory = BY_PATH) -> EndedFile | None:
    """Return a regular file as it is before its name is removed; None if there is none."""
    try:
        file = directory.open(path, HOLD_FLAGS)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return None
        return EndedFile(status.st_ino, status.st_size, identity.birth(file))
    except OSError:
        return None
    finally:
        os.close(file)


def is_marked(file: str | int) -> bool:
    """Return whether a file, by its name or descriptor, has a mark.

    :raises OSError: there can be none.
    """
    try:
        os.getxattr(file, GAP_ATTRIBUTE, follow_symlinks=isinstance(file, int))
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return False
    return True


def _with_newest(files: Mapping[str, V], birth: str, value: V) -> Mapping[str, V]:
    others = [(other, of_it) for other, of_it in files.items() if other != birth]
    return dict([*others, (birth, value)][-_MOST_FILES:])
