"""Makes the pipes that guests write to, as large as the kernel lets this process have them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from twisted_virtlog.logs.pipes.budget import PipeBudget
from twisted_virtlog.syscalls import pipe_capacity, set_pipe_capacity

_CAP_SYS_ADMIN = 1 << 21
_CAP_SYS_RESOURCE = 1 << 24

#: What a new pipe holds unless asked otherwise; see pipe(7).
_DEFAULT_PIPE_BYTES = 65536

#: The daemon's share of the user's soft limit; the rest is left to the user's other pipes.
_SHARE_OF_LIMIT = 0.75


@dataclass(frozen=True, slots=True)
class PipeLimits:
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
        return PipeLimits(_DEFAULT_PIPE_BYTES, None)
    unlimited = not soft or capabilities & (_CAP_SYS_ADMIN | _CAP_SYS_RESOURCE)
    return PipeLimits(largest, None if unlimited else int(soft * _SHARE_OF_LIMIT))


def read_text(path: str) -> str:
    """Return a file's text."""
    with open(path, encoding="ascii") as file:
        return file.read()


class Pipes:
    """The read ends of all guests' pipes and what each may hold."""

    def __init__(self, pipe_size: int, limits: PipeLimits) -> None:
        """:param pipe_size: what a pipe should hold, in bytes, where the kernel allows it."""
        self._largest = limits.largest
        self._budget: PipeBudget[int] = PipeBudget(self._possible(pipe_size), limits.together)

    def set_size(self, pipe_size: int) -> None:
        """Make pipes of another size from now on; existing ones keep theirs."""
        self._budget.pipe_size = self._possible(pipe_size)

    def make(self) -> tuple[int, int]:
        """Make a pipe.

        :returns: the read end, which does not block, and the write end, which does; both
            close-on-exec. The read end is given back to :meth:`close`, the write end is the
            caller's.
        :raises OSError: no descriptors are left.
        """
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_end, False)
        self.adopt(read_end)
        return read_end, write_end

    def adopt(self, read_end: int) -> None:
        """Make a pipe as large as its share allows."""
        grant = self._budget.add(read_end)
        for pipe, size in (*grant.shrink, (read_end, grant.size)):
            # Refused when it holds more than that, or the user's other pipes use up the limit.
            with contextlib.suppress(OSError):
                set_pipe_capacity(pipe, size)
            self._budget.resize(pipe, pipe_capacity(pipe))

    def close(self, read_end: int) -> None:
        """Close a read end."""
        self._budget.remove(read_end)
        os.close(read_end)

    def _possible(self, size: int) -> int:
        """Return the power of two that the kernel makes of a size."""
        size = min(size, self._largest)
        return 1 << (max(size, os.sysconf("SC_PAGESIZE")) - 1).bit_length()
