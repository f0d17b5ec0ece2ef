"""The file in which the index is kept: SQLite's, and nobody else's while it is open.

All is done in the thread that opens it. Who keeps no index does not import this, and so not SQLite.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from twisted_virtlog.history.deed_writing import DeedWriter
from twisted_virtlog.history.failures import CannotKeep
from twisted_virtlog.history.journal import Journal
from twisted_virtlog.history.mark_writing import MarkWriter
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.schema import STEPS, VERSION
from twisted_virtlog.history.tables import Tables, let_others_in
from twisted_virtlog.history.waiting import Waiting
from twisted_virtlog.history.wall_times import WallTimes, Watch

T = TypeVar("T")

#: In place of a file: all is in memory.
IN_MEMORY = ":memory:"

#: Of so many boots is known what the wall clock showed.
_MOST_BOOTS = 1000

#: SQLite's memory for pages, in KiB; and how large its journal stays, in bytes.
_CACHE_KIB = 1024
_JOURNAL_BYTES = 4 << 20

#: So many pages are given back at once, of 4 KiB each.
_MOST_GIVEN_BACK = 4096

#: Names of errors that say that a file is of no use, and texts of them.
_BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_BROKEN_TEXTS = ("malformed", "file is not a database", "no such ")


class _Undone(Exception):
    """What was done is to be undone."""


class Database:
    """An open file.

    :ivar boot: the number of the machine's present boot in it.
    :ivar walls: what the wall clock showed in all boots, as far as that is written.
    :ivar tables: what is in it; see :mod:`.asking`.
    """

    def __init__(self, file: str, boot: str, process: str = "") -> None:
        """Open a file, make it if it is not there, and bring it up to date.

        :param file: its path, or IN_MEMORY.
        :param boot: tells the machine's present boot from all others.
        :param process: tells this process from others, which may have been killed. What it has left
            itself still waits.
        :raises CannotKeep: it cannot be opened or made, or somebody else has it; or it is of no
            use, or of a newer release.
        """
        with _kept():
            if file != IN_MEMORY:
                _make(file)
            self._sql = sqlite3.connect(file, timeout=0, isolation_level=None)
            self.tables = Tables(self._sql)
            try:
                self._prepare()
                self.tables.do("BEGIN IMMEDIATE")
                self._bring_up_to_date()
                self.boot = self._boot_number(boot)
                self.walls = self._read_walls()
                self._marks = MarkWriter(self.tables, self.walls, self.boot)
                self._journal = Journal(self.tables, self.boot, process)
                self._journal.take_over(self._marks)
                self.tables.do("COMMIT")
            except BaseException:
                self._sql.close()
                raise

    def close(self) -> None:
        """Close it; what is in the journal goes into the file.

        :raises CannotKeep: it cannot be written; it is closed all the same.
        """
        with _kept():
            self._sql.close()

    def write(self, waiting: Waiting, whole: bool) -> set[FileKey]:
        """Write what waits, in one transaction.

        :param whole: write marks to their files; else to the journal.
        :returns: the files that are gone with it.
        :raises CannotKeep: nothing is written.
        """
        with _kept(), self._transaction():
            return self._write(waiting, whole)

    def ask(self, question: Callable[[Database, Waiting], T], waiting: Waiting) -> T:
        """Ask what is in it, and what waits.

        :raises CannotKeep: it cannot be read.
        """
        with _kept():
            if not waiting.deeds:
                return question(self, waiting)
            # It could not be written: what would be in it? (In memory, until that is undone.)
            self.tables.do("PRAGMA cache_spill = OFF")
            with contextlib.suppress(_Undone), self._transaction():
                self._write(waiting, whole=False)
                answer = question(self, waiting.in_files())
                raise _Undone
            self.tables.do("PRAGMA cache_spill = ON")
            return answer

    def _write(self, waiting: Waiting, whole: bool) -> set[FileKey]:
        self._write_watches(waiting.watches)
        deeds, gone = DeedWriter(self.tables), set[FileKey]()
        for number, deed in enumerate(waiting.deeds, 1):
            gone.update(deeds.write(deed))
            let_others_in(number)
        if deeds.gone:
            self._marks.forget(deeds.gone)
        for count, number in enumerate(list(waiting.files) if whole else waiting.ended(), 1):
            file = waiting.files[number]
            if file.key not in gone:
                if file.is_ended:
                    self._journal.end(number, self._marks.number(file))
                self._marks.write(file)
            let_others_in(count)
        if whole:
            self._journal.clear()
        else:
            self._journal.write(waiting, gone, self._marks)
        return gone

    def tidy(self) -> None:
        """Give back the room of what was forgotten; to be asked for."""
        # (as a statement by itself it gives back one page)
        self._sql.executescript(f"PRAGMA incremental_vacuum({_MOST_GIVEN_BACK})")

    def _prepare(self) -> None:
        do = self.tables.do
        # (before the first look at the file, as most others take: no memory is shared, and nobody
        # else gets in)
        do("PRAGMA locking_mode = EXCLUSIVE")
        do(f"PRAGMA cache_size = -{_CACHE_KIB}")
        do("PRAGMA auto_vacuum = INCREMENTAL")
        do("PRAGMA journal_mode = WAL")
        do("PRAGMA synchronous = NORMAL")
        do(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")

    def _bring_up_to_date(self) -> None:
        version = self.tables.one("PRAGMA user_version")
        if version > VERSION:
            raise CannotKeep(f"a newer release has written it (version {version})", is_broken=True)
        for step in STEPS[version:]:
            for statement in step:
                self.tables.do(statement)
        if version < VERSION:
            self.tables.do(f"PRAGMA user_version = {VERSION}")

    def _boot_number(self, boot: str) -> int:
        do = self.tables.do
        do("INSERT OR IGNORE INTO boots (boot) VALUES (?)", (boot,))
        number: int = self.tables.one("SELECT id FROM boots WHERE boot = ?", boot)
        oldest = number - _MOST_BOOTS
        do("DELETE FROM boots WHERE id < ?", (oldest,))
        do("DELETE FROM watches WHERE boot < ?", (oldest,))
        return number

    def _read_walls(self) -> WallTimes:
        walls = WallTimes()
        for boot, *watch in self.tables.do(
            "SELECT boot, since, until, least, most FROM watches ORDER BY boot, since"
        ):
            walls.add(boot, Watch(*watch))
        return walls

    def _write_watches(self, watches: Iterable[Watch]) -> None:
        for one in watches:
            self._write_watch(self.walls.add(self.boot, one))
        if self.walls.thin(self.boot):
            self.tables.do("DELETE FROM watches WHERE boot = ?", (self.boot,))
            for known in self.walls.of_boot(self.boot):
                self._write_watch(known)

    def _write_watch(self, watch: Watch) -> None:
        self.tables.do(
            "INSERT OR REPLACE INTO watches (boot, since, until, least, most)"
            " VALUES (?, ?, ?, ?, ?)",
            (self.boot, *watch),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside the context; undo it if that raises something."""
        self.tables.do("BEGIN IMMEDIATE")
        walls = self.walls.copy()
        try:
            yield
            self.tables.do("COMMIT")
        except BaseException:
            # (the transaction may be over)
            with contextlib.suppress(sqlite3.Error):
                self.tables.do("ROLLBACK")
            self.walls.become(walls)
            self._marks.forget_all()
            self._journal.forget_all()
            raise


def _make(file: str) -> None:
    """Make a file, and its directory, for nobody else to read."""
    os.makedirs(os.path.dirname(file), 0o700, exist_ok=True)
    # (one that is there is not opened: to close it would take SQLite's lock away in this process)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Say of what goes wrong inside the context what it means for the index.

    :raises CannotKeep: in place of the system's errors and of SQLite's.
    """
    try:
        yield
    except sqlite3.Error as error:
        is_full = "is full" in str(error)
        raise CannotKeep(_reason(error), _is_broken(error), is_full) from error
    except OSError as error:
        raise CannotKeep(str(error)) from error


def _reason(error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return "another process has it"
    name: str = getattr(error, "sqlite_errorname", "")
    return f"{error} ({name})" if name else str(error)


def _is_broken(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file is of no use."""
    # (before Python 3.11 there is no name)
    name: str = getattr(error, "sqlite_errorname", "")
    return name.startswith(_BROKEN) or any(text in str(error) for text in _BROKEN_TEXTS)
