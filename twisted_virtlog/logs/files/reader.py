"""Reads a log's files from a position on, through the newer files of the rotation."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Generator, Sequence

from twisted_virtlog.errors import NoSuchLog, SystemFailure
from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.lineage import is_marked
from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory, system_failure
from twisted_virtlog.logs.files.names import newest_first, packed_path
from twisted_virtlog.logs.files.rotation import Limits, check_backups, is_full
from twisted_virtlog.logs.files.standing import open_standing
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.reading import read_packed
from twisted_virtlog.syscalls import is_in_memory
from twisted_virtlog.values import (
    Excerpt,
    Position,
    birth_without_cut,
    is_in_other_file,
    is_outdated,
)

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class WouldBlock(Exception):
    """What is to be read is not in memory."""


#: The most that is read at once. Copying that takes a small part of a share of time, and needs no
#: fresh memory; as a multiple of three it becomes base64 without a rest.
PIECE_BYTES = 96 * 1024


class _OfThread(threading.local):
    """Where the bytes come first, as making a buffer costs as much as reading."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(PIECE_BYTES))


_of_thread = _OfThread()


class File:
    """An open file of a log.

    :ivar size: its bytes when it was opened.
    :ivar modified_ns: when it was written last, in nanoseconds since 1970.
    :ivar parted: bytes are missing between the file before it and this one.
    :ivar in_memory: it is known that there is no disk to wait for.
    :ivar is_packed: it is read by :func:`read_packed_piece`; all else is said of what it was.
    """

    __slots__ = (
        "_birth",
        "_lineage",
        "current",
        "descriptor",
        "device",
        "in_memory",
        "inode",
        "is_packed",
        "modified_ns",
        "parted",
        "path",
        "size",
    )

    def __init__(
        self,
        path: str,
        descriptor: int,
        status: os.stat_result,
        writer: Writer | None,
        current: bool,
        origin: Origin | None = None,
    ) -> None:
        """Take over an open file.

        :param writer: of the log, if it is open.
        :param current: the file is the log's newest, and not a backup.
        :param origin: what it says if it is packed.
        """
        self.path = path
        self.descriptor = descriptor
        self.inode = status.st_ino
        self.device = status.st_dev
        self.size = status.st_size
        self.modified_ns = status.st_mtime_ns
        self.current = current
        self.in_memory = writer is not None and writer.is_in_memory(status)
        self._birth: str | None = None
        self._lineage = None if writer is None else writer.lineage
        self.is_packed = origin is not None
        if origin is not None:
            self.inode, self.size = origin.inode, origin.size
            self._birth = origin.birth if writer is None else writer.lineage.full(origin.birth)
        elif not stat.S_ISREG(status.st_mode):
            self._birth = ""
        elif writer is not None and writer.writes(status):
            writer.see_size(status.st_size)
            self._birth = writer.birth
        self.parted = False

    @property
    def birth(self) -> str:
        """What tells the file apart; see Position."""
        if self._birth is None:
            own = identity.birth(self.descriptor)
            self._birth = own if self._lineage is None else self._lineage.full(own)
        return self._birth

    @property
    def is_cut(self) -> bool:
        """Whether another program was seen to cut it since its birth was asked for."""
        lineage, birth = self._lineage, self._birth
        if lineage is None or not birth or not lineage.cuts:
            return False
        return lineage.full(birth_without_cut(birth)) != birth

    def has_gap_after(self) -> bool:
        """Return whether it is known that what followed this file is missing."""
        with contextlib.suppress(OSError):
            if is_marked(self.descriptor):
                return True
        lineage = self._lineage
        return lineage is not None and bool(lineage.gaps) and lineage.has_gap_after(self.birth)

    def at(self, offset: int) -> Position:
        """Return a position in it."""
        return Position(self.inode, offset, self.birth)

    def has(self, position: Position) -> bool:
        """Return whether a position lies in it, as far as is known."""
        return self.inode == position.inode and not (
            position.birth and is_in_other_file(position.birth, self.birth)
        )


