"""Looks from a thread of its own whether the reactor turns, and tells what it is in if it does not.

One call that waits (for a disk, for a server, for another process) holds up every log and every
client, and nothing in the reactor's thread can say so. This thread waits for nothing that the
reactor may hold: it takes no lock of the daemon and touches no path.

The daemon's work knows nothing of it. A reactor that waits for events is found in its call that
waits; only one that is at work is asked for a sign that it turned.
"""

from __future__ import annotations

import enum
import selectors
import threading
import time
from asyncio import BaseEventLoop
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import CodeType

from twisted.internet.interfaces import IReactorThreads
from twisted.logger import Logger

from twisted_virtlog.loop.concern import Concern
from twisted_virtlog.loop.durations import Durations
from twisted_virtlog.loop.stack import innermost, place
from twisted_virtlog.loop.stalls import Judge, Look, StallCounts
from twisted_virtlog.loop.threads import DeafThread

#: The methods of Twisted's reactors that wait for events, or run a loop written in C that does.
_WAITING_METHODS = ("doIteration", "mainLoop", "run")

_NANOSECOND = 1e-9

#: The functions of Linux in which a thread waits that asks for the lock of a pipe (wchan, seen with
#: 6.18; the names of older kernels are those without ``anon_``). One that waits for a file system
#: is in a function of that.
PIPE_FUNCTIONS = frozenset(
    {
        "anon_pipe_read",
        "fifo_open",
        "iter_file_splice_write",
        "pipe_double_lock",
        "pipe_fcntl",
        "pipe_ioctl",
        "pipe_lock",
        "pipe_read",
    }
)


class StallCause(enum.Enum):
    """What a stall was about, as far as the reactor's stack tells."""

    #: The lock of a log's pipe, which a guest keeps.
    PIPE = "pipe"
    #: A log, and so most likely its file system.
    LOG = "log"
    #: What a client asked for, and no log.
    CLIENT = "client"
    OTHER = "other"


def _cause(kernel: str | None, concern: Concern) -> StallCause:
    """Return the cause of a stall, by the kernel's function and what the call concerns."""
    if concern.path is not None:
        return StallCause.PIPE if kernel in PIPE_FUNCTIONS else StallCause.LOG
    return StallCause.OTHER if concern.client is None else StallCause.CLIENT


