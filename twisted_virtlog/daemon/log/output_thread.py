"""Threads that do what may hang: one for each file of the own log, and one for standard error.

poll(2) says of a regular file that it can be written, always, and write(2), open(2) and close(2)
take as long as its disk or server does. So only a thread that nobody waits for calls them. It is
not one of the reactor's, whose end the reactor waits for, and it is a daemonic one, which the end
of the interpreter does not wait for either.

Whoever logs waits for no lock: neither for one that a thread holds that hangs, nor, in a finaliser
that logs, for one that its own thread holds.
"""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias
from weakref import WeakValueDictionary

from twisted_virtlog.loop import signals

#: When this much waits in a queue, nothing more is taken: bytes, and what an entry needs beside
#: its own.
MOST_BYTES = 1024 * 1024
ENTRY_BYTES = 512

#: How long the end of the process, and a fork, wait for what is not written yet.
_END_SECONDS = 1.0

#: What a thread does; it raises nothing.
_Job: TypeAlias = Callable[[], object]


class OutputThread:
    """The thread of one place, and its queue; what is put there is done in that order.

    It begins when there is something to do, and ends when it is done and no output needs the place
    any more. A place whose disk hangs has one thread, however often it is opened meanwhile.

    :ivar name: the place: the path of a file, for example.
    :ivar users: how many open outputs need it.
    :ivar untold: how many messages were missed and are not yet told of; the thread's own.
    :ivar is_interruptible: what it waits for ends with the process, as a full pipe does; a disk
        holds up the process's end, and an exec, until it answers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 0
        self.untold = 0
        self.is_interruptible = False
        self._start_over()

    def _start_over(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        # Held for as long as the thread runs.
        self._running = threading.Lock()
        self._since: float | None = None
        self._offered: deque[tuple[int, _Job]] = deque()
        # Held by who takes what was offered, and never waited for.
        self._taking = threading.Lock()
        self._taken = 0
        self._done = 0
        self._missed = 0

    def offer(self, size: int, job: _Job) -> None:
        """Have a message written, if there is room for it; otherwise count it as missed.

        Any thread may do so.

        :param size: the bytes that it occupies while it waits.
        :param job: writes it.
        """
        self._offered.append((size, job))
        # If somebody else is taking, this is taken too: who has taken looks again at the end.
        while self._offered and self._taking.acquire(blocking=False):
            try:
                while self._offered:
                    self._take(*self._offered.popleft())
            finally:
                self._taking.release()

    def do(self, job: _Job) -> None:
        """Have something done after all that was put there before, however much it is."""
        self._jobs.put(job)
        self._ensure_thread()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and no thread runs."""
        return not self._running.locked() and self._jobs.empty()

    def is_silent(self, seconds: float) -> bool:
        """Return whether what it does now has taken longer than some seconds."""
        since = self._since
        return since is not None and time.monotonic() - since > seconds

    def start_over_in_child(self) -> None:
        """Forget the thread, which a fork leaves behind, and what waits for it there."""
        self._start_over()

    def _take(self, size: int, job: _Job) -> None:
        if self._taken - self._done >= MOST_BYTES:
            self._missed += 1
            return
        size += ENTRY_BYTES
        self._taken += size
        missed, self._missed = self._missed, 0
        self.do(partial(self._write, size, missed, job))

    def _write(self, size: int, missed: int, job: _Job) -> None:
        self.untold += missed
        try:
            job()
        finally:
            self._done += size

    def _ensure_thread(self) -> None:
        if self._running.acquire(blocking=False):
            try:
                # threading.Thread.start would wait until it runs.
                _thread.start_new_thread(self._run, ())
            except RuntimeError:
                # There are too many; the next message tries again.
                self._running.release()

    def _run(self) -> None:
        signals.block()
        while True:
            job = self._jobs.get()
            self._since = time.monotonic()
            # (one that fails all the same must not end the thread)
            with suppress(Exception):
                job()
            self._since = None
            del job
            if self.users or not self._jobs.empty():
                continue
            self._running.release()
            # Somebody may have put a job there who found the thread running.
            if self._jobs.empty() or not self._running.acquire(blocking=False):
                return


# A thread that runs keeps its own entry.
_threads: WeakValueDictionary[str, OutputThread] = WeakValueDictionary()


def thread_of(name: str) -> OutputThread:
    """Return the one thread of a place."""
    thread = _threads.get(name)
    if thread is None:
        thread = _threads[name] = OutputThread(name)
    return thread


def flush(seconds: float) -> list[OutputThread]:
    """Wait until all that waits now is done, in all places, but no longer than some seconds.

    :returns: the threads that have not done it.
    """
    deadline = time.monotonic() + seconds
    waiting = []
    for thread in list(_threads.values()):
        if not thread.is_idle:
            done = threading.Event()
            thread.do(done.set)
            waiting.append((thread, done))
    return [
        thread for thread, done in waiting if not done.wait(max(0, deadline - time.monotonic()))
    ]


def _start_over_in_child() -> None:
    for thread in list(_threads.values()):
        thread.start_over_in_child()


def _finish() -> None:
    flush(_END_SECONDS)


atexit.register(_finish)
# What waits belongs to the process that logged it, and its thread does not go over to the child. So
# before a daemon goes to the background, its messages are written.
os.register_at_fork(before=_finish, after_in_child=_start_over_in_child)
