"""Keeps the index in a thread of its own: takes what was noted, writes it, and answers.

The file may be on a file system that does not answer, on a full disk or a broken one, somebody else
may have it, or what is in it may be of no use. Then what is noted stays in memory, within bounds,
and is added once that is over. Nobody waits for this thread.
"""

from __future__ import annotations

import contextlib
import math
import os
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_virtlog.history.boot_clock import BootClock
from twisted_virtlog.history.failures import CannotKeep
from twisted_virtlog.history.notes import Haste, Notes
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.waiting import Waiting
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.loop.thread_loop import ThreadLoop

if TYPE_CHECKING:
    from twisted_virtlog.history.database import Database

T = TypeVar("T")

_logger = Logger()

#: What need not be written at once is written after so long; what could not be is tried again.
WRITE_SECONDS = 10.0

#: From one write to the next, if there is something that is not to wait.
REST_SECONDS = 0.05

#: Where many logs are opened or closed in a row, the rest lasts until there were fewer than so many
#: between two looks: each write takes the processor from those who open them. It lasts no longer
#: than this, nor until more wait.
_ROW = 16
ROW_SECONDS = 1.0
_MOST_OF_ROW = 8192

#: Marks are written to their files after so long.
WHOLE_SECONDS = 60.0

#: How many files that were of no use are kept.
_MOST_BROKEN = 3
_BROKEN = ".broken-"

#: What SQLite keeps beside a file.
_BESIDE = ("", "-wal", "-journal", "-shm")


