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
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from twisted_virtlog.births import with_cut, without_cut
from twisted_virtlog.logs import identity
from twisted_virtlog.logs.removal import HOLD_FLAGS
from twisted_virtlog.logs.rotation import MAX_BACKUPS
from twisted_virtlog.state import EndedFile
from twisted_virtlog.values import Position

#: The mark, whatever its value.
GAP_ATTRIBUTE = "user.twisted_virtlog.gap"

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
        gaps: Iterable[str] = (),
        ended: Iterable[EndedFile] = (),
    ) -> None:
        """Go on with what another process remembered."""
        self.cuts: dict[str, str] = dict(cuts or {})
        # By birth; in a dict as that keeps the order.
        self._gaps: dict[str, None] = dict.fromkeys(gaps)
        # The newest first.
        self._ended: deque[EndedFile] | None = deque(ended, _MOST_FILES) or None

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
        return with_cut(birth, self.cuts.get(birth, ""))

    def note_cut(self, birth: str) -> str:
        """Remember that another program has cut a file just now.

        :param birth: of the file itself.
        :returns: its birth with the cut.
        """
        self._ended = None
        if birth:
            self.cuts.pop(birth, None)
            # The boot clock: it goes on while the machine sleeps, and nobody sets it.
            self.cuts[birth] = f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME):x}"
            _keep_newest(self.cuts)
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
        for ended in self._ended or ():
            if ended.inode == position.inode and position.birth in {"", ended.birth}:
                if newer is None:
                    begun = current
                else:
                    begun = newer.inode == inode and newer.birth in {"", birth}
                return begun and ended.size == position.offset
            newer = ended
        return False

    def forget_ends(self) -> None:
        """Forget which file follows which, as bytes are missing before what comes now."""
        self._ended = None

    def mark_gap_after(self, path: str) -> bool:
        """Mark a file, if there is one.

        :returns: whether it was not to be marked, and is remembered here from now on.
        """
        try:
            if not os.path.lexists(path) or is_marked(path):
                return False
            os.setxattr(path, GAP_ATTRIBUTE, b"1", follow_symlinks=False)
            return False
        except OSError:
            return self._remember_gap(path)

    def _remember_gap(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            file = os.open(path, HOLD_FLAGS)
            try:
                birth = identity.birth(file)
            finally:
                os.close(file)
            if birth and birth not in self._gaps:
                self._gaps[birth] = None
                _keep_newest(self._gaps)
                return True
        return False

    def has_gap_after(self, birth: str) -> bool:
        """Return whether a gap is remembered after a file.

        :param birth: of the file, with or without a cut.
        """
        return bool(self._gaps) and without_cut(birth) in self._gaps


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


def _keep_newest(files: dict[str, Any]) -> None:
    while len(files) > _MOST_FILES:
        del files[next(iter(files))]
