"""Where the bytes of a write come from: a guest's pipe, or a message of a caller.

Both can be looked at before they move, and both move straight to their place in the file. Only here
and in staging.py is it known how bytes leave a pipe.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import termios
from collections.abc import Callable
from typing import Protocol

from twisted_virtlog.logs.accounts.account import Account
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.syscalls import tee
from twisted_virtlog.values import DropReason

#: What one tee(2) into the scratch pipe may show: the capacity of a new pipe.
_COPY_BYTES = 65536

_POLLIN = select.POLLIN

#: How many pipes have a poll object of their own, of 0.3 KiB.
_MOST_POLLS = 256


#: The most of a message that one call writes.
_MESSAGE_BYTES = 256 * 1024


class Source(Protocol):
    """Bytes that wait to be written."""

    def waiting(self) -> int:
        """Return how many bytes wait."""

    def look(self, count: int) -> bytes:
        """Return up to ``count`` of the next bytes, at least one, without taking them."""

    def move(self, file: int, offset: int, count: int) -> int:
        """Write up to ``count`` of the next bytes at an offset of a file, and take them.

        :returns: how many were written.
        :raises OSError: nothing was written, and the bytes still wait; BlockingIOError if none do.
        """


class GuestSource(Source, Protocol):
    """Guests' pipes, one at a time.

    Bytes of a log may be *staged*: they have left its guest's pipe, and come before what is in it.
    And bytes may be *dropped* by another thread: that of the file system does not answer.

    :ivar pipe: the read end of the pipe whose bytes these are; to be set before each use.
    """

    pipe: int

    @property
    def left(self) -> int:
        """How many bytes of that pipe are staged since the latest move."""

    def lose(
        self,
        count: int,
        account: Account,
        reason: DropReason,
        last: Callable[[bytes], object] | None = None,
    ) -> int:
        """Take up to ``count`` bytes out of the pipe itself, lose and count them.

        :param account: of their log.
        :param last: is told the last of so many bytes, if the pipe held as many.
        :returns: how many were taken; fewer if the pipe held fewer.
        """

    def lose_staged(self, pipe: int, account: Account, reason: DropReason) -> int:
        """Lose and count what is staged of a pipe; return how many bytes."""

    def staged(self, pipe: int) -> int:
        """Return how many bytes of a pipe are staged."""

    def known_dropped(self, pipe: int) -> int:
        """Return what :meth:`take_dropped` will, for the time being."""

    def take_dropped(self, pipe: int) -> int:
        """Return how many bytes of a pipe were dropped since this was asked last."""

    def adopt(self, pipe: int, staged: int) -> None:
        """Go on with what another process had staged of a pipe.

        :param staged: the read end of the pipe in which it is; it belongs to the source, also if
            this fails.
        :raises OSError: that cannot be.
        """

    def release(self, pipe: int) -> int:
        """Forget a pipe, before it is closed.

        :returns: how many bytes were staged, and are lost.
        """

    def handed_over(self, pipe: int) -> int | None:
        """Return the read end of the pipe in which bytes are staged, for the next image.

        :returns: None if there are none.
        """

    def close(self) -> None:
        """Close all descriptors that are its own."""


class PipeSource:
    """Guests' pipes, one at a time, moved by splice(2): no byte is in the daemon's memory only.

    A file that refuses splice(2) (some FUSE and out-of-tree file systems, /dev/full) is served by
    looking at the bytes, writing them, and only then taking them out of the pipe. Nobody remembers
    that it refused: to try each time costs little beside the copy, and files come and go.

    One serves all logs of a thread, as each would cost memory in ten thousand logs, or time.

    :ivar pipe: the read end of the pipe whose bytes these are; to be set before each use.
    """

    #: What has left a pipe is in the file.
    left = 0

    def __init__(self, drops: Drops | None = None) -> None:
        """Make what it takes to look at bytes, another pipe.

        :param drops: drops bytes, and is closed with this; by default straight into /dev/null.
        """
        self.pipe = -1
        self.drops = drops or Drops()
        self._count = array.array("i", [0])
        # By pipe, whichever has that number: to make one costs a third of what it is for.
        self._polls: dict[int, Callable[[int], list[tuple[int, int]]]] = {}
        self._scratch, self._scratch_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def waiting(self) -> int:
        """Return how many bytes are in the pipe; an empty one is not asked, see syscalls."""
        # (as syscalls.bytes_waiting, which has to ask for its thread's memory, as each position)
        pipe = self.pipe
        try:
            found = self._polls[pipe](0)
        except KeyError:
            found = self._poll_of(pipe)(0)
        if not found or not found[0][1] & _POLLIN:
            return 0
        count = self._count
        fcntl.ioctl(pipe, termios.FIONREAD, count)
        return count[0]

    def _poll_of(self, pipe: int) -> Callable[[int], list[tuple[int, int]]]:
        if len(self._polls) >= _MOST_POLLS:
            self._polls.clear()
        look = select.poll()
        look.register(pipe, select.POLLIN)
        return self._polls.setdefault(pipe, look.poll)

    def look(self, count: int) -> bytes:
        """Return up to ``count`` bytes, without taking them.

        Fewer than wait may be shown, when a writer made its pipe hold many small packets.
        """
        copied = tee(self.pipe, self._scratch_end, count)
        shown = b""
        while len(shown) < copied:
            shown += os.read(self._scratch, copied)
        return shown

    def move(self, file: int, offset: int, count: int) -> int:
        """Move bytes without copying them, if the file lets us."""
        try:
            return os.splice(self.pipe, file, count, None, offset, os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        written = os.pwrite(file, self.look(min(count, _COPY_BYTES)), offset)
        return self.discard(written)

    def lose(
        self,
        count: int,
        account: Account,
        reason: DropReason,
        last: Callable[[bytes], object] | None = None,
    ) -> int:
        """Take bytes out of the pipe, lose and count them."""
        return self.drops.drop(self.pipe, count, account, reason, last)

    def lose_staged(self, pipe: int, account: Account, reason: DropReason) -> int:
        """Return 0: nothing is staged."""
        return 0

    def discard(self, count: int) -> int:
        """Take up to ``count`` bytes out of the pipe, which are not lost, or are counted already.

        :returns: how many were taken; fewer if the pipe held fewer.
        """
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while taken < count:
                moved = os.splice(
                    self.pipe, self.drops.sink, count - taken, flags=os.SPLICE_F_NONBLOCK
                )
                if not moved:
                    break
                taken += moved
        return taken

    def staged(self, pipe: int) -> int:
        """Return 0: what has left the pipe is in the file."""
        return 0

    def known_dropped(self, pipe: int) -> int:
        """Return 0: one thread does everything."""
        return 0

    def take_dropped(self, pipe: int) -> int:
        """Return 0: one thread does everything."""
        return 0

    def adopt(self, pipe: int, staged: int) -> None:
        """Refuse: bytes from elsewhere would have to wait here."""
        os.close(staged)
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def release(self, pipe: int) -> int:
        """Return 0: there is nothing to lose."""
        return 0

    def handed_over(self, pipe: int) -> int | None:
        """Return None: there is nothing to hand over."""
        return None

    def close(self) -> None:
        """Close what :meth:`__init__` made."""
        for descriptor in (self._scratch, self._scratch_end):
            os.close(descriptor)
        self.drops.close()


class MessageSource:
    """A caller's message, one chunk for rotation."""

    def __init__(self, message: bytes) -> None:
        self._left = memoryview(message)

    def waiting(self) -> int:
        """Return how many bytes of the message are not written yet."""
        return len(self._left)

    def look(self, count: int) -> bytes:
        """Copy from the beginning of what is left."""
        return bytes(self._left[:count])

    def move(self, file: int, offset: int, count: int) -> int:
        """Write from the beginning of what is left; a long message in parts."""
        written = os.pwrite(file, self._left[: min(count, _MESSAGE_BYTES)], offset)
        self._left = self._left[written:]
        return written
