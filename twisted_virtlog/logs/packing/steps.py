"""The steps by which one backup is packed, each in its log's thread; what takes long is between.

1. :func:`begin`: the backup is opened, and a file that has no name is made. Then the backup is
   packed into it, by another process, and that is written to the disk.
2. :func:`name_packed`: that file gets the backup's owner and mode, and its name. Both are there
   now, and the backup is the one that counts. Then the name is written to the disk, too.
3. :func:`finish`: the backup's name is removed. Whoever has it open reads it to its end.

Whoever is killed before the second step has changed nothing, as what has no name is gone with him;
between the second and the third he leaves a packed file that nobody looks at (see standing.py).
Between two steps, the backup may get other names, or be removed: then the packing is given up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Container

from msgspec import Struct

from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.attributes import Attributes, held_by
from twisted_virtlog.logs.files.lineage import GAP_ATTRIBUTE, is_marked
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import newest_first, packed_path
from twisted_virtlog.logs.files.removal import Remover, close_quietly
from twisted_virtlog.logs.files.standing import remove_packed, standing_packed
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.policy import Policy
from twisted_virtlog.packed.format import Origin

_SOURCE_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW

#: A file that takes up no more than this takes up as much when it is packed: a block.
_SMALL_BYTES = 4096
_UNIT_BYTES = 512

_SECOND_NS = 10**9


class FilesOfLog(Struct, frozen=True):
    """The files of a log, for who has its turn with them.

    :ivar path: of the current one.
    :ivar directory: reaches them.
    :ivar policy: of the log.
    :ivar writer: None if it is not open.
    :ivar remove: removes files.
    :ivar attributes: sets owners and modes.
    :ivar changed: is to be called when the files take up less room than before.
    """

    path: str
    directory: LogDirectory
    policy: Policy
    writer: Writer | None
    remove: Remover
    attributes: Attributes
    changed: Callable[[], None]

    @property
    def backups(self) -> list[str]:
        """The names of its backups, the newest first; none while they must not be touched."""
        writer = self.writer
        if writer is not None:
            is_away = writer.owner.leads_away(writer.file) is not None
            if is_away or writer.steps_left or not writer.is_open:
                return []
        return newest_first(self.path, self.policy.limits.max_backups)[1:]


#: What tells apart a file that does not become smaller: its number, and when it was written last.
Mark = tuple[int, int]


class Job(Struct, frozen=True):
    """A backup that is being packed.

    :ivar path: the name that it had when that began.
    :ivar source: a descriptor of it.
    :ivar status: its status then.
    :ivar target: a descriptor of the packed file.
    :ivar origin: what that is to say.
    """

    path: str
    source: int
    status: os.stat_result
    target: int
    origin: Origin

    @property
    def mark(self) -> Mark:
        """What tells the backup apart."""
        return _mark(self.status)

    def close(self) -> None:
        """Close both files; the packed one is gone unless it has a name."""
        close_quietly(self.source)
        close_quietly(self.target)


class Found(Struct, frozen=True):
    """What there is to do for a log.

    :ivar job: what is begun; None for nothing.
    :ivar wait: in how many seconds there may be something; None if nothing is known of that.
    """

    job: Job | None = None
    wait: float | None = None


def begin(files: FilesOfLog, delay: int, now_ns: int, skip: Container[Mark]) -> Found:
    """Begin with the newest backup that is to be packed.

    :param delay: how many seconds ago it must have been written.
    :param now_ns: the wall clock, in nanoseconds since 1970.
    :param skip: the marks of backups that are left as they are.
    :raises OSError: a file cannot be made; EOPNOTSUPP, its file system makes none without a name.
    """
    first = files.policy.pack_from
    if first is None:
        return Found()
    directory, wait = files.directory, None
    with directory:
        for name in files.backups[first:]:
            try:
                status = directory.lstat(name)
            except OSError:
                continue
            if not _is_worth_it(status) or _mark(status) in skip:
                continue
            age = (now_ns - status.st_mtime_ns) / _SECOND_NS
            # (what was written in the future was so before the clock was set)
            if 0 <= age < delay:
                wait = min(delay - age, delay if wait is None else wait)
                continue
            job = _begun(directory, name, status)
            if job is not None:
                return Found(job)
    return Found(None, wait)


def _is_worth_it(status: os.stat_result) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        # (with another name its room is not given back)
        and status.st_nlink == 1
        and status.st_size > 0
        and status.st_blocks * _UNIT_BYTES > _SMALL_BYTES
    )


def _begun(directory: LogDirectory, name: str, status: os.stat_result) -> Job | None:
    try:
        source = directory.open(name, _SOURCE_FLAGS)
    except FileNotFoundError:
        return None
    try:
        if not _is_same(os.fstat(source), status):
            os.close(source)
            return None
        origin = Origin(status.st_ino, identity.birth(source), status.st_size)
        target = directory.make_unnamed(name)
    except BaseException:
        os.close(source)
        raise
    return Job(name, source, status, target, origin)


def name_packed(files: FilesOfLog, job: Job) -> bool:
    """Name a packed file; return whether that was possible, as the backup is as it was.

    :raises OSError: EPERM, it cannot have its owner and mode; or it cannot be named.
    """
    with files.directory:
        place = _place(files, job)
        if place is None:
            return False
        _make_alike(files, job, packed_path(place))
        # (somebody who was killed may have left one)
        remove_packed(files.directory, place)
        if files.writer is not None:
            files.writer.may_be_packed = True
        files.directory.link(job.target, packed_path(place))
        # (so that it need not be opened when names move, as descriptors may be short then)
        standing_packed(files.directory, place)
    return True


def _make_alike(files: FilesOfLog, job: Job, path: str) -> None:
    """Give a packed file what the backup has."""
    status = job.status
    wanted = held_by(job.source)
    if wanted is not None:
        files.attributes(wanted, job.target, path)
        if held_by(job.target) != wanted:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    with contextlib.suppress(OSError):
        if is_marked(job.source):
            os.setxattr(job.target, GAP_ATTRIBUTE, b"1")
    os.utime(job.target, ns=(status.st_atime_ns, status.st_mtime_ns))


def finish(files: FilesOfLog, job: Job) -> bool:
    """Remove a backup that was packed; return whether it was still as it was.

    :raises OSError: it cannot be removed.
    """
    directory = files.directory
    with directory:
        place = _place(files, job)
        if place is None:
            return False
        try:
            status = directory.lstat(packed_path(place))
        except OSError:
            return False
        if status.st_ino != os.fstat(job.target).st_ino:
            return False
        if files.writer is not None:
            files.writer.packed(job.origin.inode)
        files.remove(place, directory)
    files.changed()
    return True


def _place(files: FilesOfLog, job: Job) -> str | None:
    """Return the name that a backup has now; None if it has none, or has changed."""
    for name in files.backups:
        with contextlib.suppress(OSError):
            if _is_same(files.directory.lstat(name), job.status):
                return name
    return None


def _is_same(status: os.stat_result, before: os.stat_result) -> bool:
    return (
        status.st_ino == before.st_ino
        and status.st_dev == before.st_dev
        and status.st_size == before.st_size
        and status.st_mtime_ns == before.st_mtime_ns
        and status.st_nlink == 1
    )


def _mark(status: os.stat_result) -> Mark:
    return status.st_ino, status.st_mtime_ns
