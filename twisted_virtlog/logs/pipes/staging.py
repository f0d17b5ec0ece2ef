"""Bytes on the way from a guest's pipe to a file that may not answer, by way of a staging pipe.

While splice(2) waits for a file system, the kernel holds the lock of the pipe that it takes from,
and then the guest's write(2) waits too, however much room there is. So a lane moves bytes into a
pipe of its own first, and only from there into the file. Both moves are made by the lane's thread:
whoever else moved something into that pipe would wait for its lock, with the guest's pipe locked.

A staging pipe is no buffer. It serves one log at a time, and what is in it goes into the file
before any more is taken from the guest; the guest's pipe is the buffer. Where the file refuses
bytes they stay *staged*: the staging pipe belongs to their log until they are written, and for the
next log the lane takes its spare.

So that a crash loses nothing, no byte enters before the keeper has the staging pipe, and before the
lane's record says whose it is (handover/ownership.py).

Besides the lane's thread the reactor's may take bytes out of a guest's pipe, to drop them, when the
lane's waits for the file. A lock keeps the two apart. The lane's thread holds it for calls on
guests' pipes alone, which do not wait, unless a guest has locked its own pipe: then the reactor's
thread does not get the lock, and does not wait with it. What follows dropped bytes is not taken
before the log has heard of them: whoever tries gets ETIMEDOUT.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import threading
from collections.abc import Callable

from twisted_virtlog.handover.keeper import NO_KEEPER, StagingKeeper
from twisted_virtlog.handover.ownership import Ownership
from twisted_virtlog.logs.accounts.account import Account
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.logs.pipes.sources import PipeSource
from twisted_virtlog.syscalls import pipe_events, pipe_number, set_pipe_capacity
from twisted_virtlog.values import DropReason

#: What a staging pipe holds where the kernel allows it: as many writes of a guest as fit into 64
#: pages.
CAPACITY_BYTES = 256 * 1024

_NOBODY = -1


class _Staging:
    """A staging pipe.

    :ivar write_end: -1 once it is only ever drained.
    :ivar number: its inode number.
    :ivar place: in the lane's record; 0 if it has none, as another process filled it.
    :ivar pipe: the guest's pipe that the record names.
    :ivar wait: waits until it is kept.
    """

    __slots__ = ("number", "pipe", "place", "read_end", "wait", "write_end")

    def __init__(
        self, read_end: int, write_end: int, place: int, pipe: int, wait: Callable[[], object]
    ) -> None:
        self.read_end = read_end
        self.write_end = write_end
        self.number = pipe_number(read_end)
        self.place = place
        self.pipe = pipe
        self.wait = wait

    def close(self) -> None:
        """Close its descriptors."""
        os.close(self.read_end)
        self.drain_only()

    def drain_only(self) -> None:
        """Close the write end."""
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1


class StagedSource:
    """The guests' pipes of a lane; see sources.GuestSource and this module.

    All methods are for the lane's thread, but :meth:`drop` and :meth:`stop`. A pipe must be given
    to :meth:`release` before it is closed, as its number may then be another's.

    :ivar pipe: the read end of the guest's pipe whose bytes these are; to be set before each use.
    """

    def __init__(self, keeper: StagingKeeper = NO_KEEPER, drops: Drops | None = None) -> None:
        """Make no staging pipe before one is needed.

        :param keeper: is asked in the lane's thread, which may wait for the answer.
        :param drops: what the lane's thread drops.
        """
        self.pipe = _NOBODY
        self._keeper = keeper
        # For either end of the way, one at a time.
        self._direct = PipeSource(drops)
        # Held around what is done with a guest's pipe.
        self._taking = threading.Lock()
        self._stopped = False
        self._dropped: dict[int, int] = {}
        self._record: Ownership | None = None
        # The one that is filled, and the next one.
        self._present: _Staging | None = None
        self._spare: _Staging | None = None
        # By the guests' pipes. (Each has bytes.)
        self._staged: dict[int, _Staging] = {}
        # By the guests' pipes: how many bytes are staged, for who must not ask the staging pipe.
        self._counts: dict[int, int] = {}

    # sources.GuestSource.

    def waiting(self) -> int:
        """Return how many bytes wait: those that are staged, and those in the guest's pipe.

        :raises OSError: ETIMEDOUT, see the module; ECANCELED after :meth:`stop`.
        """
        pipe = self.pipe
        staged = self.staged(pipe) if pipe in self._staged else 0
        direct = self._direct
        with self._taking:
            if pipe not in self._dropped and not self._stopped:
                direct.pipe = pipe
                return staged + direct.waiting()
        if not staged:
            raise self._refusal()
        return staged

    def look(self, count: int) -> bytes:
        """Return up to ``count`` of the next bytes, staged ones first, without taking them.

        :raises OSError: as :meth:`waiting`; BlockingIOError if nothing waits.
        """
        shown = b""
        staging = self._staged.get(self.pipe)
        direct = self._direct
        if staging is not None:
            direct.pipe = staging.read_end
            staged = direct.waiting()
            shown = direct.look(min(count, staged))
            if len(shown) < staged or len(shown) >= count:
                return shown
        try:
            with self._taking:
                self._check(self.pipe)
                direct.pipe = self.pipe
                return shown + direct.look(count - len(shown))
        except OSError:
            if not shown:
                raise
            return shown

    def move(self, file: int, offset: int, count: int) -> int:
        """Write up to ``count`` of the next bytes at an offset of a file, staged ones first.

        :returns: how many reached the file. If more were taken from the guest, they are staged.
        :raises OSError: none did; likewise. Or as :meth:`look`.
        """
        pipe = self.pipe
        done = 0
        staging = self._staged.get(pipe)
        if staging is not None:
            done = self._write(staging, file, offset, count)
            if done == count or pipe in self._staged:
                return done
        try:
            staging = self._present
            if staging is None or staging.pipe != pipe:
                staging = self._claim(pipe)
            with self._taking:
                if self._stopped or pipe in self._dropped:
                    raise self._refusal()
                taken = os.splice(pipe, staging.write_end, count - done, flags=os.SPLICE_F_NONBLOCK)
            if not taken:
                return done
            self._staged[pipe] = staging
            self._counts[pipe] = taken
            direct = self._direct
            direct.pipe = staging.read_end
            moved = direct.move(file, offset + done, taken)
            if moved == taken:
                del self._staged[pipe]
            self._counts[pipe] = taken - moved
        except OSError:
            if not done:
                raise
            return done
        return done + moved

    def lose(
        self,
        count: int,
        account: Account,
        reason: DropReason,
        last: Callable[[bytes], object] | None = None,
    ) -> int:
        """Take bytes out of the guest's pipe, lose and count them; staged ones stay.

        :raises OSError: ECANCELED after :meth:`stop`.
        """
        direct = self._direct
        with self._taking:
            if self._stopped:
                raise self._refusal()
            direct.pipe = self.pipe
            return direct.lose(count, account, reason, last)

    def lose_staged(self, pipe: int, account: Account, reason: DropReason) -> int:
        """Lose and count what is staged of a guest's pipe."""
        staging = self._staged.get(pipe)
        if staging is None:
            return 0
        direct = self._direct
        direct.pipe = staging.read_end
        lost = direct.lose(direct.waiting(), account, reason)
        self._counts[pipe] = 0
        self._emptied(pipe, staging)
        return lost

    def staged(self, pipe: int) -> int:
        """Return how many bytes of a guest's pipe are staged."""
        staging = self._staged.get(pipe)
        if staging is None:
            return 0
        self._direct.pipe = staging.read_end
        return self._direct.waiting()

    @property
    def left(self) -> int:
        """How many bytes of the present guest's pipe are staged since the latest move."""
        return self._counts.get(self.pipe, 0)

    def known_staged(self, pipe: int) -> int:
        """Return how many bytes of a guest's pipe were staged when that was known last.

        Any thread may ask; the staging pipe is not touched.
        """
        return self._counts.get(pipe, 0)

    def known_dropped(self, pipe: int) -> int:
        """Return what :meth:`take_dropped` will, for the time being. Any thread may ask."""
        return self._dropped.get(pipe, 0)

    def take_dropped(self, pipe: int) -> int:
        """Return how many bytes :meth:`drop` took since this was asked last; go on with the pipe.

        They were between what is staged and what is in the pipe.
        """
        with self._taking:
            return self._dropped.pop(pipe, 0)

    def adopt(self, pipe: int, staged: int) -> None:
        """Go on with what another process had staged of a guest's pipe: it comes first.

        That process must be gone, and this its first use. The keeper knows whose it is.

        :param staged: the read end of a staging pipe, which is only ever drained.
        :raises OSError: it is not a pipe.
        """
        try:
            if not stat.S_ISFIFO(os.fstat(staged).st_mode):
                raise OSError(errno.EBADF, "it is not a pipe")
        except OSError:
            with contextlib.suppress(OSError):
                os.close(staged)
            raise
        staging = _Staging(staged, -1, 0, pipe, NO_KEEPER.settled())
        self._staged[pipe] = staging
        count = self._counts[pipe] = self.staged(pipe)
        if not count:
            self._emptied(pipe, staging)

    def release(self, pipe: int) -> int:
        """Forget a guest's pipe, before it is closed, and what was dropped of it.

        :returns: how many bytes were staged, and are lost.
        """
        lost = 0
        staging = self._staged.get(pipe)
        if staging is not None:
            # (taken out, or whoever finds the pipe after a crash would miss their log)
            self._direct.pipe = staging.read_end
            lost = self._direct.discard(self._direct.waiting())
            self._emptied(pipe, staging)
        if self._present is not None and self._present.pipe == pipe:
            self._present.pipe = _NOBODY
        self._counts.pop(pipe, None)
        with self._taking:
            self._dropped.pop(pipe, None)
        return lost

    def handed_over(self, pipe: int) -> int | None:
        """Return the read end of the staging pipe of a guest's pipe; None if nothing is staged."""
        staging = self._staged.get(pipe)
        return None if staging is None else staging.read_end

    def close(self) -> None:
        """Close all; the keeper goes on to keep what is staged, and whose it is."""
        with self._taking:
            self._stopped = True
        kept = set(self._staged.values())
        for staging in (self._present, self._spare):
            if staging is not None and staging not in kept:
                self._close(staging)
        for staging in kept:
            staging.close()
        if self._record is not None:
            if not kept:
                self._keeper.lane_ended(self._record.number)
            self._record.close()
        self._present = self._spare = self._record = None
        self._staged.clear()
        self._direct.close()

    # For the reactor's thread.

    def drop(self, pipe: int, most: int, drops: Drops, account: Account) -> int | None:
        """Take up to ``most`` bytes out of a guest's pipe, and lose them; never waits for the lane.

        :param drops: what the caller's thread drops.
        :param account: of the log.
        :returns: how many; None if the lane's thread is just at a guest's pipe, so that nothing is
            known of this one.
        """
        if not self._taking.acquire(blocking=False):
            return None
        try:
            dropped = 0
            if not self._stopped and pipe_events(pipe) & select.POLLIN:
                dropped = drops.drop(pipe, most, account, DropReason.WRITE_ERROR, elsewhere=True)
            if dropped:
                self._dropped[pipe] = self._dropped.get(pipe, 0) + dropped
            return dropped
        finally:
            self._taking.release()

    def stop(self) -> bool:
        """Take nothing out of guests' pipes any more, as the process ends.

        :returns: whether that is certain; if not, the lane's thread is just at one.
        """
        self._stopped = True
        if not self._taking.acquire(blocking=False):
            return False
        self._taking.release()
        return True

    # What stands between.

    def _check(self, pipe: int) -> None:
        if self._stopped or pipe in self._dropped:
            raise self._refusal()

    def _refusal(self) -> OSError:
        number = errno.ECANCELED if self._stopped else errno.ETIMEDOUT
        return OSError(number, os.strerror(number))

    def _write(self, staging: _Staging, file: int, offset: int, count: int) -> int:
        """Write what is staged of the present guest's pipe."""
        direct = self._direct
        direct.pipe = staging.read_end
        done = direct.move(file, offset, count)
        left = self._counts[self.pipe] = direct.waiting()
        if not left:
            self._emptied(self.pipe, staging)
        return done

    def _emptied(self, pipe: int, staging: _Staging) -> None:
        del self._staged[pipe]
        if staging is not self._present:
            self._close(staging)

    def _claim(self, pipe: int) -> _Staging:
        """Return an empty staging pipe, of which the record says that it is that of a guest's pipe.

        :raises OSError: none can be had.
        """
        present = self._present
        if present is not None and self._staged.get(present.pipe) is present:
            # It stays with its log, which takes nothing more from its guest before it is empty.
            self._present = None
            present.drain_only()
            present = None
        if present is None:
            present = self._present = self._kept_spare()
            with contextlib.suppress(OSError):
                # (or when it is needed)
                self._spare = self._make()
        if self._record is not None:
            self._record.name(present.place, present.number, pipe_number(pipe))
        present.pipe = pipe
        return present

    def _kept_spare(self) -> _Staging:
        """Take the spare, which may have to be made, once the keeper has it."""
        spare = self._spare = self._spare or self._make()
        spare.wait()
        self._spare = None
        return spare

    def _make(self) -> _Staging:
        record = self._record
        if record is None:
            record = self._record = Ownership()
            self._keeper.lane(record.file)
            self._direct.drops.prepare()
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            with contextlib.suppress(OSError):
                # (the user's other pipes use up the limit)
                set_pipe_capacity(read_end, CAPACITY_BYTES)
            wait = self._keeper.staging(read_end)
        except BaseException:
            os.close(read_end)
            os.close(write_end)
            raise
        return _Staging(read_end, write_end, record.place(), _NOBODY, wait)

    def _close(self, staging: _Staging) -> None:
        """Close an empty staging pipe."""
        staging.close()
        self._keeper.unstaging(staging.number)
        if self._record is not None and staging.place:
            self._record.give_back(staging.place)