class StallWatch:
    """Watches a reactor from its next turn on, until :meth:`stop`.

    Where a reactor waits is known of Twisted's that are written in Python, and of asyncio's loop.
    Another one is asked for a sign at each look, and is watched as well.
    """

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorThreads,
        mount_of: Callable[[str], str | None],
        pipe_locked: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Do nothing before :meth:`start`.

        :param mount_of: describes the mount that a path lies on, without touching the path; None if
            that cannot be told. It is called in the watch's thread.
        :param pipe_locked: called in the reactor's thread with the path of a log, once the reactor
            turns again that waited for the lock of that log's pipe.
        """
        self._reactor = reactor
        self._mount_of = mount_of
        self._pipe_locked = pipe_locked
        self._ended = threading.Event()
        self._judge: Judge | None = None
        # What the last stall concerned, for the line that says that it is over, and its cause.
        self._concerned = ""
        self._cause = StallCause.OTHER
        self._by_cause: dict[StallCause, StallCounts] = {}

    @property
    def counts(self) -> StallCounts:
        """What was counted so far; any thread may ask."""
        return StallCounts() if self._judge is None else self._judge.counts

    @property
    def by_cause(self) -> Mapping[StallCause, StallCounts]:
        """What was counted so far by what stalls were about; any thread may ask."""
        return dict(self._by_cause)

    @property
    def turns(self) -> Durations:
        """How long the reactor took to its next turn, each time that it was at work at a look."""
        return Durations() if self._judge is None else self._judge.turns

    def start(self) -> None:
        """Watch once the reactor turns: what comes before it runs is no stall."""
        self._reactor.callFromThread(self._begin)

    def stop(self) -> None:
        """End the thread; nobody need wait for that."""
        self._ended.set()

    def _begin(self) -> None:
        if self._ended.is_set():
            return
        watched = _Watched(self._reactor)
        judge = self._judge = Judge(watched.look(wants_queued=True))
        # Daemonic: the process may end while the own log's disk holds this thread.
        DeafThread(
            name="stall watch", target=self._watch, args=(watched, judge), daemon=True
        ).start()

    def _watch(self, watched: _Watched, judge: Judge) -> None:
        try:
            while not self._ended.wait(judge.due):
                stall = judge.judge(watched.look(judge.wants_sign))
                if judge.wants_sign:
                    watched.ask_for_sign()
                if stall is None:
                    continue
                if stall.is_over:
                    self._tell_end(stall.seconds)
                else:
                    self._tell(stall.seconds, watched)
        except Exception:  # noqa: BLE001 (there is nobody else to tell)
            if not self._ended.is_set():
                self._logger.failure("stalls of the reactor are not watched for any more")

    def _tell(self, seconds: float, watched: _Watched) -> None:
        found = place(watched.thread)
        if found is None:
            return
        where = found.function
        kernel = watched.kernel_function()
        if kernel is not None:
            where += f", in the kernel's {kernel}"
        if found.own not in {None, found.function}:
            where += f", of {found.own}"
        concern = found.concern
        self._begin_cause(_cause(kernel, concern))
        self._concerned = self._described(concern)
        path = concern.path
        if kernel in PIPE_FUNCTIONS and path is not None:
            self._concerned += ", whose guest keeps its pipe locked"
            self._reactor.callFromThread(lambda: self._pipe_locked(path))
        client = concern.client
        asked = f", called by the client with pid {client.pid}, uid {client.uid}" if client else ""
        self._logger.warn(
            "the reactor has stood still for {seconds:.2f} s: in {where}{concerned}{asked};"
            " nobody is served until it turns again",
            seconds=seconds,
            where=where,
            concerned=self._concerned,
            asked=asked,
        )

    def _begin_cause(self, cause: StallCause) -> None:
        self._cause = cause
        self._by_cause[cause] = self._by_cause.get(cause, StallCounts()).with_begun()

    def _tell_end(self, seconds: float) -> None:
        counts = self._by_cause.get(self._cause)
        if counts is not None:
            self._by_cause[self._cause] = counts.with_ended(seconds)
        self._logger.warn(
            "the reactor turns again, after {seconds:.2f} s{concerned}",
            seconds=seconds,
            concerned=self._concerned,
        )

    def _described(self, concern: Concern) -> str:
        if concern.path is None:
            return ""
        mount = self._mount_of(concern.real_path or concern.path)
        if mount is None:
            return f", for the log {concern.path}"
        unless = "" if concern.real_path else ", unless a symbolic link leads elsewhere"
        return f", for the log {concern.path} (mount {mount}{unless})"


def task_of(thread: int) -> str:
    """Return the directory in which the kernel tells of a thread of this process.

    :param thread: its number, as threading.get_native_id returns it.
    """
    return f"/proc/self/task/{thread}"


def kernel_function(task: str) -> str | None:
    """Return the function of the kernel that a thread waits in; None if it waits in none.

    :param task: see :func:`task_of`.
    """
    name = _read(task, "wchan")
    return name if name not in {"", "0"} else None


def _read(task: str, name: str) -> str:
    with suppress(OSError), open(f"{task}/{name}", encoding="ascii") as file:
        return file.read()
    return ""


class _Watched:
    """A reactor, as it is seen from beside it; made in its own thread.

    :ivar thread: that thread's identifier.
    """

    def __init__(self, reactor: IReactorThreads) -> None:
        self.thread = threading.get_ident()
        self._reactor = reactor
        self._waiting = frozenset(_waiting(reactor))
        self._selecting = frozenset(_selecting())
        self._processor_clock = time.pthread_getcpuclockid(self.thread)
        self._task = task_of(threading.get_native_id())
        self._asked = False
        self._turned_at: float | None = None

    def look(self, wants_queued: bool) -> Look:
        """Look at it.

        :param wants_queued: see :attr:`Look.queued`; it is wanted as well if the reactor works.
        """
        at_work = self._is_at_work()
        turned_at, self._turned_at = self._turned_at, None
        if turned_at is not None:
            self._asked = False
        queued = self._queued() if at_work or wants_queued else 0.0
        return Look(time.monotonic(), self._processor_time(), queued, at_work, turned_at)

    def ask_for_sign(self) -> None:
        """Ask it to say when it turned, unless it was asked before and has not said so yet.

        This appends to a list, and writes to a pipe or a socket that does not block.
        """
        if not self._asked:
            self._asked = True
            self._reactor.callFromThread(self._turned)

    def kernel_function(self) -> str | None:
        """Return the function of the kernel that its thread waits in; None if it waits in none."""
        return kernel_function(self._task)

    def _turned(self) -> None:
        self._turned_at = time.monotonic()

    def _is_at_work(self) -> bool:
        # One that was stopped turns no more, and its thread may have ended or do something else.
        if not getattr(self._reactor, "running", True):
            return False
        functions = innermost(self.thread)
        if not functions or functions[0] in self._waiting:
            return False
        # asyncio's loop waits in functions that others call as well.
        return functions[0] not in self._selecting or functions[1:] != (_ASYNCIO_TURN,)

    def _processor_time(self) -> float:
        # (there is no such clock once the thread has ended)
        with suppress(OSError):
            return time.clock_gettime(self._processor_clock)
        return 0.0

    def _queued(self) -> float:
        # A kernel that does not keep it says nothing.
        fields = self._read("schedstat").split()
        return int(fields[1]) * _NANOSECOND if len(fields) > 1 else 0.0

    def _read(self, name: str) -> str:
        return _read(self._task, name)


_ASYNCIO_TURN = BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # noqa: SLF001


def _waiting(reactor: object) -> Iterator[CodeType]:
    for name in _WAITING_METHODS:
        code = getattr(getattr(type(reactor), name, None), "__code__", None)
        if isinstance(code, CodeType):
            yield code


def _selecting() -> Iterator[CodeType]:
    for selector in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
        yield selector.select.__code__
