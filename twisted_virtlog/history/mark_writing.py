"""Writes the marks of files into the index, as few as that takes."""

from __future__ import annotations

from twisted_virtlog.history.marks import BYTES_ALONE, FileMarks, most_marks
from twisted_virtlog.history.moments import boot_of, is_of_boot, ms_of
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.rows import PIECE_BITS, pieces
from twisted_virtlog.history.tables import Tables
from twisted_virtlog.history.waiting import WaitingFile
from twisted_virtlog.history.wall_times import UNWATCHED_MS, WallTimes

#: A piece of a file's marks that is shorter grows.
_PIECE_BYTES = 40 * BYTES_ALONE


class _Row:
    """What is known of the marks of a file that are written.

    :ivar id: of the file.
    :ivar piece: the number of the last piece, and ``piece_bytes`` its length.
    :ivar count: how many marks there are.
    :ivar last: the last mark, if there is one.
    """

    __slots__ = ("count", "id", "last", "piece", "piece_bytes")

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.piece = self.piece_bytes = self.count = 0
        self.last: tuple[int, int, int] | None = None


class MarkWriter:
    """Writes the marks of files, and remembers what is written of those that grow."""

    def __init__(self, tables: Tables, walls: WallTimes, boot: int) -> None:
        """:param walls: what the wall clock showed until now.

        :param boot: the number of the machine's present boot.
        """
        self._tables = tables
        self._walls = walls
        self._boot = boot
        self._rows: dict[FileKey, _Row] = {}

    def number(self, file: WaitingFile) -> int:
        """Return the number of a file in the tables."""
        return self._known_row(file).id

    def write(self, file: WaitingFile) -> None:
        """Write the marks of a file that wait."""
        row = self._known_row(file)
        marks = file.marks.in_boot(self._boot)
        written = self._tables.marks
        if file.is_cut or _is_behind(row, marks):
            kept = written(row.id)
            if not file.is_cut and self._is_rest(row, marks):
                kept.trim(marks.offset(0))
            else:
                kept.cut()
            kept.add_all(marks)
            self._rewrite(row, kept)
        elif len(marks):
            self._append(row, marks)
        if row.last is not None and row.count > most_marks(row.last[0]):
            kept = written(row.id)
            kept.thin(most_marks(row.last[0]))
            self._rewrite(row, kept)
        elif file.is_ended and row.piece:
            # (what is read together is together)
            self._rewrite(row, written(row.id))
        if file.is_ended:
            del self._rows[file.key]

    def forget(self, gone: set[int]) -> None:
        """Forget files, whose numbers in the tables are given.

        Should more be noted of one, it is begun again, and swept later.
        """
        for key, row in list(self._rows.items()):
            if row.id in gone:
                del self._rows[key]

    def forget_all(self) -> None:
        """Forget what is written, as that may be wrong."""
        self._rows.clear()

    def _is_rest(self, row: _Row, marks: FileMarks) -> bool:
        """Return whether a file that is shorter is what was left of it when the machine failed.

        Nobody has written to it since, as the file system says.
        """
        modified = marks.since(0)
        if row.last is None or is_of_boot(modified) or boot_of(row.last[2]) == self._boot:
            return False
        _, latest = self._walls.between(row.last[2], row.last[2])
        return ms_of(modified) <= latest + UNWATCHED_MS

    def _known_row(self, file: WaitingFile) -> _Row:
        row = self._rows.get(file.key)
        if row is None:
            row = self._rows[file.key] = self._row(file)
        return row

    def _row(self, file: WaitingFile) -> _Row:
        """Find what is written of a file; if that is nothing, begin it."""
        tables = self._tables
        found = tables.file(file.key)
        if found is None:
            return _Row(tables.new_file(file.key, tables.known_log(file.path)))
        row = _Row(found)
        for piece, length, last in tables.do(
            "SELECT id, length(marks), substr(marks, ?) FROM marks WHERE id >= ? AND id < ?"
            " ORDER BY id",
            (-BYTES_ALONE, *pieces(found)),
        ):
            row.piece, row.piece_bytes = piece - (found << PIECE_BITS), length
            row.count += length // BYTES_ALONE
            row.last = FileMarks(last).last()
        return row

    def _append(self, row: _Row, marks: FileMarks) -> None:
        """Write marks after those that are written."""
        kept = marks.kept()
        if row.piece_bytes >= _PIECE_BYTES:
            row.piece, row.piece_bytes = row.piece + 1, 0
        self._tables.do(
            "UPDATE marks SET marks = CAST(marks || ? AS BLOB) WHERE id = ?"
            if row.piece_bytes
            else "INSERT INTO marks (marks, id) VALUES (?, ?)",
            (kept, (row.id << PIECE_BITS) + row.piece),
        )
        row.piece_bytes += len(kept)
        row.count += len(marks)
        row.last = marks.last()

    def _rewrite(self, row: _Row, marks: FileMarks) -> None:
        """Write marks in place of those that are written."""
        self._tables.do("DELETE FROM marks WHERE id >= ? AND id < ?", pieces(row.id))
        row.piece = row.piece_bytes = row.count = 0
        row.last = None
        if len(marks):
            self._append(row, marks)


def _is_behind(row: _Row, marks: FileMarks) -> bool:
    """Return whether a file was cut while nobody looked."""
    return row.last is not None and len(marks) > 0 and marks.offset(0) < row.last[0]
