"""The journal of the index: marks as they were noted, until they are written to their files."""

from __future__ import annotations

import os

from twisted_virtlog.history.deeds import FileBegun, Taken
from twisted_virtlog.history.mark_writing import MarkWriter
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.tables import Tables
from twisted_virtlog.history.waiting import Waiting


class Journal:
    """Marks that are in no file's yet, and which file each number in them means."""

    def __init__(self, tables: Tables, boot: int, process: str) -> None:
        """:param boot: the number of the machine's present boot.

        :param process: tells this process from others.
        """
        self._tables = tables
        self._boot = boot
        self._process = process
        # The files whose numbers are written.
        self._begun: set[int] = set()

    def take_over(self, marks: MarkWriter) -> None:
        """Write what another process has left that was killed to the files.

        What is of this process still waits, and is written from there; but it stays here, as this
        process may be killed, or execute the next image, before that.
        """
        do = self._tables.do
        if self._tables.one(
            "SELECT EXISTS (SELECT 1 FROM journal WHERE process = ?)", self._process
        ):
            # (had anybody else opened the file meanwhile, it would have taken these over)
            self._begun.update(number for (number,) in do("SELECT number FROM begun"))
            return
        begun = [
            FileBegun(number, FileKey(file_system, birth), os.fsdecode(path))
            for number, file_system, birth, path in do(
                "SELECT number, file_system, files.birth, path FROM begun"
                " JOIN files ON files.id = file JOIN logs ON logs.id = log"
            )
        ]
        waiting = Waiting()
        waiting.take(Taken(b"", list(begun), 0, 0))
        left = do("SELECT boot, marks FROM journal ORDER BY id").fetchall()
        for _, raw in left:
            waiting.take(Taken(raw, [], 0, 0))
        for file in waiting.files.values():
            # (a process lives in one boot)
            file.marks = file.marks.in_boot(left[-1][0])
            marks.write(file)
        marks.forget_all()
        self.clear()
        do("DELETE FROM begun")

    def write(self, waiting: Waiting, gone: set[FileKey], marks: MarkWriter) -> None:
        """Write the marks that are not in it yet.

        :param gone: the files that nothing is kept of.
        """
        do = self._tables.do
        for number in waiting.files.keys() - self._begun:
            file = waiting.files[number]
            if not file.is_ended and file.key not in gone:
                do(
                    "INSERT OR REPLACE INTO begun (file, number) VALUES (?, ?)",
                    (marks.number(file), number),
                )
                self._begun.add(number)
        raw = b"".join(waiting.journal or ())
        if raw:
            do(
                "INSERT INTO journal (process, boot, marks) VALUES (?, ?, ?)",
                (self._process, self._boot, raw),
            )

    def end(self, number: int, file: int) -> None:
        """Take note that the marks of a file are written to it, and no more come by its number."""
        self._begun.discard(number)
        self._tables.do("DELETE FROM begun WHERE file = ? AND number = ?", (file, number))

    def clear(self) -> None:
        """Take note that the marks of all files are written to them."""
        self._tables.do("DELETE FROM journal")

    def forget_all(self) -> None:
        """Forget what is written, as that may be wrong."""
        self._begun.clear()
