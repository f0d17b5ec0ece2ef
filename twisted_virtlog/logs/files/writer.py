"""Writes one log's files: carries out the steps of rotation.py and owns the current file.

The file is not opened for append, as splice(2) refuses that. So before each write the writer asks
the file for its size, and goes on at its end if someone cut it or wrote to it meanwhile. If it is
cut between the two, which tail.py notices, the write is taken back and made once more.

Replacing a file. When a file is full its names move up, oldest first, and a new one is made. With
three backups these are the steps, and this is what a process that is killed between two of them
leaves of L (the log), 0, 1 and 2 (its backups):

    before                   L 0 1 2
    rename 1 to 2            L 0 _ 2     (first 2 is removed, which leaves L 0 1 _)
    rename 0 to 1            L _ 1 2
    rename L to 0            _ 0 1 2
    make L                   L 0 1 2     (the new file is empty)

A backup may be packed, and has ``.zst`` behind its name then (see standing.py); where the file by
the name itself is there as well, the packed one is removed before that moves, so that it never
comes to stand for another file.

In between exactly one name is missing, and nothing is lost but the oldest backup. Whoever goes on
finds the missing name (rotation.interrupted_steps; after a hand-over the document says how many
steps are left) and carries out the steps below it. To begin with the first step again would move a
backup up twice, and the oldest one out. If only the oldest is missing nothing has moved, and
whether the rollover had begun does not matter. If the current file is not full, a missing name is
not taken for a rollover's.

A step that fails stays the first of ``_steps``, and the next write begins with it. Until the new
file is in use the former one stays open, for its attributes, unless descriptors are short. A kill
between making the new file and setting its attributes leaves it with the daemon's defaults.

Replacing files takes time: a guest that fills 65,536 of them with one write would keep everybody
waiting for seconds. So a write stops when it has taken a share of time, also in the middle of a
rollover, and in the middle of a chunk (rotation.PIPE_CHUNK_BYTES), where the next write goes on:
the files come out as if it had not stopped. A kill there forgets how far into the chunk it was, and
the file may end at another byte of it.

Before names move, the places are marked where two files no longer adjoin afterwards (lineage.py),
so that a kill cannot leave them unmarked. While a name is missing, ``hole`` tells readers which.

What is true between two calls:

- ``_file`` is open and ``_steps`` is empty: the usual state; bytes go to the file's end.
- ``_steps`` is not empty: a rollover is to be finished first, whether a file is open or not.
- ``unfinished`` is set: the latest write stopped as its time was up; the next one goes on there.
- ``_file`` is -1: the file is to be opened by its path first, as the log was taken over, or its
  descriptor was given up. ``_left`` says how it was left, so that a cut since then is noticed.
- ``stranded`` is set: the bytes in it come first. They were counted, and noted by the keeper before
  the file was touched.

A log may have a *bound*, which says how far the current file may grow before it is asked again. It
is asked a little before that, so that nearly all writes ask nobody.

:meth:`Writer.ready` turns each of the others into the first.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import sys
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import ClassVar, Protocol, TypeVar

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.handover.state import EndedFile, FilesState, Stranded
from twisted_virtlog.logs.accounts.account import Account, SeenFile
from twisted_virtlog.logs.accounts.accounts import account_alone
from twisted_virtlog.logs.accounts.layout import APPENDED, GUEST
from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.attributes import Attributes, Held, held_by, held_by_path
from twisted_virtlog.logs.files.held import Unread
from twisted_virtlog.logs.files.lineage import Lineage, ended_file
from twisted_virtlog.logs.files.log_directory import (
    BY_PATH,
    FileSystem,
    LogDirectory,
    system_failure,
)
from twisted_virtlog.logs.files.names import (
    CURRENT,
    backup_path,
    backup_paths,
    held_path,
    name_of,
    newest_first,
    packed_path,
)
from twisted_virtlog.logs.files.opening import (
    ERRORS_OF_DESCRIPTOR,
    check_name,
    file_system_of,
    is_readable,
    open_file,
)
from twisted_virtlog.logs.files.placeholders import placeholders
from twisted_virtlog.logs.files.removal import AT_ONCE, Remover, close_quietly
from twisted_virtlog.logs.files.reuse import RemovedFiles
from twisted_virtlog.logs.files.rotation import (
    PIPE_CHUNK_BYTES,
    Create,
    Limits,
    Look,
    Move,
    Remove,
    Rename,
    RollOverStep,
    check_backups,
    interrupted_steps,
    line_end,
    next_step,
    roll_over_steps,
    unfinished_steps,
)
from twisted_virtlog.logs.files.standing import Standing, remove_packed, standing, standing_packed
from twisted_virtlog.logs.files.stranded import put_back, take_back
from twisted_virtlog.logs.files.strays import STRAYS
from twisted_virtlog.logs.files.tail import Tail
from twisted_virtlog.logs.pipes.mover import Loan
from twisted_virtlog.logs.pipes.sources import MessageSource, Source
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.loop.shares import SHARE_SECONDS
from twisted_virtlog.syscalls import is_in_memory
from twisted_virtlog.values import Position, RemovalReason

T = TypeVar("T")

_NEVER = math.inf

#: No file is so large.
_ENDLESS = sys.maxsize

#: Smaller files are full so soon that lending them is not worth while.
LENT_FILE_BYTES = 8 * PIECE_BYTES

#: A message that is no longer is written before anybody notices.
SHORT_BYTES = 64 * 1024


class WriterOwner(Protocol):
    """Whose file a writer writes."""

    def leads_away(self, file: int) -> bool | None:
        """Return whether the path leads to a file system that this thread must not touch.

        It is asked before the path is looked at.

        :param file: the current file's descriptor, -1 for none.
        :returns: None if it may be looked at; otherwise, whether that file system may be another
            than the current file's.
        """

    def moved_away(self) -> None:
        """Take note that the path leads to another file system than before."""

    def note(self) -> None:
        """Have recorded what a crash must not undo: ``lineage`` or ``stranded`` has changed.

        With the latter, the file is not touched yet.
        """

    def woken(self) -> None:
        """Take note that bytes were written; see :attr:`Writer.asleep`."""

    def file_ends(self) -> None:
        """Take note that another file takes the place of the current one, which is still open.

        It may be told more than once of the same file.
        """

    def was_cut(self, size: int) -> None:
        """Take note that another program has cut the current file, of so many bytes before."""


class Bound(Protocol):
    """How much room a log may take up."""

    def reach(self, writer: Writer, size: int) -> int:
        """Return up to which size the current file may grow before this is asked again.

        :param size: of the file now.
        :returns: more than ``size``, but perhaps not enough for all that is to be written.
        :raises BoundReached: the file may not grow at all.
        :raises OSError: the file cannot be asked.
        """


class Holding(Protocol):
    """Keeps files that rotation would remove, for consumers that have yet to read them."""

    def held_bytes(self, writer: Writer) -> int:
        """Return the size of the log's held files together, as they are now."""

    def names(self, writer: Writer) -> Sequence[str]:
        """Return the paths of the log's held files, the newest first."""

    def unread_of(self, writer: Writer, number: int, look: SeenFile) -> Unread | None:
        """Return what consumers have yet to read of a file; None if there is nothing.

        :param number: of the file, CURRENT or a backup's.
        """

    def keep(self, writer: Writer, path: str, unread: Unread) -> bool:
        """Give a file the name of a held one; return whether that was possible.

        :param path: by which it is reached.
        :param unread: what :meth:`unread_of` returned.
        """

    def kept(self) -> None:
        """See to it that the held files take up no more than they may, as another one is held."""

    def went(self, unread: Unread) -> None:
        """Take note that a file is gone that consumers had yet to read.

        :param unread: what :meth:`unread_of` returned.
        """

    def unread(self) -> dict[str, int]:
        """Return what went unread since the log was opened, by consumer."""


