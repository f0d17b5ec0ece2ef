"""Where the bytes of a write come from: a guest's pipe, or a message of a caller.

Both can be looked at before they move, and both move straight to their place in the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Protocol

from twisted_virtlog.syscalls import tee

#: What one tee(2) into the scratch pipe may show: the capacity of a new pipe.
_COPY_BYTES = 65536


class Source(Protocol):
    """Bytes that wait to be written."""

    def look(self, count: int) -> bytes:
        """Show up to ``count`` of the next bytes, at least one, without taking them."""

    def move(self, file: int, offset: int, count: int) -> int:
        """Write up to ``count`` of the next bytes at an offset of a file and take what was written.

        :raises OSError: nothing was written, and the bytes still wait.
        """


class Scratch:
    """A pipe of the daemon's own into which guests' bytes are duplicated to be looked at."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def look(self, pipe: int, count: int) -> bytes:
        """Show up to ``count`` bytes that wait in a pipe.

        Fewer than wait may be shown, when a writer made its pipe hold many small packets.
        """
        copied = tee(pipe, self._write_end, count)
        shown = b""
        while len(shown) < copied:
            shown += os.read(self._read_end, copied)
        return shown

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read_end)
        os.close(self._write_end)


class PipeSource:
    """A guest's pipe, moved by splice(2): no byte is ever in the daemon's memory only.

    A file that refuses splice(2) (some FUSE and out-of-tree file systems, /dev/full) is served by
    looking at the bytes, writing them, and only then taking them out of the pipe.
    """

    def __init__(self, pipe: int, scratch: Scratch, sink: int, splices: bool = True) -> None:
        """:param sink: a descriptor of /dev/null, where bytes go that were written by copying.

        :param splices: false if the file is known to refuse splice(2).
        """
        self._pipe = pipe
        self._scratch = scratch
        self._sink = sink
        self._splices = splices

    def look(self, count: int) -> bytes:
        """See Source."""
        return self._scratch.look(self._pipe, count)

    def move(self, file: int, offset: int, count: int) -> int:
        """See Source."""
        if self._splices:
            try:
                return os.splice(
                    self._pipe, file, count, offset_dst=offset, flags=os.SPLICE_F_NONBLOCK
                )
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._splices = False
        written = os.pwrite(file, self.look(min(count, _COPY_BYTES)), offset)
        return discard(self._pipe, self._sink, written)


class MessageSource:
    """A caller's message, one chunk for rotation."""

    def __init__(self, message: bytes) -> None:
        self._left = memoryview(message)

    def look(self, count: int) -> bytes:
        """See Source."""
        return bytes(self._left[:count])

    def move(self, file: int, offset: int, count: int) -> int:
        """See Source."""
        written = os.pwrite(file, self._left[:count], offset)
        self._left = self._left[written:]
        return written


def discard(pipe: int, sink: int, count: int) -> int:
    """Take up to ``count`` bytes out of a pipe, into /dev/null.

    :returns: how many were taken; fewer if the pipe held fewer.
    """
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while taken < count:
            moved = os.splice(pipe, sink, count - taken, flags=os.SPLICE_F_NONBLOCK)
            if not moved:
                break
            taken += moved
    return taken