class Keeping:
    """The index, as its own thread has it. All is called there.

    :ivar lost: how many notes were forgotten; any thread may ask.
    """

    def __init__(
        self, file: str | None, boot: str, notes: Notes, clock: BootClock, loop: ThreadLoop
    ) -> None:
        """Do nothing yet.

        :param file: the path of the index's file; None if all is to stay in memory.
        :param boot: see Database.
        """
        self._file = file
        self._boot = boot
        self._notes = notes
        self._clock = clock
        self._loop = loop
        self._timer: MonotonicClock
        self._waiting = Waiting()
        self._database: Database | None = None
        self._is_paused = False
        # When something may be written again, on the clock of the timer.
        self._rested_at = -math.inf
        # When a row is over in any case, and how many notes there were at the last look.
        self._row_ends = -math.inf
        self._seen = 0
        self._process = uuid.uuid4().hex
        self._due: IDelayedCall | None = None
        self._whole: IDelayedCall | None = None
        self._again: IDelayedCall | None = None
        self._said = ""
        self.lost = 0
        # What was asked while it was paused.
        self._questions: list[Callable[[], object]] = []

    @property
    def is_failing(self) -> bool:
        """Whether the file cannot be used now; any thread may ask."""
        return bool(self._said)

    def begin(self) -> None:
        """Open the file."""
        self._timer = MonotonicClock(self._loop)
        self.go_on()

    def end(self) -> None:
        """Write what waits, close the file, and end the thread."""
        if self._is_paused:
            self.go_on()
        self.write(whole=True)
        self._close()
        self._timer.close()
        self._loop.end()

    def wake(self, haste: Haste) -> None:
        """Write what was noted, now or in a while."""
        now = self._timer.seconds()
        left = self._rested_at - now if haste else WRITE_SECONDS
        if left <= 0:
            self.write()
        elif haste or self._due is None:
            _cancel(self._due)
            self._row_ends = now + ROW_SECONDS if haste is Haste.AFTER_ROW else now
            self._seen = self._notes.waiting
            self._due = self._timer.callLater(left, self._write_after_row)

    def _write_after_row(self) -> None:
        """Write what was noted, unless logs are opened or closed in a row."""
        waiting = self._notes.waiting
        is_row = waiting - self._seen >= _ROW and waiting < _MOST_OF_ROW
        if is_row and self._timer.seconds() < self._row_ends:
            self._seen = waiting
            self._due = self._timer.callLater(REST_SECONDS, self._write_after_row)
        else:
            self.write()

    def pause(self) -> None:
        """Write what waits, and close the file until :meth:`go_on`."""
        if not self._is_paused:
            # (marks to the journal, as somebody waits)
            self.write()
            self._close()
        self._is_paused = True

    def go_on(self) -> None:
        """Open the file, and go on."""
        if self._database is not None:
            return
        self._is_paused = False
        self._open()
        self.write()
        questions, self._questions = self._questions, []
        for question in questions:
            question()

    def write(self, whole: bool = False) -> None:
        """Write what was noted until now; what cannot be written waits.

        :param whole: write all marks to their files now, and not in a while.
        """
        _cancel(self._due)
        self._due = None
        self._rested_at = self._timer.seconds() + REST_SECONDS
        waiting = self._waiting
        self._take()
        if self._is_paused:
            return
        watches = self._clock.take()
        if waiting or len(watches) > 1:
            # (else the wall clock has not stepped either)
            waiting.watches += watches
        whole = whole or waiting.has_many
        if not waiting and not (whole and waiting.files):
            return
        gone: list[set[FileKey]] = []
        try:
            if not self._on_database(lambda one: gone.append(one.write(waiting, whole))):
                self._lost(waiting.bound())
                return
            waiting.written(gone[-1], whole)
        except Exception:  # noqa: BLE001 (what comes next may fare better)
            _logger.failure("what was noted of logs is forgotten, as it cannot be written")
            waiting.written(set(), whole=True)
        self._say_that_it_goes_on()
        if whole:
            _cancel(self._whole)
            self._whole = None
        elif waiting.files and self._whole is None:
            self._whole = self._timer.callLater(WHOLE_SECONDS, self._write_whole)

    def _write_whole(self) -> None:
        self._whole = None
        self.write(whole=True)

    def _on_database(self, do: Callable[[Database], object]) -> bool:
        """Do something with the file that is open; with another one, if that turns out broken.

        :returns: whether that is done.
        """
        while self._database is not None:
            try:
                do(self._database)
            except CannotKeep as error:
                if not error.is_full:
                    self._close()
                if error.is_full or not error.is_broken or not self._begin_another(error):
                    self._fail(error)
                    return False
            else:
                return True
        return False

    def ask(
        self, question: Callable[[Database, Waiting], T], answer: Callable[[T], object]
    ) -> None:
        """Ask the index something, after what was noted before.

        :param question: is called with what is written, and what waits.
        :param answer: is called with what that returns; not at all if it fails.
        """
        if self._is_paused:
            self._questions.append(lambda: self.ask(question, answer))
            return
        self._take()
        if self._waiting.deeds:
            self.write()
        found: list[T] = []
        if self._on_database(lambda database: found.append(database.ask(question, self._waiting))):
            answer(found[-1])
        else:
            answer(self._asked_in_memory(question))

    def _asked_in_memory(self, question: Callable[[Database, Waiting], T]) -> T:
        """Ask about what waits alone."""
        from twisted_virtlog.history.database import IN_MEMORY, Database  # noqa: PLC0415

        database = Database(IN_MEMORY, self._boot)
        try:
            database.write(self._waiting, whole=True)
            return database.ask(question, Waiting())
        finally:
            database.close()

    def _take(self) -> None:
        taken = self._notes.take()
        self._waiting.take(taken)
        self._lost(taken.lost_marks + taken.lost_deeds)

    def _lost(self, count: int) -> None:
        if count:
            self.lost += count
            _logger.warn(
                "{count} notes of logs are lost, as they could not be written for too long",
                count=count,
            )

    # The file.

    def _open(self) -> None:
        """Open the file, or see to it that this is tried again."""
        if self._file is None:
            return
        try:
            self._database = self._opened(self._file)
        except CannotKeep as error:
            if not error.is_broken or not self._begin_another(error):
                self._fail(error)

    def _opened(self, file: str) -> Database:
        from twisted_virtlog.history.database import Database  # noqa: PLC0415 (it takes its time)

        return Database(file, self._boot, self._process)

    def _begin_another(self, broken: CannotKeep) -> bool:
        """Set the file aside, which is of no use, and begin another one; return whether it is open.

        (Were that broken as well, it would be tried again as any that cannot be used.)
        """
        assert self._file is not None
        try:
            aside = set_aside(self._file)
            self._database = self._opened(self._file)
        except (CannotKeep, OSError) as error:
            _logger.error("{file}: {error}", file=self._file, error=error)
            return False
        _logger.error(
            "{file}: {reason}; it is called {aside} now, and another one is begun",
            file=self._file,
            reason=broken.reason,
            aside=aside,
        )
        return True

    def _fail(self, error: CannotKeep) -> None:
        """Go on without the file, and try again later."""
        if self._again is None or not self._again.active():
            self._again = self._timer.callLater(WRITE_SECONDS, self._try_again)
        if self._said != error.reason:
            self._said = error.reason
            _logger.error(
                "{file}: {reason}; until that is over, times and events of logs are kept in memory"
                " alone",
                file=self._file,
                reason=error.reason,
            )

    def _try_again(self) -> None:
        if not self._is_paused:
            if self._database is None:
                self._open()
            self.write()

    def _say_that_it_goes_on(self) -> None:
        if self._said:
            self._said = ""
            _logger.info("{file}: times and events of logs are kept there again", file=self._file)

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except CannotKeep as error:
                _logger.error("{file}: {reason}", file=self._file, reason=error.reason)


def _cancel(call: IDelayedCall | None) -> None:
    """Cancel a call that may have been made."""
    if call is not None and call.active():
        call.cancel()


def set_aside(file: str) -> str:
    """Give a file of SQLite's that is of no use another name, and remove the oldest such ones.

    :returns: its name now.
    :raises OSError: it cannot be renamed.
    """
    directory, name = os.path.split(file)
    begin = name + _BROKEN
    numbers = sorted(
        int(other[len(begin) :])
        for other in os.listdir(directory)
        if other.startswith(begin) and other[len(begin) :].isdecimal()
    )
    aside = f"{file}{_BROKEN}{numbers[-1] + 1 if numbers else 1}"
    for end in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            os.rename(file + end, aside + end)
    for number in numbers[: -_MOST_BROKEN + 1]:
        for end in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{file}{_BROKEN}{number}{end}")
    return aside