class Reading:
    """One read: the files as they were named when it began, whatever rotation does meanwhile."""

    def __init__(
        self,
        path: str,
        limits: Limits,
        position: Position | None,
        writer: Writer | None,
        directory: LogDirectory = BY_PATH,
        held: Sequence[str] = (),
    ) -> None:
        """Open a log's files and find the position in them.

        :param position: None for the oldest byte kept.
        :param writer: of the log, if it is open; its current file is read whatever its name.
        :param directory: reaches the files of a log that is not open.
        :param held: the paths of its held files, the newest first.
        :raises NoSuchLog: no file of the log exists.
        :raises SystemFailure: a file cannot be opened.
        :raises UnsupportedBackups: ``max_backups`` is over 32.
        """
        check_backups(path, limits.max_backups)
        self._final = writer is None
        self._files = open_files(path, limits, position, writer, directory, held)
        if not self._files:
            raise NoSuchLog(f"no file of the log {path} exists", path)
        self._first, offset, self._gap = find_begin(self._files, position, writer)
        self._start = self._files[self._first].at(offset)

    @property
    def device(self) -> int:
        """The number of the file system that its files are on (``st_dev``)."""
        return self._files[self._first].device

    def is_short(self, max_bytes: int) -> bool:
        """Return whether a read is done before anybody notices: no slices are needed."""
        if max_bytes <= PIECE_BYTES:
            return True
        left = PIECE_BYTES + self._start.offset
        for file in self._files:
            left -= file.size
            if left < 0 or not file.size:
                return False
        return True

    def read(self, max_bytes: int) -> Excerpt:
        """Read; may wait for the disk.

        :raises SystemFailure: a file cannot be read.
        """
        return self._read(max_bytes, 0)

    def read_cached(self, max_bytes: int) -> Excerpt:
        """Read without waiting for the disk; preadv2(2) with RWF_NOWAIT.

        :raises WouldBlock: a part is not in the page cache, or the file system cannot tell.
        :raises SystemFailure: a file cannot be read.
        """
        return self._read(max_bytes, os.RWF_NOWAIT)

    def read_in_slices(self, max_bytes: int) -> Generator[None, None, Excerpt]:
        """Read as :meth:`read_cached`, a piece at a time.

        It ends early where another program was seen to cut a file meanwhile: what comes then was
        written later. The next read says that there is a gap. Closed before its end, it closes the
        files.
        """
        try:
            return (yield from self._read_in_slices(max_bytes))
        except GeneratorExit:
            self.close()
            raise

    def _read_in_slices(self, max_bytes: int) -> Generator[None, None, Excerpt]:
        parts: list[bytes] = []
        end = self._files[self._first]
        offset = self._start.offset
        while max_bytes and not end.is_cut:
            data = _read_at(end, offset, max_bytes, os.RWF_NOWAIT)
            if data:
                parts.append(data)
                offset += len(data)
                max_bytes -= len(data)
                yield
                continue
            following = self._following(end)
            if following is None:
                break
            end, offset = following, 0
        return Excerpt(tuple(parts), self._start, end.at(offset), self._gap, self._final)

    def read_and_close(self, max_bytes: int) -> Excerpt:
        """Read as :meth:`read`, and close the files whatever happens."""
        try:
            return self.read(max_bytes)
        finally:
            self.close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file.descriptor)

    def _read(self, max_bytes: int, flags: int) -> Excerpt:
        parts: list[bytes] = []
        left = max_bytes
        offset = self._start.offset
        end = self._files[self._first]
        for file in self._files[self._first :]:
            if file is not end:
                if file.parted:
                    # The next read begins there, and says so.
                    break
                end, offset = file, 0
            while left and (data := _read_at(file, offset, left, flags)):
                parts.append(data)
                offset += len(data)
                left -= len(data)
            if not left:
                break
        return Excerpt(tuple(parts), self._start, end.at(offset), self._gap, self._final)

    def _following(self, file: File) -> File | None:
        """Return the next file, if a read goes on in it."""
        number = self._files.index(file) + 1
        following = self._files[number] if number < len(self._files) else None
        # The next read begins there, and says so.
        return None if following is None or following.parted else following


