"""Makes the pipes that guests write to, as large as the kernel lets this process have them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from twisted_virtlog.logs.pipes.budget import USUAL_PIPE_BYTES, PipeBudget
from twisted_virtlog.logs.pipes.closing import PipeCloser
from twisted_virtlog.syscalls import pipe_capacity, set_pipe_capacity

_CAP_SYS_ADMIN = 1 << 21
_CAP_SYS_RESOURCE = 1 << 24

#: The daemon's share of the user's soft limit; the rest is left to the user's other pipes.
_SHARE_OF_LIMIT = 0.75


class PipeLimits(Struct, frozen=True):
    """What the kernel allows this process.

    :ivar largest: bytes of one pipe.
    :ivar together: bytes of all pipes of this user; None without a limit.
    """

    largest: int
    together: int | None


def kernel_limits(read: Callable[[str], str]) -> PipeLimits:
    """Find the limits of pipe(7) that hold for this process.

    :param read: returns the text of a file below /proc.
    """
    try:
        status = read("/proc/self/status").splitlines()
        capabilities = next(int(line.split()[1], 16) for line in status if line[:7] == "CapEff:")
        page = os.sysconf("SC_PAGESIZE")
        soft = int(read("/proc/sys/fs/pipe-user-pages-soft")) * page
        largest = int(read("/proc/sys/fs/pipe-max-size"))
    except (OSError, ValueError, StopIteration):
        # No /proc: assume what every process has.
        return PipeLimits(USUAL_PIPE_BYTES, None)
    unlimited = not soft or capabilities & (_CAP_SYS_ADMIN | _CAP_SYS_RESOURCE)
    return PipeLimits(largest, None if unlimited else int(soft * _SHARE_OF_LIMIT))


def read_text(path: str) -> str:
    """Return a file's text."""
    with open(path, encoding="ascii") as file:
        return file.read()


class NewPipe(NamedTuple):
    """A pipe that nobody else has yet.

    :ivar read_end: does not block; to be given back to :meth:`Pipes.close`.
    :ivar write_end: blocks; the caller's. Both are close-on-exec.
    :ivar capacity: the bytes that it holds.
    """

    read_end: int
    write_end: int
    capacity: int


class Pipes:
    """The read ends of all guests' pipes and what each holds.

    A pipe is made as large as it may be before its write end is given away. From then on its guest
    can make whoever asks for its size wait for ever, so the size is remembered, and never changed.
    """

    def __init__(self, pipe_size: int, limits: PipeLimits) -> None:
        """:param pipe_size: what a pipe should hold, in bytes, where the kernel allows it."""
        self._largest = limits.largest
        self._budget: PipeBudget[int] = PipeBudget(self._possible(pipe_size), limits.together)
        self._closer = PipeCloser()

    def set_size(self, pipe_size: int) -> None:
        """Make pipes of another size from now on; existing ones keep theirs."""
        self._budget.pipe_size = self._possible(pipe_size)

    def make(self, pipe_size: int | None = None) -> NewPipe:
        """Make a pipe, as large as its share allows.

        :param pipe_size: what it should hold, in bytes; None: what all should.
        :raises OSError: no descriptors are left.
        """
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_end, False)
        size = self._budget.share(None if pipe_size is None else self._possible(pipe_size))
        try:
            # (one object for all logs, where they are as large as wished)
            capacity = size if set_pipe_capacity(read_end, size) == size else 0
        except OSError:
            # The user's other pipes use up the limit.
            capacity = 0
        capacity = capacity or pipe_capacity(read_end)
        self._budget.add(read_end, capacity)
        return NewPipe(read_end, write_end, capacity)

    def adopt(self, read_end: int, capacity: int) -> int:
        """Count a pipe that was given away, by another process perhaps; it keeps its size.

        :param capacity: the bytes that it holds; 0 if nobody knows.
        :returns: what it is taken to hold.
        :raises OSError: it is not a pipe.
        """
        if not stat.S_ISFIFO(os.fstat(read_end).st_mode):
            raise OSError(errno.EBADF, "it is not a pipe")
        capacity = capacity or USUAL_PIPE_BYTES
        self._budget.add(read_end, capacity)
        return capacity

    def forget(self, read_end: int) -> None:
        """Count a pipe no more; another adopts it."""
        self._budget.remove(read_end)

    def close(
        self,
        read_end: int,
        settled: Callable[[], Callable[[], object]] | None = None,
        has_ended: bool = False,
    ) -> None:
        """Close a read end, now or in a thread; see :meth:`PipeCloser.close`."""
        self._budget.remove(read_end)
        self._closer.close(read_end, settled, has_ended)

    def give_up(self, read_end: int) -> None:
        """Close a pipe whose descriptor another thread has as well.

        The descriptor stays open, so that its number does not become another file's: it is that of
        something empty from now on, and the other thread's to close.

        :raises OSError: no descriptors are left, or it is closed already.
        """
        pipe = os.dup(read_end)
        try:
            empty = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            os.dup2(empty, read_end, inheritable=False)
            os.close(empty)
        finally:
            self._closer.close(pipe)
        self._budget.remove(read_end)

    def unclosed(self) -> Sequence[int]:
        """Return the inode numbers of pipes that are not closed yet."""
        return self._closer.unclosed()

    def finish(self, seconds: float) -> Sequence[int]:
        """Wait until all that were given back are closed, or some time has passed.

        :returns: the inode numbers of pipes that are not closed yet.
        """
        return self._closer.finish(seconds)

    def _possible(self, size: int) -> int:
        """Return the power of two that the kernel makes of a size."""
        size = min(size, self._largest)
        return 1 << (max(size, os.sysconf("SC_PAGESIZE")) - 1).bit_length()