class _NotHolding:
    """Holds nothing."""

    def held_bytes(self, writer: Writer) -> int:
        """Return 0."""
        return 0

    def names(self, writer: Writer) -> Sequence[str]:
        """Return none."""
        return ()

    def unread_of(self, writer: Writer, number: int, look: SeenFile) -> Unread | None:
        """Return nothing."""

    def keep(self, writer: Writer, path: str, unread: Unread) -> bool:
        """Return False."""
        return False

    def kept(self) -> None:
        """Do nothing."""

    def went(self, unread: Unread) -> None:
        """Do nothing."""

    def unread(self) -> dict[str, int]:
        """Return nothing."""
        return {}


NOT_HOLDING: Holding = _NotHolding()

#: Why a file goes that may be held instead.
_MAY_BE_HELD = frozenset({RemovalReason.ROTATION, RemovalReason.TRUNCATE})


class _Nobody:
    """The owner of a writer that has none."""

    def leads_away(self, file: int) -> bool | None:
        """Return None: look wherever the path leads."""
        return None

    def moved_away(self) -> None:
        """Do nothing."""

    def note(self) -> None:
        """Do nothing."""

    def woken(self) -> None:
        """Do nothing."""

    def file_ends(self) -> None:
        """Do nothing."""

    def was_cut(self, size: int) -> None:
        """Do nothing."""


_NOBODY = _Nobody()


class _Closing(_Nobody):
    """The owner of a writer that is closed: it is asked, and told nothing more."""

    def __init__(self, owner: WriterOwner) -> None:
        self.leads_away = owner.leads_away  # type: ignore[method-assign]  # (it is what is wanted)


