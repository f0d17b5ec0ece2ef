"""Moves what floods logs into their files, in a thread that stands back for the reactor's.

In the reactor's thread each piece of a flood keeps a client waiting who has just asked, and each
roll-over ten times as long. Here the next step of a flood is in the kernel nearly all of the time,
without the interpreter's lock, and the scheduler lets the reactor's thread go first.

The thread touches what it was lent, and nothing else: a pipe, the end of a file, what is known of
that end, and the word in which a log's account has it. It does what ``Writer.write`` does in its
short way, and gives the log back before anything that has to follow rules: a file that is nearly
full, was changed by another program, or cannot be written. So all rules stay in one thread.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.logs.accounts.account import Account
from twisted_virtlog.logs.files.tail import Tail
from twisted_virtlog.loop.guard import guarded
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.loop.shares import SHARE_SECONDS
from twisted_virtlog.loop.stall_watch import kernel_function, task_of
from twisted_virtlog.loop.thread_loop import IDLE, Event
from twisted_virtlog.loop.threads import DeafThread

#: How long a log is lent at most: so late is what others know of it.
LENT_SECONDS = 0.004

#: Two such looks at a pipe after each other that find less end the flood.
_LITTLE_BYTES = 8 * 1024

#: How long a pipe is left alone that was empty: until it holds a part of what fits into it.
_SHORTEST_REST_SECONDS = 0.0003
_LONGEST_REST_SECONDS = 0.002
_FILL_BEFORE_WAKING = 0.25

#: Whatever takes longer than this waits for something else than a step.
STUCK_SECONDS = 0.05

#: From so much time on that others than this process had of its processor while a log was lent, it
#: is no use to stand back.
_STARVED_SECONDS = 0.0015

#: How far the thread stands back for the others of the process; see setpriority(2).
_NICENESS = 10

_monotonic = time.monotonic


class Loan:
    """What the thread is lent of one log, and what it has done.

    :ivar end: the size of the file, as the thread has left it.
    :ivar cut_at: where the write began before which another program had cut the file; -1 if none
        had. Nothing was moved after that write.
    :ivar is_calm: whether little came, or the guest is gone.
    :ivar is_starved: whether others than this process had its processor for a good part of the
        time. The thread may hold the interpreter's lock then, for which the reactor's waits.
    :ivar ended: is called in the reactor's thread when it has ended.
    """

    __slots__ = (
        "_account",
        "_capacity",
        "_claim",
        "_done",
        "_file",
        "_fits",
        "_hurry",
        "_is_wanted_back",
        "_pipe",
        "_start",
        "_tail",
        "cut_at",
        "end",
        "ended",
        "is_calm",
        "is_starved",
    )

    def __init__(
        self,
        pipe: int,
        capacity: int,
        file: int,
        end: int,
        fits: int,
        tail: Tail | None,
        account: Account,
    ) -> None:
        """Lend the read end of a pipe, and a file.

        :param capacity: of the pipe, in bytes.
        :param end: the size of the file.
        :param fits: which size no write may reach.
        :param tail: what is known of the end; None for nothing.
        """
        self._pipe, self._capacity = pipe, capacity
        self._file, self._fits = file, fits
        self._tail, self._account = tail, account
        self._start = self.end = end
        self.cut_at = -1
        self.is_calm = False
        self.is_starved = False
        self.ended: Callable[[Loan], object] = _ignore
        self._is_wanted_back = False
        # Whoever gets it first does it, or sees to it that nobody does.
        self._claim = threading.Lock()
        # Held until it is done, or will not be; and until it is wanted back.
        self._done = threading.Lock()
        self._done.acquire()
        self._hurry = threading.Lock()
        self._hurry.acquire()

    @property
    def moved(self) -> int:
        """How many bytes were moved."""
        return self.end - self._start

    @property
    def has_begun(self) -> bool:
        """Whether the thread has begun, or never will."""
        return self._claim.locked()

    # In the reactor's thread.

    def want_back(self) -> bool:
        """Have it ended soon; return whether the thread has not begun, and never will."""
        self._is_wanted_back = True
        if self._claim.acquire(blocking=False):
            self._done.release()
            return True
        with contextlib.suppress(RuntimeError):  # (it is in a hurry)
            self._hurry.release()
        return False

    def wait(self, seconds: float = -1.0) -> bool:
        """Wait until it has ended; return whether it has.

        :param seconds: the longest wait; a negative one has no limit.
        """
        has_ended = self._done.acquire(timeout=seconds)
        if has_ended:
            self._done.release()
        return has_ended

    # In the mover's.

    def begin(self) -> bool:
        """Return whether it is to be done."""
        return self._claim.acquire(blocking=False)

    def finish(self) -> None:
        """Let go of all that was lent."""
        self._done.release()

    def run(self, are_others: Callable[[], bool]) -> None:
        """Move bytes until the time is up, or the log is wanted back, or to follow rules.

        :param are_others: returns whether other logs wait for this one.
        """
        begun, used = _monotonic(), time.process_time()
        rested = self._move(begun, are_others)
        used = time.process_time() - used
        self.is_starved = _monotonic() - begun - rested - used > _STARVED_SECONDS

    def _move(self, now: float, are_others: Callable[[], bool]) -> float:
        """Move bytes; return for how long nothing was to be done."""
        ends = now + LENT_SECONDS
        last = self._fits - PIECE_BYTES
        since, had, looks, rested = now, 0, 0, 0.0
        while self.end <= last and not self._is_wanted_back and now < ends:
            moved = self._step()
            now = _monotonic()
            if moved > 0:
                had += moved
                continue
            if moved < 0:
                break
            looks = looks + 1 if had < _LITTLE_BYTES else 0
            if looks > 1 or (had == 0 and are_others()):
                self.is_calm = True
                break
            rest = (now - since) * self._capacity * _FILL_BEFORE_WAKING / max(had, 1)
            rest = max(_SHORTEST_REST_SECONDS, min(rest, _LONGEST_REST_SECONDS))
            if are_others() or now + rest >= ends:
                break
            since, had = now, 0
            self._hurry.acquire(timeout=rest)
            now = _monotonic()
            rested += now - since
        return rested

    def _step(self) -> int:
        """Move a piece; return how many bytes, 0 for none yet, and -1 if that is another's task."""
        file, end, tail = self._file, self.end, self._tail
        try:
            status = os.fstat(file)
            if status.st_size != end or not status.st_nlink:
                return -1
            moved = os.splice(self._pipe, file, PIECE_BYTES, None, end, os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return 0
        except OSError:
            # (the rules meet it again, and report it)
            return -1
        if not moved:
            self.is_calm = True
            return -1
        account = self._account
        self.end = account.words[account.at] = end + moved
        if tail is not None and tail.is_cut(file, end, moved):
            self.cut_at = end
            return -1
        return moved


@implementer(IReadDescriptor)
class Mover:
    """The thread, and the descriptor on the reactor by which it tells what it has done."""

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Start no thread before there is something to do; :meth:`close` ends it."""
        self._reactor = reactor
        self._calls: queue.SimpleQueue[Loan | Callable[[], object] | None] = queue.SimpleQueue()
        self._ended: deque[Loan] = deque()
        self._event: Event | None = None
        self._since = IDLE
        self._thread = 0
        # Those that were begun, and of which nobody has heard.
        self._count = 0

    @property
    def is_busy(self) -> bool:
        """Whether anything is lent, and gets on."""
        return self._count > 0 and self.stuck_seconds() < STUCK_SECONDS

    def stuck_seconds(self) -> float:
        """Return for how long it has done what it does now; 0 if it does nothing."""
        since = self._since
        return 0.0 if since < 0 else max(0.0, _monotonic() - since)

    def waits_in(self) -> str | None:
        """Return the function of the kernel that it waits in; None if it runs, or wants to."""
        return kernel_function(task_of(self._thread))

    def begin(self, loan: Loan, ended: Callable[[Loan], object]) -> None:
        """Do something.

        :param ended: called in the reactor's thread when it has ended.
        :raises OSError: no descriptor is left for what tells of it.
        :raises RuntimeError: no thread can be started.
        """
        self._start()
        loan.ended = ended
        self._count += 1
        self._calls.put(loan)

    def call(self, call: Callable[[], object]) -> None:
        """Call something, such as close(2) of what takes long to free."""
        self._start()
        self._calls.put(call)

    def want_back(self, loan: Loan) -> None:
        """Have something ended soon."""
        if loan.want_back():
            self._tell(loan)

    def settle(self, loan: Loan, seconds: float = -1.0) -> bool:
        """Have something ended now, which takes a step of the thread at most.

        :param seconds: the longest wait for that step; a negative one has no limit.
        :returns: whether it has ended.
        """
        self.want_back(loan)
        return loan.wait(seconds)

    def close(self) -> None:
        """End the thread; nothing is lent by now."""
        if self._event is not None:
            self._calls.put(None)
            self._reactor.removeReader(self)
            self._event = None
            self._count = 0

    def _start(self) -> None:
        if self._event is None:
            event = Event(os.EFD_NONBLOCK)
            DeafThread(target=self._run, name="what floods logs", daemon=True).start()
            self._event = event
            try:
                self._reactor.addReader(self)
            except BaseException:
                # (the thread ends)
                self._event = None
                self._calls.put(None)
                raise

    def _tell(self, loan: Loan) -> None:
        self._ended.append(loan)
        event = self._event
        if event is not None:
            event.set()

    # In the thread.

    def _run(self) -> None:
        self._thread = threading.get_native_id()
        # (refused by a sandbox, it is somewhat less patient)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with contextlib.suppress(OSError):
            niceness = os.getpriority(os.PRIO_PROCESS, self._thread) + _NICENESS
            os.setpriority(os.PRIO_PROCESS, self._thread, niceness)
        calls = self._calls
        while (call := calls.get()) is not None:
            self._since = _monotonic()
            try:
                if not isinstance(call, Loan):
                    call()
                elif call.begin():
                    try:
                        call.run(lambda: not calls.empty())
                    finally:
                        call.finish()
                        self._tell(call)
            except Exception:  # noqa: BLE001 (the next may fare better)
                self._logger.failure("moving what floods a log failed")
            self._since = IDLE
            # (it is kept by no variable until the next one comes)
            del call

    # IReadDescriptor.

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return -1 if self._event is None else self._event.descriptor

    def logPrefix(self) -> str:
        return "floods"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("going on with a log that is flooded failed")
    def doRead(self) -> None:
        """Report the loans that have ended to their owners."""
        if self._event is None:
            return
        with contextlib.suppress(BlockingIOError):
            self._event.take()
        ends = _monotonic() + SHARE_SECONDS
        while self._ended:
            loan = self._ended.popleft()
            try:
                loan.ended(loan)
            except Exception:  # noqa: BLE001 (the other logs wait, too)
                self._logger.failure("going on with a log that is flooded failed")
            self._count -= 1
            if self._ended and _monotonic() >= ends and self._event is not None:
                # (clients come first)
                self._event.set()
                break


def _ignore(loan: Loan) -> None:
    """Do nothing."""