def read_at_once(
    path: str, limits: Limits, position: Position | None, max_bytes: int, writer: Writer
) -> Excerpt | None:
    """Read a few bytes of an open log that are all in one file, and open only that.

    It is for readers who know no births, to whom all files are one text: what stands before or
    after that file does not matter.

    :returns: what :class:`Reading` would; None where it is to find out.
    :raises UnsupportedBackups: ``max_backups`` is over 32.
    """
    check_backups(path, limits.max_backups)
    if position is None or position.birth or max_bytes > PIECE_BYTES or writer.hole is not None:
        return None
    directory, end = writer.directory, position.offset + max_bytes
    descriptor = -1
    try:
        with directory:
            for number, name in enumerate(newest_first(path, limits.max_backups)):
                status = directory.lstat(name)
                if not stat.S_ISREG(status.st_mode) or writer.writes(status) != (number == 0):
                    return None
                if status.st_ino == position.inode:
                    descriptor = directory.open(name, OPEN_FLAGS)
                    break
        if descriptor < 0:
            return None
        file = File(name, descriptor, os.fstat(descriptor), writer, number == 0)
        if not file.has(position) or end > file.size:
            return None
        data = _read_at(file, position.offset, max_bytes, os.RWF_NOWAIT)
        if len(data) == max_bytes:
            return Excerpt((data,), file.at(position.offset), file.at(end), False, False)
    except (OSError, SystemFailure, WouldBlock):
        pass
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return None


def open_files(
    path: str,
    limits: Limits,
    position: Position | None,
    writer: Writer | None,
    directory: LogDirectory = BY_PATH,
    held: Sequence[str] = (),
) -> list[File]:
    """Open those from the one with the position on, or all if none has it; oldest first.

    The caller closes them.

    Newest first in time, as virtlogd, so that one that is renamed meanwhile is not missed. What
    stands beyond a missing name is not part of the log: an earlier configuration left it behind, or
    somebody removed what came after it. Only an interrupted rollover leaves out one name.

    To a reader with a position without a birth, as libvirt's, all is one text, as with virtlogd.

    :param held: the paths of the held files of a log that is not open, the newest first.
    """
    as_one = position is not None and not position.birth
    files: list[File] = []
    name = path
    if writer is not None:
        directory, held = writer.directory, writer.holding.names(writer)
    try:
        hole = None if writer is None else writer.hole
        names = newest_first(path, limits.max_backups)
        with directory:
            for number, name in enumerate(names):
                file = _open_file(name, writer, number == 0, directory)
                if file is not None:
                    if files and not as_one:
                        files[-1].parted |= file.has_gap_after()
                    files.append(file)
                    if position is not None and file.has(position):
                        break
                elif files and number != hole and not as_one:
                    if not _may_lack(number, files, limits, writer):
                        break
                    # Perhaps; nobody knows.
                    hole = number
                    files[-1].parted = True
            if held and not _is_found(files, position):
                # (a truncating open leaves no backups, and what it found is held)
                is_cut_off = any(directory.exists(name) for name in names[number + 1 :])
                _add_held(files, held, position, directory, writer, is_cut_off)
    except OSError as error:
        for file in files:
            os.close(file.descriptor)
        raise system_failure(f"Unable to open file: {name}", error, path) from error
    files.reverse()
    return files


def _is_found(files: Sequence[File], position: Position | None) -> bool:
    """Return whether the last of some files has a position."""
    return bool(files) and position is not None and files[-1].has(position)


def _add_held(
    files: list[File],
    held: Sequence[str],
    position: Position | None,
    directory: LogDirectory,
    writer: Writer | None,
    is_cut_off: bool,
) -> None:
    """Open held files, after those that are newer, until one has a position.

    :param is_cut_off: bytes are missing between these and the newer ones.
    """
    as_one = position is not None and not position.birth
    for name in held:
        file = _open_file(name, writer, False, directory)
        if file is None:
            # (it was read, and removed, meanwhile)
            break
        if files and not as_one:
            files[-1].parted |= is_cut_off or file.has_gap_after()
        is_cut_off = False
        files.append(file)
        if position is not None and file.has(position):
            break


def _may_lack(number: int, files: Sequence[File], limits: Limits, writer: Writer | None) -> bool:
    """Return whether a name may be missing because a rollover of a closed log was interrupted.

    :param number: of the name; also how many files were found before it, if it is the first.
    """
    first = len(files) == number and files[0].current
    return writer is None and first and is_full(files[0].size, limits.max_size)


