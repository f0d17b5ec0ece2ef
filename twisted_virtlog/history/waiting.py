"""What is noted and not written yet, put in order by the index's own thread: pure.

Marks are written twice, as that is cheaper. Soon after they were noted, all of them go into the
journal as they are, so that a kill does not lose them; later they go to the marks of each file.
"""

from __future__ import annotations

from twisted_virtlog.history.deeds import CUT, MOST_DEEDS, Deed, FileBegun, FileEnded, Taken
from twisted_virtlog.history.marks import FileMarks, most_marks
from twisted_virtlog.history.moments import NO_BOOT, THIS_BOOT, moment
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.wall_times import Watch

#: With more marks, of all files together, it is time to write them to the files.
_ENOUGH_MARKS = 50_000

#: More do not wait while nothing can be written; then each file has at most so many.
_MOST_MARKS = 200_000
_FEW = 4

#: As many files wait.
_MOST_FILES = 50_000

_THIS_BOOT = moment(THIS_BOOT, 0)


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
        marks = self.marks
        if offset < marks.end:
            # (or somebody has cut it whom nobody has seen)
            self.cut()
            if offset == CUT:
                return
        first = since + _THIS_BOOT if since >= 0 else moment(NO_BOOT, -since)
        marks.add(offset, first, until + _THIS_BOOT)
        if len(marks) > most_marks(offset):
            marks.thin(most_marks(offset))

    def cut(self) -> None:
        """Take note that it was cut."""
        self.marks.cut()
        self.is_cut = True


class Waiting:
    """All that is to be written.

    :ivar files: by their numbers, those of which something is to be written.
    :ivar deeds: the others, in their order.
    :ivar watches: of the wall clock.
    :ivar journal: marks that are not in the journal yet, as they were noted; None if some are not
        here any more, so that all are to be written to their files.
    """

    def __init__(self) -> None:
        self.files: dict[int, WaitingFile] = {}
        self.deeds: list[Deed] = []
        self.watches: list[Watch] = []
        self.journal: list[bytes] | None = []
        self._marks = 0
        self._has_ended = False
        # All that are known by a number.
        self._known: dict[int, tuple[FileKey, str]] = {}

    def __bool__(self) -> bool:
        """Return whether there is anything that is not even in the journal."""
        return bool(
            self.deeds or self.watches or self.journal or self.journal is None or self._has_ended
        )

    @property
    def has_many(self) -> bool:
        """Whether marks are to be written to their files now."""
        return self._marks > _ENOUGH_MARKS or self.journal is None

    def take(self, taken: Taken) -> None:
        """Take what was noted."""
        ended = []
        for deed in taken.deeds:
            if isinstance(deed, FileBegun):
                self._known[deed.number] = (deed.key, deed.path)
            elif isinstance(deed, FileEnded):
                ended.append(deed.number)
            else:
                self.deeds.append(deed)
        if taken.raw:
            self._take_marks(taken)
        for number in ended:
            file = self._file(number)
            if file is not None:
                file.is_ended = self._has_ended = True
                del self._known[number]

    def _take_marks(self, taken: Taken) -> None:
        if self.journal is not None:
            self.journal.append(taken.raw)
        files = self.files
        count = 0
        for number, offset, since, until in taken.marks():
            file = files.get(number) or self._file(number)
            if file is not None:
                file.mark(offset, since, until)
            count += 1
        self._marks += count

    def _file(self, number: int) -> WaitingFile | None:
        file = self.files.get(number)
        if file is None and number in self._known:
            file = self.files[number] = WaitingFile(*self._known[number])
        return file

    def ended(self) -> list[int]:
        """Return the numbers of the files of which nothing more comes."""
        return [number for number, file in self.files.items() if file.is_ended]

    def in_files(self) -> Waiting:
        """Return what of it is of files alone."""
        other = Waiting()
        other.files = self.files
        return other

    def written(self, gone: set[FileKey], whole: bool) -> None:
        """Take note of what is written.

        :param gone: files that were forgotten.
        :param whole: the marks are written to their files; else those of files that have ended are.
        """
        self.deeds.clear()
        self.watches.clear()
        self.journal = []
        self._has_ended = False
        if whole:
            self.files.clear()
            self._marks = 0
            return
        for number in self.ended():
            del self.files[number]
        if gone:
            for number in [n for n, file in self.files.items() if file.key in gone]:
                del self.files[number]

    def bound(self) -> int:
        """Forget what is too much, as nothing can be written; return how many things are lost.

        Of marks the oldest are not forgotten first, but those between others. That of all things a
        file was cut is never forgotten.
        """
        # (they are all to be written to their files)
        self.journal = None
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