class Writer:
    """The current file of a log and its rotation.

    A failed write raises :class:`SystemFailure` and loses nothing: what was not written is still
    in its source, and the next write goes on where this one stopped, in the middle of a rollover
    too.

    :ivar written: bytes written since the log was opened.
    :ivar rollovers: how many times a new file was begun since then.
    :ivar lineage: where bytes are missing among the log's files.
    :ivar stranded: bytes that are counted as written and are not in the file, because another
        program cut it; the next write begins with them. Nearly always None.
    :ivar lent: what the mover's thread has of it; see :meth:`lend`.
    :ivar unfinished: the latest write stopped as its time was up, and not for want of bytes; the
        next one, of the same source, goes on in the middle.
    :ivar owner: is told, and asked; by default nobody.
    :ivar directory: reaches the log's files.
    :ivar bound: see Bound; None for none.
    :ivar asleep: whether the owner is to be told of the next bytes that are written; that ends it.
    :ivar uses: how many times a file was opened: while this stays, it is the same file.
    :ivar account: is told what becomes of every byte.
    :ivar may_be_packed: whether there may be packed files; set before one gets a name.
    :ivar holding: see Holding; by default, nothing is held.
    """

    __slots__ = (
        "_birth",
        "_bound",
        "_device",
        "_end",
        "_file",
        "_fits",
        "_given_up",
        "_in_memory",
        "_inode",
        "_into_chunk",
        "_keep_attributes",
        "_left",
        "_limits",
        "_made",
        "_message",
        "_older",
        "_reach",
        "_remove",
        "_removed",
        "_rotates",
        "_steps",
        "_tail",
        "_waiting",
        "account",
        "asleep",
        "directory",
        "holding",
        "lent",
        "lineage",
        "may_be_packed",
        "owner",
        "path",
        "rollovers",
        "stranded",
        "unfinished",
        "uses",
        "written",
    )

    #: A clock that never steps, in seconds.
    seconds: ClassVar[Callable[[], float]] = time.monotonic

    def __init__(
        self,
        path: str,
        limits: Limits,
        truncate: bool = False,
        steps_left: int | None = None,
        remove: Remover = AT_ONCE,
        keep_attributes: Attributes | None = None,
        directory: LogDirectory = BY_PATH,
        account: Account | None = None,
        holding: Holding = NOT_HOLDING,
    ) -> None:
        """Open the file at its end, creating it with mode 0600.

        :param truncate: remove the file and its backups first.
        :param steps_left: go on where the writer of another process stopped, which had as many
            :attr:`steps_left`; the file is not opened before :meth:`reopen` or a write.
        :param remove: removes old files.
        :param keep_attributes: sets on a new file those of the former one; None keeps none.
        :param directory: reaches the log's files; by default by their paths.
        :param account: of the log; by default, one that nobody asks.
        :param holding: see the class.
        :raises SystemFailure: it cannot be opened or removed, or its name is too long.
        :raises UnsupportedBackups: ``limits.max_backups`` is over 32.
        """
        check_backups(path, limits.max_backups)
        self.path = path
        self.directory = directory
        self.account = account_alone() if account is None else account
        self.holding = holding
        self._limits = limits
        self._bound: Bound | None = None
        # Up to which size the current file may grow; and up to which bytes go into it without a
        # look at any rule.
        self._reach = _ENDLESS
        self._fits = 0
        self.written = 0
        self.rollovers = 0
        self.lineage = Lineage()
        self.stranded: Stranded | None = None
        self.lent: Loan | None = None
        self.unfinished = False
        # How many bytes that waited when an unfinished write began are left, and how many of their
        # chunk were written.
        self._waiting = 0
        self._into_chunk = 0
        self.owner: WriterOwner = _NOBODY
        self.asleep = False
        self.uses = 0
        # (until that is looked at)
        self.may_be_packed = True
        # Bytes in the files beside the current one, when that was opened.
        self._older = 0
        # Where a message begins of which a part is written, and the number of roll-overs then.
        self._message: tuple[int, int] | None = None
        self._tail: Tail | None = None
        self._remove = remove
        self._keep_attributes = keep_attributes
        # Whether the current file was made, rather than found.
        self._made = False
        self._steps: Sequence[RollOverStep] = ()
        # None until there is one: ten thousand logs may never be rotated.
        self._removed: RemovedFiles | None = None
        self._inode = 0
        # Asked for when it is wanted. And the size that the file had when it was looked at last.
        self._birth: str | None = None
        self._end = 0
        # The current file as another process left it, until it is opened.
        self._left: EndedFile | None = None
        # Where the file was that is now to be opened by its path, whatever stands there.
        self._given_up: FileSystem | None = None
        # The file system on which the file was opened; 0 until then. And whether it is in memory,
        # asked for when it is wanted.
        self._device = 0
        self._in_memory: bool | None = None
        if steps_left is not None:
            self._steps = unfinished_steps(path, limits.max_backups, steps_left)
            self._file = -1
            self._rotates = False
            return
        self._file = -1
        with directory:
            check_name(path, limits, directory)
            if truncate:
                self._truncate()
            self._begin()

    def _truncate(self) -> None:
        """Remove all files, before there is a current one."""
        most = self.limits.max_backups
        removed = ended_file(self.path, self.directory)
        self.account.begin(self._looks(), self.holding.held_bytes(self))
        names = list(enumerate(newest_first(self.path, most), CURRENT))
        if self.holding is not NOT_HOLDING:
            # (what is held is numbered as it was written)
            names.reverse()
        for number, name in names:
            action = f"Unable to delete file {name}"
            try:
                self._attempt(action, self._rotate_away, number, RemovalReason.TRUNCATE)
            except SystemFailure as failure:
                # (a backup of a log that is never rotated; no file has that name)
                if name == self.path or failure.errno != errno.ENAMETOOLONG:
                    raise
        self._mark_gap_after(backup_path(self.path, most))
        if removed is not None:
            # (nothing is missing between its end and the new file)
            self.lineage.note_end(removed.inode, removed.size, removed.birth)

    def reopen(self) -> None:
        """Open the file of a log that was taken over.

        :raises SystemFailure: it cannot be opened; the next write tries again.
        """
        with self.directory:
            file = self._open()
            if self._steps:
                # (of a rollover that another process began)
                self._keep(self._attributes(), file)
            if not self.uses:
                self._see_packed()
            self._use(file)

    def begin_anew(self) -> None:
        """Begin with an empty file as after a rollover, before anything is written.

        :raises SystemFailure: a step of the rollover fails.
        """
        if self._rotates and self._end:
            self._roll_over()
            self.rollovers = 0

    def renew(self, error: int) -> None:
        """Prepare a retry: let go of a descriptor that may be dead, and look where the path leads.

        The file is then opened by its path, as a daemon that is started again does. Until that
        succeeds no descriptor of it is open, so that its file system can be unmounted. Of a file
        system that is full or forbids something, the descriptor is kept: its file may have been
        moved away, and is to be written to its end.

        :param error: why the file failed, an errno.
        """
        away = self.owner.leads_away(self._file)
        if away is not None:
            # (who may touch it goes on with the log, if it is not kept here by its file)
            if self._file >= 0 and (away or error in ERRORS_OF_DESCRIPTOR):
                self._give_up()
                if away and self._left is not None:
                    self._left = EndedFile(0, self._left.size, "")
                    self._steps = []
            return
        here = self.directory.file_system(self.path)
        if self._file >= 0:
            moved = here is not None and here[0] != self._device
            if moved or error in ERRORS_OF_DESCRIPTOR:
                self._give_up()
        if self._given_up and here and here != self._given_up:
            # The files that stand here are others, and none of them is in the middle of the
            # rollover that had begun.
            self._given_up = here
            if self._left is not None:
                # (an inode of another file system is another file's)
                self._left = EndedFile(0, self._left.size, "")
            left = interrupted_rollover(self.path, self.limits, self.directory)
            self._steps = unfinished_steps(self.path, self.limits.max_backups, left)

    def _give_up(self) -> None:
        if self.file >= 0:
            self._left = EndedFile(self._inode, self._end, "")
        self._given_up = file_system_of(self._file)
        self._release_removed()
        close_quietly(self._file)
        self._file = -1

    @property
    def limits(self) -> Limits:
        """How large files may grow and how many are kept."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        # (there may be packed files that an earlier configuration left)
        self.may_be_packed |= limits.max_backups > self._limits.max_backups
        self._limits = limits
        self._fit()

    @property
    def bound(self) -> Bound | None:
        """How much room the log may take up."""
        return self._bound

    @bound.setter
    def bound(self, bound: Bound | None) -> None:
        self._bound = bound
        self.ask_bound()

    def ask_bound(self) -> None:
        """Have the next write ask the bound, whatever it said before."""
        self._reach = _ENDLESS if self._bound is None else 0
        self._fit()

    def _fit(self) -> None:
        if self._rotates:
            self._fits = min(self._limits.max_size or _ENDLESS, self._reach)
        else:
            self._fits = _ENDLESS

    @property
    def is_open(self) -> bool:
        """Whether there is a current file; a rollover that failed may leave none."""
        return self._file >= 0

    @property
    def steps_left(self) -> int:
        """The number of steps of a rollover that could not be finished."""
        return len(self._steps)

    @property
    def gone(self) -> Sequence[int]:
        """The inode numbers of files that were removed lately, which no new file is to get."""
        return () if self._removed is None else self._removed.inodes

    @gone.setter
    def gone(self, inodes: Sequence[int]) -> None:
        self._removed = RemovedFiles(inodes) if inodes else None

    def _release_removed(self) -> None:
        if self._removed is not None:
            self._removed.release()

    def position(self) -> Position:
        """Return the end of the current file.

        :raises SystemFailure: it cannot be asked, as its file server forgot it.
        """
        try:
            if self._rotates:
                # Half of what fstat(2) takes here: the end of a regular file is its size.
                end = os.lseek(self._file, 0, os.SEEK_END)
                if end < self._end:
                    self.see_size(end)
                birth = self._birth
                return Position(self._inode, end, self.birth if birth is None else birth)
            status = os.fstat(self._file)
            return Position(status.st_ino, status.st_size)
        except OSError as error:
            raise self._failure(f"Unable to stat file {self.path}", error) from error

    def write(self, source: Source, most: int, chunk: int = PIPE_CHUNK_BYTES) -> int:
        """Write what waits in a source, rolling over as the limits say, for a share of time.

        :param most: how many bytes at most; a multiple of a chunk, or all that wait.
        :param chunk: see :func:`rotation.next_step`.
        :returns: how many were written. Some may still wait, as a write may be a short one; 0 says
            that none do, unless it is :attr:`unfinished`.
        :raises SystemFailure: see the class.
        """
        if not self._steps and self.stranded is None and not self.unfinished:
            # The short way, as nearly always: what waits surely fits into the file. The rules below
            # would come to the same, but this is what each line costs, so it is written out here,
            # and asks for as little as possible. They meet an error again, and report it.
            file = self._file
            tail = self._tail
            try:
                status = os.fstat(file)
                size = status.st_size
                if status.st_nlink and size + most <= self._fits:
                    if size != self._end:
                        self._resized(size)
                    if tail is not None and size != tail.end:
                        size = self._looked_at(tail, size)
                    moved = source.move(file, size, most)
                    if moved:
                        self.written += moved
                        account = self.account
                        account.words[account.at] = self._end = size + moved
                        if tail is not None and tail.is_cut(file, size, moved):
                            self._take_back(tail, size)
                        if self.asleep:
                            self._wake()
                        return moved
            except OSError:
                pass
        count = source.waiting()
        if not count and self.stranded is None and not self.unfinished:
            return 0
        count = min(count, most)
        if self._waiting:
            count = min(count, self._waiting)
        return self._write_by_rules(source, count, chunk)

    @property
    def may_be_lent(self) -> bool:
        """Whether the files are regular ones, and not too small."""
        max_size = self._limits.max_size
        return self.file >= 0 and (not max_size or max_size >= LENT_FILE_BYTES)

    def lend(self, pipe: int, capacity: int) -> Loan | None:
        """Lend the current file to the mover's thread, and a pipe of which it is to move bytes.

        Until :meth:`give_back` nothing may be asked of the writer but what it knows.

        :param capacity: of the pipe, in bytes.
        :returns: None if rules have to be followed before, or soon.
        """
        tail, end = self._tail, self._end
        is_plain = not self._steps and self.stranded is None and not self.unfinished
        if not is_plain or self.file < 0 or (tail is not None and tail.end != end):
            return None
        if end + PIECE_BYTES > self._fits:
            return None
        # (it belongs to the end that is known meanwhile)
        self._birth = self.birth
        self.lent = Loan(pipe, capacity, self._file, end, self._fits, tail, self.account)
        return self.lent

    def give_back(self) -> None:
        """Go on after the thread, which has ended.

        :raises SystemFailure: another program has cut the file, and it cannot be written again.
        """
        loan, self.lent = self.lent, None
        if loan is None or not loan.moved:
            return
        self.written += loan.moved
        account = self.account
        account.words[account.at] = self._end = loan.end
        if loan.cut_at >= 0 and self._tail is not None:
            self._take_back(self._tail, loan.cut_at)
        if self.asleep:
            self._wake()

    def _write_by_rules(self, source: Source, count: int, chunk: int) -> int:
        """Write bytes of a source step by step.

        :param count: how many bytes, all of which wait in the source.
        :param chunk: see :func:`rotation.next_step`.
        :returns: how many were written; all, unless the time was up before.
        :raises SystemFailure: see the class.
        """
        ends = Writer.seconds() + SHARE_SECONDS
        # (after a failure the next write begins with a chunk)
        into, self._into_chunk, self._waiting, self.unfinished = self._into_chunk, 0, 0, False
        moved = 0
        size = self.ready() if not self._steps else self._rolled_over(ends)
        while moved < count and size >= 0:
            max_size = self.limits.max_size if self._rotates else 0
            step = next_step(size, count - moved, (into + moved) % chunk, chunk, max_size)
            full = False
            if isinstance(step, Move):
                length = step.count
            elif isinstance(step, Look):
                seen = self._look(source, step.count)
                full = b"\n" in seen
                length = line_end(seen) or len(seen)
            else:
                size = self._rolled_over(ends)
                continue
            # A look is moved in part by nothing but a bound: at most 80 bytes, and they end the
            # file.
            is_near = size + max(length, PIECE_BYTES) > self._reach
            done = self._move(source, size, self._allowed(size, length) if is_near else length)
            moved += done
            size = self._settled(size, done)
            if done < length:
                if Writer.seconds() >= ends:
                    break
            elif full:
                # (if nothing more waits, nobody would go on with it)
                size = self._rolled_over(ends if moved < count else _NEVER)
        if moved < count:
            self._into_chunk, self._waiting = (into + moved) % chunk, count - moved
            self.unfinished = True
        return moved

    def _allowed(self, size: int, count: int) -> int:
        """Return how many of ``count`` bytes the bound lets the current file take.

        :raises SystemFailure: none, or it cannot be asked.
        """
        bound = self._bound
        self.ask_bound()
        if bound is not None:
            action = f"Unable to stat file {self.path}"
            self._reach = (
                self._attempt(action, bound.reach, self, size) if self._rotates else _ENDLESS
            )
            self._fit()
        return min(count, self._reach - size)

    def _rolled_over(self, ends: float) -> int:
        """Begin a new file, or go on with doing so.

        :param ends: when the write is to stop, in :attr:`seconds`.
        :returns: the new file's size; -1 if the time is up.
        :raises SystemFailure: see the class.
        """
        self._roll_over(ends)
        return self.ready() if Writer.seconds() < ends else -1

    def is_short(self, message: bytes) -> bool:
        """Return whether a message can be appended at once, as it fills one file at most."""
        max_size = self.limits.max_size
        return len(message) <= SHORT_BYTES and (not max_size or len(message) <= max_size)

    def append(self, message: bytes, kind: int = APPENDED) -> None:
        """Write a message, one chunk for rotation; nothing of it stays when it does not fit.

        :param kind: for what it is counted; see accounts.layout.
        :raises SystemFailure: see the class.
        """
        if message:
            source, before = MessageSource(message), self._before_message(kind)
            try:
                while self._append_part(source, len(message)):
                    pass
            except SystemFailure:
                self._undo_message(*before)
                raise
            finally:
                self.account.turn(GUEST)

    def append_in_slices(self, message: bytes) -> Generator[None, None, None]:
        """Append a message; between two slices, nothing else may be written.

        :raises SystemFailure: see the class.
        """
        if message:
            source, before = MessageSource(message), self._before_message(APPENDED)
            begin, _, rollovers = before
            self._message = begin, rollovers
            try:
                while self._append_part(source, len(message)):
                    yield
            except SystemFailure:
                self._undo_message(*before)
                raise
            finally:
                self._message = None
                self.account.turn(GUEST)

    def _before_message(self, kind: int) -> tuple[int, int, int]:
        """Make ready for a message; return what it takes to undo it."""
        self.unfinished, self._waiting, self._into_chunk = False, 0, 0
        size = self.ready()
        self.account.turn(kind)
        return size, self.written, self.rollovers

    def _append_part(self, source: MessageSource, length: int) -> bool:
        """Write a part of a message; return whether more is left."""
        # (a long message is moved in parts)
        self._into_chunk = length - source.waiting()
        try:
            self.write(source, source.waiting(), chunk=length)
        except SystemFailure:
            self._into_chunk = 0
            raise
        if source.waiting():
            return True
        self._into_chunk = 0
        return False

    def _undo_message(self, begin: int, written: int, rollovers: int) -> None:
        # What a rollover has moved away cannot be taken back.
        if self.rollovers == rollovers and not self._steps:
            if self.stranded is not None:
                begin = min(begin, self.stranded.offset)
                self._strand(None)
                self.account.undone()
            self._cut(begin)
            self.written = written

    @property
    def rest_of_chunk(self) -> int:
        """How many bytes are left of a chunk that an unfinished write of a pipe has begun."""
        into = self._into_chunk
        return min(PIPE_CHUNK_BYTES - into, self._waiting) if into else 0

    def ends_line(self) -> bool:
        """Return whether the next byte begins a line, as far as the file can be read."""
        try:
            if self._file < 0:
                self.reopen()
            file = os.open(f"/proc/self/fd/{self._file}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(file).st_size
                return size == 0 or os.pread(file, 1, size - 1) == b"\n"
            finally:
                os.close(file)
        except (OSError, SystemFailure):
            return False

    @property
    def file(self) -> int:
        """A descriptor of the current file, for writing only; -1 if there is none."""
        return self._file if self._rotates else -1

    def writes(self, status: os.stat_result) -> bool:
        """Return whether a status is that of the current file."""
        return status.st_ino == self._inode and status.st_dev == self._device and self.file >= 0

    def is_in_memory(self, status: os.stat_result) -> bool:
        """Return whether a file is known to be in memory and nowhere else, as the current one is.

        As that is open, no other file system has the number of its device meanwhile.

        :param status: of the file.
        """
        if self._file < 0 or status.st_dev != self._device:
            return False
        if self._in_memory is None:
            self._in_memory = is_in_memory(self._file)
        return self._in_memory

    @property
    def kept(self) -> int:
        """The bytes in all files of the log, as they were last seen."""
        left = self._left
        return self._older + (self._end if left is None else left.size)

    @property
    def is_readable(self) -> bool:
        """Whether :attr:`file` may be read from, too."""
        return self._tail is not None and self._file >= 0

    @property
    def sure_end(self) -> int:
        """Up to where the current file holds what the writer will not take back by itself."""
        end = self._end
        stranded, message = self.stranded, self._message
        if stranded is not None and stranded.inode == self._inode:
            end = min(end, stranded.offset)
        if message is not None:
            begin, rollovers = message
            # (what a rollover has moved away is not taken back)
            if rollovers == self.rollovers and not self._steps:
                end = min(end, begin)
        return end

    @property
    def hole(self) -> int | None:
        """Which name of the log's files is missing in the middle of a rollover; 0 is its path."""
        return len(self._steps) - 1 if self._steps else None

    @property
    def birth(self) -> str:
        """The birth of the current file; see Position."""
        if self._birth is None:
            self._birth = self.lineage.full(self._own_birth())
        return self._birth

    def see_size(self, size: int) -> None:
        """Notice whether another program has cut the current file.

        :param size: of the file, in bytes.
        """
        if self.lent is not None:
            # (the thread notices that as well, and what it writes itself is no other's)
            return
        before = self._end
        self.account.resized(self._inode, size)
        if size < before:
            self._birth = self.lineage.note_cut(self._own_birth())
            self._end = size
            self._part()
            self.owner.note()
            self.owner.was_cut(before)

    def _resized(self, size: int) -> None:
        """Notice that another program has cut the current file, or written to it."""
        if size < self._end:
            self.see_size(size)
        else:
            self.account.resized(self._inode, size)

    def _looked_at(self, tail: Tail, size: int) -> int:
        """Have the end of the current file looked at; return its size, see :meth:`Tail.look`."""
        seen = tail.look(self._file, size)
        if seen != size:
            self._resized(seen)
        return seen

    def _see_outside(self) -> None:
        """Notice what another program did to the current file since the last write."""
        if not self._rotates or self._file < 0 or self._steps:
            return
        away = self.owner.leads_away(self._file)
        named = self._named() if away is None else None
        try:
            # (by its name, as nearly always, that is one system call for both questions)
            if named is None or named.st_ino != self._inode or named.st_dev != self._device:
                self.see_size(os.fstat(self._file).st_size)
            else:
                self.see_size(named.st_size)
        except OSError:
            pass
        if away or (away is None and (named is None or named.st_ino != self._inode)):
            self._part()

    @property
    def known_files(self) -> FilesState | None:
        """What the writer of the daemon's next image should know of the files."""
        lineage, current = self.lineage, self._left
        if self.file >= 0:
            current = EndedFile(self._inode, self._end, "")
        return FilesState(dict(lineage.cuts), lineage.gaps, lineage.ended, current)

    @known_files.setter
    def known_files(self, files: FilesState | None) -> None:
        if files is not None:
            self.lineage = Lineage(files.cuts, files.gaps, files.ended)
            self._left = files.current

    def _go_on_from(self, left: EndedFile) -> None:
        """Notice what another program did to the file since the daemon's former image left it."""
        if left.inode != self._inode:
            self._part()
        else:
            self._end = max(left.size, self._end)
            self._see_outside()

    def _own_birth(self) -> str:
        return identity.birth(self._file) if self._rotates and self._file >= 0 else ""

    @property
    def device(self) -> int:
        """The device of the file system on which the file was opened, as stat(2) says it."""
        return self._device

    @property
    def seen_end(self) -> Position:
        """The end of the current file as it was last seen; it is asked for its birth at most."""
        birth = self._birth
        if birth is None:
            birth = self.birth if self.file >= 0 else ""
        return Position(self._inode, self._end, birth)

    @property
    def known_end(self) -> Position:
        """The end of the current file as it was last seen; no file is asked."""
        return Position(self._inode, self._end, self._birth or "")

    def let_go(self) -> None:
        """Close the current file for a while, or for good; :meth:`reopen` goes on with it."""
        if self._file < 0:
            return
        self._see_outside()
        if self.file >= 0:
            # (an inode of another file system is another file's)
            inode = 0 if self.owner.leads_away(self._file) else self._inode
            self._left = EndedFile(inode, self._end, "")
        self._release_removed()
        close_quietly(self._file)
        self._file = -1

    def close(self) -> None:
        """Close the current file."""
        owner = self.owner
        # (nearly all paths lead nowhere else, and then nobody need be asked)
        self.owner = _NOBODY if owner.leads_away(self._file) is None else _Closing(owner)
        self._see_outside()
        self._release_removed()
        close_quietly(self._file)

    def ready(self) -> int:
        """Finish a rollover and open the file, where that is still to be done.

        :returns: the file's size in bytes.
        :raises SystemFailure: see the class.
        """
        if self._steps:
            self._roll_over()
        if self._file < 0:
            self.reopen()
        status = self._status()
        if not status.st_nlink:
            # Somebody removed the file; what is written to it would be lost with it.
            with self.directory:
                self._begin()
            self._part()
            status = self._status()
        size = status.st_size
        if size != self._end:
            self._resized(size)
        if self.stranded is not None:
            self._put_back()
            size = self._status().st_size
        if self._tail is not None and size != self._tail.end:
            size = self._looked_at(self._tail, size)
        self._end = size
        return size

    def _settled(self, offset: int, count: int) -> int:
        """Make sure that what was written is at the file's end; return the file's size.

        :param offset: where the write began, and ``count`` how many bytes it wrote.
        :raises SystemFailure: see the class.
        """
        tail = self._tail
        if count and tail is not None and tail.is_cut(self._file, offset, count):
            self._take_back(tail, offset)
            return self.ready()
        return offset + count

    def _take_back(self, tail: Tail, offset: int) -> None:
        """Write once more, where the file ends, what was written behind a hole.

        :param offset: where the write began that made the hole.
        :raises SystemFailure: see the class.
        """
        # (what stands behind the hole is not lost, if another program has cut what was before)
        end, self._end = self._end, offset
        try:
            try:
                taken = take_back(self._file, self._inode, offset, tail, self._strand)
            finally:
                self._reckon()
            if taken:
                self._put_back()
            else:
                self._end = end
        except OSError as error:
            raise self._failure(f"Unable to write to file {self.path}", error) from error

    def _put_back(self) -> None:
        stranded = self.stranded
        if stranded is None:
            return
        if stranded.inode == self._inode:
            self.see_size(stranded.offset)
        try:
            put_back(stranded, self._file, self._inode, self._tail, self._strand)
            self._end = os.fstat(self._file).st_size
        except OSError as error:
            self._reckon()
            raise self._failure(f"Unable to write to file {self.path}", error) from error
        self._strand(None)
        self._reckon()
        if self.asleep:
            self._wake()

    def _strand(self, stranded: Stranded | None) -> None:
        self.stranded = stranded
        self.owner.note()

    def _reckon(self) -> None:
        """Count what was taken out of the current file, or put back, while others cut it."""
        with contextlib.suppress(OSError):
            self.account.reckon(os.fstat(self._file).st_size, self._back)

    @property
    def _back(self) -> int:
        """The number of bytes that are stranded."""
        return len(self.stranded.data) if self.stranded else 0

    def _status(self) -> os.stat_result:
        try:
            return os.fstat(self._file)
        except OSError as error:
            raise self._failure(f"Unable to stat file {self.path}", error) from error

    def _look(self, source: Source, count: int) -> bytes:
        try:
            return source.look(count)
        except OSError as error:
            raise self._failure(f"Unable to read what is written to {self.path}", error) from error

    def _move(self, source: Source, offset: int, count: int) -> int:
        try:
            done = source.move(self._file, offset, count)
            if not done:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        except OSError as error:
            raise self._failure(f"Unable to write to file {self.path}", error) from error
        self.written += done
        account = self.account
        account.words[account.at] = self._end = offset + done
        if self.asleep:
            self._wake()
        return done

    def _wake(self) -> None:
        self.asleep = False
        self.owner.woken()

    def _roll_over(self, ends: float = _NEVER) -> None:
        """Begin a new file, or go on with doing so.

        :param ends: stop after the step in which this time passes; see :attr:`seconds`.
        """
        with self.directory:
            if not self._steps or self._is_in_other_directory():
                self._begin_to_roll_over()
            self._find_again()
            vacated: str | None = None
            while self._steps:
                step = self._steps[0]
                if isinstance(step, Rename):
                    action = f"Unable to rename {step.source} to {step.target}"
                    # (the last step makes the file, and the one before moves up the current one)
                    number = len(self._steps) - 3
                    is_free = step.target == vacated
                    self._attempt(action, self._rename, number, step.source, step.target, is_free)
                    vacated = step.source
                elif isinstance(step, Remove):
                    self._attempt(f"Unable to remove {step.path}", self._rotate_away, CURRENT)
                elif isinstance(step, Create):
                    self._begin()
                self._steps = self._steps[1:]
                if self._steps and Writer.seconds() >= ends:
                    return
        self.rollovers += 1

    def _is_in_other_directory(self) -> bool:
        """Return whether the log's directory is not the one in which a roll-over was begun."""
        action = f"Unable to open file: {self.path}"
        return not self._attempt(action, self.directory.is_as_begun)

    def _begin_to_roll_over(self) -> None:
        self._stay()
        self._reach_directory()
        most = self.limits.max_backups
        # What an earlier configuration left there is not continued by what comes to stand below it.
        self._mark_gap_after(backup_path(self.path, most))
        if self._is_elsewhere():
            # Nor is the newest backup, nor what stands in the place of the missing file.
            self._part()
            self._mark_gap_after(self.path)
        else:
            self.lineage.note_end(self._inode, self._end, self._birth_to_keep())
        self._steps = roll_over_steps(self.path, most)

    def _reach_directory(self) -> None:
        """Note in which directory a roll-over is begun; give up descriptors that it may need."""
        action = f"Unable to open file: {self.path}"
        try:
            self._attempt(action, self.directory.begin)
        except SystemFailure as failure:
            if failure.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            placeholders().release_all()
            self._attempt(action, self.directory.begin)

    def _birth_to_keep(self) -> str:
        """Return what will tell the current file from later ones, which may have its number."""
        if self._birth or self._file < 0:
            return self._birth or ""
        return self.lineage.full(identity.birth(self._file))

    def _part(self) -> None:
        """Remember that bytes are missing between the newest backup and what comes now."""
        self.lineage.forget_ends()
        # (elsewhere the backup is not this file's)
        if not self.owner.leads_away(self._file):
            self._mark_gap_after(backup_path(self.path, 0))

    def _mark_gap_after(self, path: str) -> None:
        """Mark a log's file, if it exists, as one after which bytes are missing."""
        if self.lineage.mark_gap_after(path, self.directory):
            self.owner.note()

    def _is_elsewhere(self) -> bool:
        """Return whether somebody has moved the current file away from its name."""
        named = self._named()
        return named is None or named.st_ino != self._inode

    def _named(self) -> os.stat_result | None:
        """Look at the file that has the current one's name; None if that is not possible."""
        try:
            return self.directory.stat(self.path)
        except OSError:
            return None

    def _rename(self, number: int, source: str, target: str, is_free: bool) -> None:
        """Move up a file, if there is one.

        :param number: the backup's, or CURRENT.
        :param is_free: whether what had the target's name was moved up a moment ago. To look for
            something there all the same takes a quarter of a roll-over.
        """
        found = standing(self.directory, source, self.may_be_packed)
        if found is not None:
            look = found.look
            if found.origin is not None:
                target = packed_path(target)
            elif number != CURRENT and self.may_be_packed:
                # (it is not finished, or was left behind; it never stands for another file)
                remove_packed(self.directory, source)
            # On ext4 a rename over a file writes all of its data to the disk; a removal first does
            # not. If the target cannot be removed, the rename says why.
            if not is_free:
                with contextlib.suppress(OSError):
                    self._rotate_away(number + 1)
            self.directory.rename(found.path, target)
            self.account.renamed(number, number + 1, look)
        else:
            self.account.missing(number)
            # What stands above a hole is not continued by what comes to stand below it.
            self._mark_gap_after(target)

    def _rotate_away(self, number: int, reason: RemovalReason = RemovalReason.ROTATION) -> None:
        """Remove a file, and remember that it was there.

        :param number: the backup's, or CURRENT.
        """
        if self._removed is None:
            self._removed = RemovedFiles()
        path = name_of(self.path, number)
        account, holding = self.account, self.holding
        found = standing(self.directory, path, self.may_be_packed)
        look = None if found is None else found.look
        unread: Unread | None = None
        if found is None or look is None:
            account.missing(number)
        else:
            unread = holding.unread_of(self, number, look)
            if unread and reason in _MAY_BE_HELD and holding.keep(self, path, unread):
                account.held(number, look)
                holding.kept()
                return
            account.removing(look, reason)
            if found.origin is not None:
                path = found.path
            elif number != CURRENT and self.may_be_packed:
                remove_packed(self.directory, path)
        try:
            self._removed.remove(path, self._remove, self.limits.max_size, self.directory)
        except BaseException:
            account.not_removed()
            raise
        if found is not None and found.origin is not None:
            self._removed.forget_packed(found.look.inode)
        if look is not None:
            account.removed(number, look, reason)
        if unread is not None:
            holding.went(unread)

    def remove_held(self, number: int, size: int, reason: RemovalReason) -> None:
        """Remove a held file of the log, if it is there.

        :param size: that it had when it was held, in bytes.
        :raises SystemFailure: it cannot be removed.
        """
        if self._removed is None:
            self._removed = RemovedFiles()
        path = held_path(self.path, number)
        account, found = self.account, self._standing(path)
        look = None if found is None else found.look
        if found is not None:
            path = found.path
        account.removing(look or SeenFile(0, size), reason)
        try:
            self._attempt(
                f"Unable to remove {path}",
                self._removed.remove,
                path,
                self._remove,
                self.limits.max_size,
                self.directory,
            )
        except BaseException:
            account.not_removed()
            raise
        if found is not None and found.origin is not None:
            self._removed.forget_packed(found.look.inode)
        account.held_went(size, look, reason)

    def _seen(self, path: str) -> SeenFile | None:
        """Look at a file; None if there is none."""
        try:
            status = self.directory.lstat(path)
        except OSError:
            found = self._standing(path) if self.directory.has_packed else None
            return None if found is None else found.look
        return _seen_file(status)

    def _standing(self, path: str) -> Standing | None:
        try:
            return standing(self.directory, path, self.may_be_packed)
        except OSError:
            return None

    def _looks(self) -> list[SeenFile | None]:
        """Look at all files of the log by their names, the newest first."""
        with self.directory:
            return self._all_seen(newest_first(self.path, self._most_backups))

    def _all_seen(self, names: Sequence[str]) -> list[SeenFile | None]:
        """Look at files of the log by their names; the directory is held."""
        directory = self.directory
        if directory.has_packed:
            return [self._seen(name) for name in names]
        looks = directory.looks(names)
        return [None if status is None else _seen_file(status) for status in looks]

    @property
    def _most_backups(self) -> int:
        """How many backups there may be: an earlier configuration may have kept more."""
        return max(self.limits.max_backups, self.account.backups)

    def _find_again(self) -> Sequence[SeenFile | None] | None:
        """Count what happened to the files of a log that was taken over.

        :returns: all files as they were looked at for that; None if they were not.
        """
        if not self.account.is_taken_over:
            return None
        looks = self._looks()
        held = self.holding.held_bytes(self)
        self.account.found_again(looks, self._back, self._stray(looks), held)
        return looks

    def _stray(self, looks: Sequence[SeenFile | None]) -> SeenFile | None:
        """Look at the file that a killed daemon wrote, if another program has renamed it."""
        inode = self.account.inode
        if not inode or any(look is not None and look.inode == inode for look in looks):
            return None
        return STRAYS.find(self.directory, self.path, inode)

    def look_at_files(self) -> int | None:
        """Count what other programs did to the log's files, and return how many bytes they have.

        :returns: None if they are no regular files, or nobody may look at them now.
        """
        account = self.account
        if not self._rotates or not account.has_begun or self.owner.leads_away(self._file):
            return None
        if self._file >= 0 and not self._steps:
            with contextlib.suppress(OSError):
                self.see_size(os.fstat(self._file).st_size)
        self._find_again()
        looks = self._looks()
        account.look(looks, self.holding.held_bytes(self))
        return sum(look.size for look in looks if look is not None)

    def _begin(self) -> None:
        """Open the file, or a new one with an inode that no position of a removed file can mean."""
        if self._file >= 0:
            self.owner.file_ends()
        former = self._attributes()
        if not self.uses:
            self._see_packed()
        if self._removed is None:
            file = self._open_sparing()
        else:
            file = self._removed.replace(self._open_sparing, self._unmake)
        self._keep(former, file)
        close_quietly(self._file)
        self._use(file)

    def remove_backup(self, number: int) -> bool:
        """Remove a backup of the log, its oldest one, to make room.

        :returns: False in the middle of a roll-over, when its number is about to change.
        :raises SystemFailure: it cannot be removed.
        """
        if self._steps:
            return False
        action = f"Unable to remove {backup_path(self.path, number)}"
        self._attempt(action, self._rotate_away, number, RemovalReason.QUOTA)
        return True

    def _unmake(self) -> None:
        action = f"Unable to remove {self.path}"
        self._attempt(action, self._remove, self.path, self.directory)

    def _attributes(self) -> Held | None:
        """Return what the file has that a new one is to have, too."""
        if self._keep_attributes is None:
            return None
        if self._file >= 0:
            return held_by(self._file)
        # (a rollover that another process began)
        if not self._steps:
            return None
        found = self._standing(backup_path(self.path, 0))
        return None if found is None else held_by_path(found.path, self.directory)

    def _keep(self, former: Held | None, file: int) -> None:
        """Set on a new file the attributes that the former one had."""
        # (one that somebody put there may be a link to a file of others)
        if self._keep_attributes is not None and former is not None and self._made:
            self._keep_attributes(former, file, self.path)

    def _use(self, file: int) -> None:
        """Go on with a file that is open; the directory is held."""
        self._file = file
        self.ask_bound()
        self.uses += 1
        self._given_up = None
        self._birth = None
        self._in_memory = None
        status = self._status()
        self._inode = status.st_ino
        if self._device not in (0, status.st_dev):
            self.owner.moved_away()
        self._device = status.st_dev
        self._end = status.st_size
        self._tail = Tail() if self._rotates and is_readable(file) else None
        found = self._find_again()
        # (a daemon that takes over a thousand logs looks at each file once)
        backups = self._backups() if found is None or not self._rotates else found[1:]
        self._older = sum(look.size for look in backups or () if look is not None)
        held = partial(self.holding.held_bytes, self)
        self.account.use(SeenFile(self._inode, self._end), backups, self._rotates, held)
        left, self._left = self._left, None
        if left is not None and self._rotates and not self._steps:
            self._go_on_from(left)

    def _backups(self) -> Sequence[SeenFile | None] | None:
        """Look at the backups; None if there are none, or nobody may look at them.

        The directory is held.
        """
        if not self._rotates or self.owner.leads_away(self._file):
            return None
        return self._all_seen(backup_paths(self.path, self._most_backups))

    def _see_packed(self) -> None:
        """Take note of the inode numbers that packed files had."""
        if not self.directory.has_packed:
            self.may_be_packed = False
            return
        names = newest_first(self.path, self.limits.max_backups)[1:]
        self.may_be_packed = False
        with self.directory:
            names += self.holding.names(self)
            found = [self._packed_at(name) for name in names]
        # (also of one that does not count, as the file itself is there)
        packed = {one.look.inode for one in found if one is not None}
        self.may_be_packed |= bool(packed)
        if packed and self._removed is None:
            self._removed = RemovedFiles()
        if self._removed is not None:
            self._removed.set_packed(packed)

    def _packed_at(self, name: str) -> Standing | None:
        try:
            return standing_packed(self.directory, name)
        except OSError:
            self.may_be_packed = True
            return None

    def packed(self, inode: int) -> None:
        """Take note that a backup was packed, and is removed.

        :param inode: the number that it had.
        """
        if self._removed is None:
            self._removed = RemovedFiles()
        self._removed.add_packed(inode)

    def _open_sparing(self) -> int:
        """Open the file; where no descriptor is left, give up those that it takes the place of.

        A log goes on rotating, as it needs no more descriptors than it has.
        """
        try:
            return self._open()
        except SystemFailure as failure:
            if failure.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
        placeholders().release_all()
        close_quietly(self._file)
        self._file = -1
        return self._open()

    def _open(self) -> int:
        self._stay()
        action = f"Unable to open file: {self.path}"
        file, self._made = self._attempt(action, open_file, self.path, self.directory)
        try:
            # (what has no offset is refused, also where it says that it is a regular file)
            os.lseek(file, 0, os.SEEK_END)
            self._rotates = stat.S_ISREG(os.fstat(file).st_mode)
        except OSError as error:
            os.close(file)
            action = f"Unable to determine current file offset: {self.path}"
            raise self._failure(action, error) from error
        return file

    def _stay(self) -> None:
        """Do not touch what the path leads to if this thread must not.

        :raises SystemFailure: EAGAIN; the log fails until it is where that may be touched.
        """
        if self.owner.leads_away(self._file):
            error = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            raise self._failure(f"Unable to open file: {self.path}", error)

    def _attempt(self, action: str, call: Callable[..., T], *args: object) -> T:
        try:
            return call(*args)
        except OSError as error:
            raise self._failure(action, error) from error

    def _failure(self, action: str, error: OSError) -> SystemFailure:
        return system_failure(action, error, self.path)

    def _cut(self, size: int) -> None:
        """Take back the part of a message that was written."""
        with contextlib.suppress(OSError):
            # (another program may have cut more)
            if os.fstat(self._file).st_size > size:
                os.ftruncate(self._file, size)
                self._end = size
                self.account.taken_back(size)


def _seen_file(status: os.stat_result) -> SeenFile:
    return SeenFile(status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else 0)


def interrupted_rollover(path: str, limits: Limits, directory: LogDirectory = BY_PATH) -> int:
    """Return how many steps are left of a rollover that a crash interrupted; 0 if none was."""
    with directory:
        sizes = [_size(name, directory) for name in newest_first(path, limits.max_backups)]
    return interrupted_steps(sizes, limits.max_size)


def _size(path: str, directory: LogDirectory) -> int | None:
    """Return a file's size; None if there is no file."""
    try:
        found = standing(directory, path)
    except OSError:
        return None
    return None if found is None else found.look.size