def _open_file(
    path: str, writer: Writer | None, current: bool, directory: LogDirectory
) -> File | None:
    """Open a file of the log; return None if it does not exist.

    :raises OSError: it cannot be opened.
    """
    # In the middle of a rollover what is written may be a backup already.
    written = -1 if writer is None or writer.hole is not None else writer.file
    try:
        if current:
            descriptor, origin = directory.open(path, OPEN_FLAGS), None
        else:
            descriptor, origin = open_standing(directory, path, OPEN_FLAGS)
        status = _status(descriptor)
    except FileNotFoundError:
        if not current or written < 0:
            return None
    else:
        if origin is not None:
            return File(path, descriptor, status, writer, current, origin)
        if writer is None or written < 0 or writer.writes(status) == current:
            return File(path, descriptor, status, writer, current)
        os.close(descriptor)
        if not current:
            return None
    # Somebody has moved it away from its name, or removed it.
    descriptor = os.open(f"/proc/self/fd/{written}", OPEN_FLAGS)
    return File(path, descriptor, _status(descriptor), writer, current)


def _status(descriptor: int) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError:
        os.close(descriptor)
        raise


def find_begin(
    files: Sequence[File], position: Position | None, writer: Writer | None
) -> tuple[int, int, bool]:
    """Find where to begin.

    :returns: the index of the file, the offset in it, and whether bytes are missing before it.
    """
    first = files[0]
    if position is None:
        return 0, 0, False
    if not first.has(position):
        adjoins = writer is not None and writer.lineage.adjoins(
            position, first.inode, first.birth, first.current
        )
        return 0, 0, not adjoins
    if position.offset > first.size or is_outdated(position.birth, first.birth):
        # The file was cut: what is in it was written after the position.
        return 0, 0, True
    if position.offset == first.size and len(files) > 1 and files[1].parted:
        return 1, 0, True
    return 0, position.offset, False


def _read_at(file: File, offset: int, count: int, flags: int) -> bytes:
    """Read a piece; without flags in any thread."""
    room = count if count < PIECE_BYTES else PIECE_BYTES
    # Not more than the file held at the beginning, but for files without a size.
    size = file.size
    if size and room > size - offset:
        room = size - offset
    if room <= 0:
        return b""
    if file.in_memory:
        # (it would be found out in vain for each piece)
        flags = 0
    if file.is_packed:
        return read_packed_piece(file.descriptor, offset, room, flags, file.path)
    return read_piece(file.descriptor, offset, room, flags, file.path)


def read_piece(file: int, offset: int, count: int, flags: int, path: str) -> bytes:
    """Read a piece of a file; without flags in any thread.

    :param file: its descriptor.
    :param count: how many bytes at most; no more than :data:`PIECE_BYTES`.
    :param flags: RWF_NOWAIT, or 0 to wait for the disk.
    :param path: for messages.
    :raises WouldBlock: a part is not in the page cache, or the file system cannot tell.
    :raises SystemFailure: it cannot be read.
    """
    try:
        if not flags:
            return os.pread(file, count, offset)
        buffer = _of_thread.buffer[:count]
        try:
            got = os.preadv(file, [buffer], offset, flags)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or not is_in_memory(file):
                raise
            # tmpfs does not know the flag, and has no disk to wait for.
            got = os.preadv(file, [buffer], offset)
    except OSError as error:
        if flags and error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise WouldBlock from error
        action = f"Unable to read from file {path}"
        raise SystemFailure(action, error.errno or errno.EIO, path) from error
    return bytes(buffer[:got])


def read_packed_piece(file: int, offset: int, count: int, flags: int, path: str) -> bytes:
    """Read a piece of the file that a packed one was; the parameters are those of read_piece.

    It ends where a frame ends. To unpack one takes a part of a share of time.

    :raises WouldBlock: see :func:`read_piece`.
    :raises SystemFailure: it cannot be read, or is broken.
    """

    def read(at: int, length: int) -> bytes:
        parts = []
        while length and (data := read_piece(file, at, min(length, PIECE_BYTES), flags, path)):
            parts.append(data)
            at += len(data)
            length -= len(data)
        return b"".join(parts)

    try:
        return read_packed(file, offset, count, read)
    except OSError as error:
        action = f"Unable to read from file {packed_path(path)}"
        raise SystemFailure(action, error.errno or errno.EIO, path) from error
