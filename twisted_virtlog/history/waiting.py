"""What is noted and not written yet, put in order by the index's own thread: pure."""

from __future__ import annotations

from twisted_virtlog.history.deeds import CUT, MOST_DEEDS, Deed, FileBegun, FileEnded, Taken
from twisted_virtlog.history.marks import FileMarks, most_marks
from twisted_virtlog.history.moments import NO_BOOT, THIS_BOOT, moment
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.wall_times import Watch

#: More marks, of all files together, do not wait while nothing can be written.
_MOST_MARKS = 200_000

#: If more would, each file has at most so many.
_FEW = 4

#: As many files wait.
_MOST_FILES = 50_000


class WaitingFile:
    """What is to be written of a file.

    :ivar marks: those since the last time, of THIS_BOOT.
    :ivar is_cut: it was cut before them, so that those that are written say little.
    :ivar is_ended: nothing comes after them.
    """

    __slots__ = ("is_cut", "is_ended", "key", "marks", "path")

    def __init__(self, key: FileKey, path: str) -> None:
        self.key = key
        self.path = path
        self.marks = FileMarks()
        self.is_cut = self.is_ended = False

    def mark(self, offset: int, since: int, until: int) -> None:
        """Add a mark; see :meth:`.Notes.mark`."""
        if offset == CUT:
            self.cut()
            return
        last = self.marks.last()
        if last is not None and offset < last[0]:
            # (nobody has seen it)
            self.cut()
        self.marks.add(offset, _moment(since), _moment(until))
        if len(self.marks) > most_marks(offset):
            self.marks.thin(most_marks(offset))

    def cut(self) -> None:
        """Take note that it was cut."""
        self.marks.cut()
        self.is_cut = True


class Waiting:
    """All that is to be written.

    :ivar files: by their numbers, those of which something is to be written.
    :ivar deeds: the others, in their order.
    :ivar watches: of the wall clock.
    """

    def __init__(self) -> None:
        self.files: dict[int, WaitingFile] = {}
        self.deeds: list[Deed] = []
        self.watches: list[Watch] = []
        # All that are known by a number.
        self._known: dict[int, tuple[FileKey, str]] = {}

    def __bool__(self) -> bool:
        return bool(self.files or self.deeds or self.watches)

    def take(self, taken: Taken) -> None:
        """Take what was noted."""
        ended = []
        for deed in taken.deeds:
            if isinstance(deed, FileBegun):
                self._known[deed.number] = (deed.key, deed.path)
                self._file(deed.number)
            elif isinstance(deed, FileEnded):
                ended.append(deed.number)
            else:
                self.deeds.append(deed)
        for number, offset, since, until in taken.marks():
            file = self.files.get(number) or self._file(number)
            if file is not None:
                file.mark(offset, since, until)
        for number in ended:
            file = self._file(number)
            if file is not None:
                file.is_ended = True
                del self._known[number]

    def bound(self) -> int:
        """Forget what is too much, as nothing can be written; return how many things are lost.

        Of marks the oldest are not forgotten first, but those between others. That of all things a
        file was cut is never forgotten.
        """
        lost = 0
        if sum(len(file.marks) for file in self.files.values()) > _MOST_MARKS:
            for file in self.files.values():
                before = len(file.marks)
                file.marks.thin(_FEW)
                lost += before - len(file.marks)
        if len(self.files) > _MOST_FILES:
            for number in list(self.files)[: _MOST_FILES // 2]:
                if not self.files[number].is_cut:
                    lost += len(self.files.pop(number).marks)
        if len(self.deeds) > MOST_DEEDS:
            lost += len(self.deeds) - MOST_DEEDS // 2
            del self.deeds[: -MOST_DEEDS // 2]
        if len(self.watches) > MOST_DEEDS:
            # (as if nobody had watched)
            del self.watches[: -MOST_DEEDS // 2]
        return lost

    def _file(self, number: int) -> WaitingFile | None:
        file = self.files.get(number)
        if file is None and number in self._known:
            file = self.files[number] = WaitingFile(*self._known[number])
        return file

    def written(self) -> None:
        """Take note that all is written."""
        self.files.clear()
        self.deeds.clear()
        self.watches.clear()


def _moment(noted: int) -> int:
    return moment(THIS_BOOT, noted) if noted >= 0 else moment(NO_BOOT, -noted)
