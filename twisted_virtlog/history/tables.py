"""What reads and writes of the index's tables have in common."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.records import FileKey, key_of
from twisted_virtlog.history.rows import pieces
from twisted_virtlog.values import Position

if TYPE_CHECKING:
    import sqlite3

#: After so many files, or rows, others get the interpreter, for so long.
FILES_AT_ONCE = 32
ROWS_AT_ONCE = 256
_PAUSE_SECONDS = 0.0001


def let_others_in(number: int, at_once: int = FILES_AT_ONCE) -> None:
    """Let other threads have the interpreter now and then.

    :param number: counts what is done.
    """
    if number % at_once == 0:
        time.sleep(_PAUSE_SECONDS)


class Tables:
    """The tables, and where in them a file or a log is.

    :ivar do: executes a statement.
    """

    def __init__(self, sql: sqlite3.Connection) -> None:
        self.do = sql.execute

    def one(self, query: str, *values: object) -> Any:
        """Return the one number that a query finds; None if it finds none."""
        row = self.do(query, values).fetchone()
        return None if row is None else row[0]

    def file(self, key: FileKey | None) -> int | None:
        """Return the number of a file; None if nothing is kept of it."""
        if key is None:
            return None
        number: int | None = self.one(
            "SELECT id FROM files WHERE birth = ? AND file_system = ?", key.birth, key.file_system
        )
        return number

    def new_file(self, key: FileKey, log: int) -> int:
        """Begin a file of a log; return its number."""
        number = self.do(
            "INSERT INTO files (birth, file_system, log) VALUES (?, ?, ?)",
            (key.birth, key.file_system, log),
        ).lastrowid
        assert number is not None
        return number

    def file_at(self, position: Position, file_system: str, log: int) -> int | None:
        """Return the number of the file that a position lies in; None if nothing tells it apart."""
        key = key_of(position.birth, file_system)
        number = self.file(key)
        return self.new_file(key, log) if number is None and key is not None else number

    def log(self, path: str) -> int | None:
        """Return the number of a log; None if nothing is kept of it."""
        number: int | None = self.one("SELECT id FROM logs WHERE path = ?", os.fsencode(path))
        return number

    def known_log(self, path: str) -> int:
        """Return the number of a log; of a new one nothing is known but that it has files."""
        number = self.log(path)
        if number is None:
            number = self.do(
                "INSERT INTO logs (path, driver, first_at, inode, end, birth)"
                " VALUES (?, x'', 0, 0, 0, '')",
                (os.fsencode(path),),
            ).lastrowid
            assert number is not None
        return number

    def new_log(
        self,
        path: str,
        who: tuple[bytes, bytes | None, bytes | None],
        opened_at: int,
        place: tuple[int, int, str],
    ) -> int:
        """Begin a log that is opened for the first time; return its number.

        :param who: has opened it: the driver, and the guest as of names_of.
        :param opened_at: milliseconds of the wall clock.
        :param place: where it ends, as of place_of.
        """
        number = self.do(
            "INSERT INTO logs (path, driver, uuid, name, first_at, opened_at, inode, end, birth)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (os.fsencode(path), *who, opened_at, opened_at, *place),
        ).lastrowid
        assert number is not None
        return number

    def files_of(self, log: int) -> set[FileKey]:
        """Return the files of a log of which anything is kept."""
        return {
            FileKey(file_system, birth)
            for file_system, birth in self.do(
                "SELECT file_system, birth FROM files WHERE log = ?", (log,)
            )
        }

    def marks(self, file: int) -> FileMarks:
        """Return the marks of a file."""
        rows = self.do("SELECT marks FROM marks WHERE id >= ? AND id < ? ORDER BY id", pieces(file))
        return FileMarks(b"".join(marks for (marks,) in rows))
