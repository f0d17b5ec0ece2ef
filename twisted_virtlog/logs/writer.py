"""Writes one log's files: carries out the steps of rotation.py and owns the current file.

The file is not opened for append, as splice(2) refuses that. So before each write the writer asks
the file for its size, and goes on at its end when someone cut it or wrote to it meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.logs.removal import AT_ONCE, Remover
from twisted_virtlog.logs.rotation import (
    PIPE_CHUNK_BYTES,
    Create,
    Limits,
    Look,
    Move,
    Remove,
    Rename,
    RollOverStep,
    check_backups,
    fits,
    interrupted_steps,
    line_end,
    next_step,
    oldest_first,
    roll_over_steps,
    truncated_paths,
    unfinished_steps,
)
from twisted_virtlog.logs.sources import MessageSource, Source
from twisted_virtlog.values import Position

# O_NONBLOCK: opening a FIFO that nobody reads must fail, not wait.
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

_FILE_MODE = 0o600

#: A position in a file that was removed more files ago than these may be taken for another's.
_REMEMBERED_INODES = 16

#: A log that rolls over more often is flooded: its readers see gaps anyhow, and each file held back
#: costs some 25 microseconds on ext4.
_CALM_SECONDS = 1.0

#: Errors after which a descriptor may fail for ever while its path is fine, or will be: the disk,
#: the server or the process behind the file system is gone, or has forgotten the file.
_OF_DESCRIPTOR = frozenset(
    {
        errno.EIO,
        errno.EREMOTEIO,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOMEDIUM,
        errno.EROFS,
        errno.EUCLEAN,
        errno.ESTALE,
        errno.EBADF,
        errno.ENOTCONN,
        errno.ECONNABORTED,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
    }
)

# One object for all logs.
_LONG_AGO = -_CALM_SECONDS


class Writer:
    """The current file of a log and its rotation.

    A failed write raises :class:`SystemFailure` and loses nothing: what was not written is still
    in its source, and the next write goes on where this one stopped, in the middle of a rollover
    too.

    :ivar written: bytes written since the log was opened.
    :ivar rollovers: files begun anew since then.
    :ivar splices: whether the file takes splice(2); false once it refused.
    """

    __slots__ = (
        "_device",
        "_file",
        "_gone",
        "_inode",
        "_remove",
        "_replaced_at",
        "_rotates",
        "_steps",
        "limits",
        "path",
        "rollovers",
        "splices",
        "written",
    )

    def __init__(
        self,
        path: str,
        limits: Limits,
        truncate: bool = False,
        steps_left: int | None = None,
        remove: Remover = AT_ONCE,
    ) -> None:
        """Open the file at its end, creating it with mode 0600.

        :param truncate: remove the file and its backups first.
        :param steps_left: go on where the writer of another process stopped, see
            :attr:`steps_left`; the file is not opened before :meth:`reopen` or a write.
        :param remove: removes old files.
        :raises SystemFailure: it cannot be opened or removed.
        :raises UnsupportedBackups: ``limits.max_backups`` is over 32.
        """
        check_backups(path, limits.max_backups)
        self.path = path
        self.limits = limits
        self.written = 0
        self.rollovers = 0
        self.splices = True
        self._remove = remove
        self._steps: Sequence[RollOverStep] = ()
        # The inodes of files that rotation removed lately.
        self._gone: deque[int] | None = None
        self._replaced_at = _LONG_AGO
        # The file system on which the file was opened; 0 until then.
        self._device = 0
        if steps_left is not None:
            self._steps = unfinished_steps(path, limits.max_backups, steps_left)
            self._file = -1
            self._rotates = False
            return
        if truncate:
            for name in truncated_paths(path, limits.max_backups):
                self._attempt(f"Unable to delete file {name}", remove, name)
        self._use(self._open())

    def reopen(self) -> None:
        """Open the file of a log that was taken over.

        :raises SystemFailure: it cannot be opened; the next write tries again.
        """
        self._use(self._open())

    def renew(self, error: int) -> None:
        """Prepare a retry: let go of a descriptor that may be dead, and look where the path leads.

        The file is then opened by its path, as a daemon that is started again does. Until that
        succeeds no descriptor of it is open, so that its file system can be unmounted. Of a file
        system that is full or forbids something, the descriptor is kept: its file may have been
        moved away, and is to be written to its end.

        :param error: why the file failed, an errno.
        """
        device = _device_of(self.path)
        moved = bool(self._device) and device not in (None, self._device)
        if moved or error in _OF_DESCRIPTOR:
            _close(self._file)
            self._file = -1
        if moved and device:
            self._device = device
            self.splices = True
            # A rollover that had begun elsewhere is none of the files that stand here.
            left = interrupted_rollover(self.path, self.limits)
            self._steps = unfinished_steps(self.path, self.limits.max_backups, left)

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
        """The inodes of files that were removed lately, which no new file is to get."""
        return self._gone or ()

    @gone.setter
    def gone(self, inodes: Sequence[int]) -> None:
        self._gone = deque(inodes, _REMEMBERED_INODES) if inodes else None

    def position(self) -> Position:
        """Tell the end of the current file.

        :raises SystemFailure: it cannot be asked, as its file server forgot it.
        """
        try:
            if self._rotates:
                # Half of what fstat(2) takes here: the end of a regular file is its size.
                return Position(self._inode, os.lseek(self._file, 0, os.SEEK_END))
            status = os.fstat(self._file)
            return Position(status.st_ino, status.st_size)
        except OSError as error:
            raise self._failure(f"Unable to stat file {self.path}", error) from error

    def write(self, source: Source, count: int, chunk: int = PIPE_CHUNK_BYTES) -> None:
        """Write bytes of a source, rolling over as the limits say.

        :param count: how many bytes, all of which wait in the source.
        :param chunk: see :func:`rotation.next_step`.
        :raises SystemFailure: see the class.
        """
        size = self.ready()
        max_size = self.limits.max_size if self._rotates else 0
        if fits(size, count, max_size):
            # As nearly always; the steps below would come to the same.
            moved = self._move(source, size, count)
            size += moved
        else:
            moved = 0
        while moved < count:
            step = next_step(size, count - moved, moved % chunk, chunk, max_size)
            full = False
            if isinstance(step, Move):
                length = step.count
            elif isinstance(step, Look):
                seen = self._look(source, step.count)
                full = b"\n" in seen
                length = line_end(seen) or len(seen)
            else:
                self._roll_over()
                size = self.ready()
                continue
            # A look is never moved in part: at most 80 bytes, and they end the file.
            done = self._move(source, size, length)
            moved += done
            size += done
            if full and done == length:
                self._roll_over()
                size = self.ready()

    def take(self, pipe: int, most: int) -> int:
        """Write what waits in a pipe, if that surely fits into the file: the short way for a line.

        :param most: bytes; a multiple of a chunk.
        :returns: bytes that were written; 0 if none wait, or if it is for :meth:`write` to see to
            a rollover, or to a file that fails.
        """
        if self._steps or not self.splices:
            return 0
        file = self._file
        try:
            status = os.fstat(file)
            size = status.st_size
            max_size = self.limits.max_size if self._rotates else 0
            if not status.st_nlink or not fits(size, most, max_size):
                return 0
            moved = os.splice(pipe, file, most, None, size, os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno == errno.EINVAL:
                self.splices = False
            return 0
        self.written += moved
        return moved

    def append(self, message: bytes) -> None:
        """Write a message, one chunk for rotation; nothing of it stays when it does not fit.

        :raises SystemFailure: see the class.
        """
        if not message:
            return
        begin, written = self.ready(), self.written
        rollovers = self.rollovers
        try:
            self.write(MessageSource(message), len(message), chunk=len(message))
        except SystemFailure:
            # What a rollover has moved away cannot be taken back.
            if self.rollovers == rollovers and not self._steps:
                self._cut(begin)
                self.written = written
            raise

    def ends_line(self) -> bool:
        """Tell whether the next byte begins a line, as far as the file can be read."""
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

    def close(self) -> None:
        """Close the current file."""
        _close(self._file)

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
            self._replace()
            status = self._status()
        return status.st_size

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
        return done

    def _roll_over(self) -> None:
        """Begin a new file, or go on with doing so."""
        if not self._steps:
            self._steps = roll_over_steps(self.path, self.limits.max_backups)
        while self._steps:
            step = self._steps[0]
            if isinstance(step, Rename):
                action = f"Unable to rename {step.source} to {step.target}"
                self._attempt(action, self._rename, step.source, step.target)
            elif isinstance(step, Remove):
                self._attempt(f"Unable to remove {step.path}", self._rotate_away, step.path)
            elif isinstance(step, Create):
                self._replace()
            self._steps = self._steps[1:]
        self.rollovers += 1

    def _rename(self, source: str, target: str) -> int:
        if os.path.lexists(source):
            # On ext4 a rename over a file writes all of its data to the disk; a removal first does
            # not. If the target cannot be removed, the rename says why.
            with contextlib.suppress(OSError):
                self._rotate_away(target)
            os.rename(source, target)
        return 0

    def _rotate_away(self, path: str) -> int:
        """Remove a file, and note its inode."""
        inode = self._remove(path)
        if inode:
            if self._gone is None:
                self._gone = deque(maxlen=_REMEMBERED_INODES)
            self._gone.append(inode)
        return 0

    def _replace(self) -> None:
        """Begin the file anew, with an inode that no position of a removed file can mean.

        ext4 gives the inode of a removed file to the next one. A reader with a position in the
        removed file would go on in the new one, and not be told of the gap.
        """
        now = time.monotonic()
        calm = now - self._replaced_at >= _CALM_SECONDS
        self._replaced_at = now
        held: list[int] = []
        try:
            file = self._open_sparing(held)
            while calm and self._gone and len(held) < _REMEMBERED_INODES and self._file >= 0:
                status = os.fstat(file)
                if status.st_size or status.st_ino not in self._gone:
                    break
                held.append(file)
                self._attempt(f"Unable to remove {self.path}", self._remove, self.path)
                file = self._open_sparing(held)
        finally:
            for other in held:
                _close(other)
        _close(self._file)
        self._use(file)

    def _use(self, file: int) -> None:
        self._file = file
        status = self._status()
        self._inode, self._device = status.st_ino, status.st_dev

    def _open_sparing(self, held: list[int]) -> int:
        """Open the file; where no descriptor is left, give up those that it takes the place of.

        A log goes on rotating, as it needs no more descriptors than it has.
        """
        try:
            return self._open()
        except SystemFailure as failure:
            if failure.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
        for file in (self._file, *held):
            _close(file)
        self._file = -1
        held.clear()
        return self._open()

    def _open(self) -> int:
        file: int = self._attempt(
            f"Unable to open file: {self.path}", os.open, self.path, _OPEN_FLAGS, _FILE_MODE
        )
        try:
            os.lseek(file, 0, os.SEEK_END)
            self._rotates = stat.S_ISREG(os.fstat(file).st_mode)
        except OSError as error:
            os.close(file)
            action = f"Unable to determine current file offset: {self.path}"
            raise self._failure(action, error) from error
        return file

    def _attempt(self, action: str, call: Callable[..., int], *args: object) -> int:
        try:
            return call(*args)
        except OSError as error:
            raise self._failure(action, error) from error

    def _failure(self, action: str, error: OSError) -> SystemFailure:
        return SystemFailure(action, error.errno or errno.EIO, self.path)

    def _cut(self, size: int) -> None:
        """Take back the part of a message that was written."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, size)


def interrupted_rollover(path: str, limits: Limits) -> int:
    """Tell how many steps of a rollover are left that a crash interrupted; 0 if none was."""
    sizes = [_size(name) for name in reversed(oldest_first(path, limits.max_backups))]
    return interrupted_steps(sizes, limits.max_size)


def link_target(path: str) -> str:
    """Name the file that a log's path leads to: it is rotated, not a link to it.

    Otherwise a rollover would put a file in the link's place, and other names of the log would
    lead to its backup.
    """
    return os.path.realpath(path) if os.path.islink(path) else path


def _close(file: int) -> None:
    # Linux closes a descriptor even when it reports an error of a write that was put off (NFS).
    with contextlib.suppress(OSError):
        os.close(file)


def _device_of(path: str) -> int | None:
    """Return the number of the file system that a path leads to; None if it leads nowhere."""
    for name in (path, os.path.dirname(path)):
        try:
            return os.stat(name).st_dev
        except FileNotFoundError:
            continue
        except OSError:
            break
    return None


def _size(path: str) -> int | None:
    """Tell a file's size; None if there is none."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return None
