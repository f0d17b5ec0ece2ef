"""Closes the read ends of guests' pipes, also those that a guest has locked.

The last close of a pipe waits for its lock, which a process that holds the write end can keep, see
:mod:`~twisted_virtlog.syscalls`. So only a pipe without write ends, as nearly all are that end, is
closed at once. Each other one is left to a thread, which may be lost: no signal ends that wait.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from twisted_virtlog.loop.threads import DeafThread
from twisted_virtlog.syscalls import pipe_events

#: The most threads, and so the most that can be lost. With that many, pipes stay open until one of
#: them comes back; the log is closed all the same, and its guest's writes wait when it is full.
MOST_THREADS = 32

#: What the threads are called.
THREADS_NAME = "pipes to close"

#: How long a thread waits for the next pipe.
_IDLE_SECONDS = 1.0


class PipeCloser:
    """Closes pipes; what it was given belongs to it."""

    def __init__(self) -> None:
        """Start no thread before there is a pipe that needs one."""
        # Two conditions of one lock: for threads that wait for a pipe, and for who waits for them.
        self._lock = threading.Lock()
        self._given = threading.Condition(self._lock)
        self._closed = threading.Condition(self._lock)
        # The inode numbers of pipes that are not closed yet, by a number of the closing, as a
        # descriptor's may be another's before its thread goes on.
        self._unclosed: dict[int, int] = {}
        self._waiting: deque[tuple[int, int, Callable[[], object] | None]] = deque()
        self._next = 0
        self._idle = 0
        self._threads = 0

    def close(
        self,
        read_end: int,
        settled: Callable[[], Callable[[], object]] | None = None,
        has_ended: bool = False,
    ) -> None:
        """Close a read end, which nothing may use or watch any more; never waits.

        :param has_ended: the kernel has just said that it is empty, and that no write end is open.
        :param settled: see :meth:`Keeper.settled`. A thread waits for that first: where a keeper
            has the pipe too, the one that closes it last waits for the lock, and should be ours.
        :raises OSError: the descriptor is not open.
        """
        if has_ended:
            os.close(read_end)
            return
        events = pipe_events(read_end)
        if events & (select.POLLHUP | select.POLLNVAL) and not events & select.POLLIN:
            # Nobody is left who could lock it. (In one that is not empty, the lock could be held by
            # a process that opened a read end for itself.)
            os.close(read_end)
            return
        status = os.fstat(read_end)
        if not stat.S_ISFIFO(status.st_mode):
            # (what was taken over may be anything)
            os.close(read_end)
            return
        wait = settled() if settled is not None else None
        with self._lock:
            self._unclosed[self._next] = status.st_ino
            self._waiting.append((self._next, read_end, wait))
            self._next += 1
            starts = len(self._waiting) > self._idle and self._threads < MOST_THREADS
            self._threads += starts
            self._idle += starts
            self._given.notify()
        if starts:
            try:
                DeafThread(target=self._work, name=THREADS_NAME, daemon=True).start()
            except RuntimeError:
                # (no thread can be had; the next one closes this pipe too)
                with self._lock:
                    self._threads -= 1
                    self._idle -= 1

    def unclosed(self) -> Sequence[int]:
        """Return the inode numbers of pipes that are not closed yet."""
        with self._lock:
            return tuple(self._unclosed.values())

    def finish(self, seconds: float) -> Sequence[int]:
        """Wait until all is closed, or some time has passed; return as :meth:`unclosed`."""
        deadline = time.monotonic() + seconds
        with self._lock:
            self._closed.wait_for(lambda: not self._unclosed, deadline - time.monotonic())
            return tuple(self._unclosed.values())

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._given.wait_for(lambda: self._waiting, _IDLE_SECONDS):
                    self._idle -= 1
                    self._threads -= 1
                    return
                self._idle -= 1
                closing, read_end, wait = self._waiting.popleft()
            if wait is not None:
                wait()
            # (here it may stay)
            with contextlib.suppress(OSError):
                os.close(read_end)
            with self._lock:
                del self._unclosed[closing]
                self._idle += 1
                if not self._unclosed:
                    self._closed.notify_all()
