"""Ends the process, whatever its threads are at.

A thread in a call of a file system that does not answer holds up the end of its process until that
answers: the process becomes a zombie, with everything that is open in it still open. Clients would
wait for answers, guests for somebody to read, and a successor for sockets and for the pid file. So
what anybody waits for is closed by hand first.

What is on that file system, and a lane's lock, stays as it is: that it is free is to say that the
thread has done the last that it will do.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from twisted_virtlog.daemon.log.observer import OwnLog
from twisted_virtlog.logs.pipes.closing import THREADS_NAME, PipeCloser
from twisted_virtlog.loop.threads import DeafThread

#: After so long nothing that hangs is waited for any more. The interpreter has as long to end.
_SECONDS = 5.0

#: How long the reactor has to end, at least, once all is written.
_REACTOR_SECONDS = 1.0

#: How long each thing that is closed by hand may take.
_STEP_SECONDS = 0.5

#: How often to look whether the time has come.
_LOOK_SECONDS = 0.1

_STANDARD = (0, 1, 2)

_TASKS = Path("/proc/self/task")
_DESCRIPTORS = Path("/proc/self/fd")

# Field 1 of /proc/TASK/stat after the name: uninterruptible sleep (proc_pid_stat(5)).
_WAITS = b"D"


class Ending:
    """The end of this process.

    :ivar status: returns the exit status with which the process ends.
    """

    def __init__(self, hung: Callable[[], Sequence[str]], own_log: OwnLog) -> None:
        """Do nothing yet.

        :param hung: returns, in words, why threads do not end; called in any thread.
        """
        self.status: Callable[[], int] = lambda: 0
        self._hung = hung
        self._own_log = own_log
        # (twistd has taken it off the global one before the interpreter's end)
        self._logger = Logger(observer=own_log)
        self._releases: list[Callable[[], object]] = []
        # On CLOCK_MONOTONIC; None until the process is to end.
        self._deadline: float | None = None
        self._is_written = False
        # Since when something hangs, on CLOCK_MONOTONIC; None if nothing does.
        self._hangs_since: float | None = None
        self._watching: DeafThread | None = None
        self._once = threading.Lock()

    def release(self, release: Callable[[], object]) -> None:
        """Have something released by hand if the process cannot end, such as a pid file.

        :param release: is called in another thread, once, and may take half a second.
        """
        self._releases.append(release)

    def begin(self) -> None:
        """Take note that the process is to end, and see to it that it does."""
        if self._deadline is None:
            self._deadline = time.monotonic() + _SECONDS
            self._watching = DeafThread(target=self._watch, name="end of the process", daemon=True)
            self._watching.start()

    def written(self) -> None:
        """Take note that the service has ended: nothing else is worth waiting for."""
        if self._deadline is not None:
            self._deadline = max(self._deadline, time.monotonic() + _REACTOR_SECONDS)
        self._is_written = True

    def finish(self) -> None:
        """Take note that the reactor has ended; end the process if a thread holds that up."""
        if self._deadline is None:
            return
        deadline = time.monotonic() + _STEP_SECONDS
        # (a disk that is busy does not hang)
        while reasons := self._reasons():
            if time.monotonic() > deadline:
                self._end_by_hand(reasons)
                return
            time.sleep(_LOOK_SECONDS)
        self._deadline = time.monotonic() + _SECONDS

    def _watch(self) -> None:
        """Wait for the process's end; then for what it waits for."""
        while not self._is_late():
            time.sleep(_LOOK_SECONDS)
        self._end_by_hand(self._reasons() or _running())

    def _is_late(self) -> bool:
        now = time.monotonic()
        if not self._hung():
            self._hangs_since = None
        elif self._hangs_since is None:
            self._hangs_since = now
        if self._deadline is None or now < self._deadline:
            return False
        # (guests' output is written for as long as that takes, where nothing hangs; a pipe that is
        # being closed looks for a moment like one that cannot be)
        hangs = self._hangs_since is not None and now - self._hangs_since >= _STEP_SECONDS
        return self._is_written or hangs

    def _reasons(self) -> Sequence[str]:
        return [*self._hung(), *(f"the thread {name!r} waits" for name in self._late_threads())]

    def _late_threads(self) -> list[str]:
        """Return the names of threads that something in the kernel keeps from ending.

        One that waits for a server of FUSE looks like any that waits, until it is killed: so those
        that have not ended with the service count as well.
        """
        present = threading.current_thread(), self._watching
        late = [
            one.name
            for one in threading.enumerate()
            if isinstance(one, DeafThread)
            and one.daemon
            and one not in present
            # (which wait for more to close; those that hang are known)
            and one.name != THREADS_NAME
        ]
        return list(dict.fromkeys((*late, *waiting_threads())))

    def _end_by_hand(self, reasons: Sequence[str]) -> None:
        if not self._once.acquire(blocking=False):
            return
        pipes = _guests_pipes()
        self._logger.error(
            "{reasons}; the daemon has stopped and closes what anybody waits for, but this process,"
            " {pid}, ends only when that is over",
            reasons="; ".join(reasons),
            pid=os.getpid(),
        )
        for release in self._releases:
            _within(release)
        sockets = _close_streams()
        closer = PipeCloser()
        for pipe in pipes:
            with suppress(OSError):
                closer.close(pipe)
        unclosed = closer.finish(_STEP_SECONDS)
        self._logger.warn(
            "closed by hand: {sockets} sockets, {pipes} of {all} guests' pipes",
            sockets=sockets,
            pipes=len(pipes) - len(unclosed),
            all=len(pipes),
        )
        self._own_log.let_go(_STEP_SECONDS)
        _within(_close_standard_streams)
        os._exit(self.status())


def waiting_threads() -> list[str]:
    """Return the names of this process's threads that no signal would end now."""
    names = {one.native_id: one.name for one in threading.enumerate()}
    found = []
    for task in _TASKS.iterdir():
        with suppress(OSError):
            state = (task / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state == _WAITS:
                found.append(names.get(int(task.name), task.name))
    return found


def _running() -> list[str]:
    """Return what else holds up the end of the process: threads that it waits for."""
    present = threading.current_thread(), threading.main_thread()
    return [
        f"the thread {one.name!r} does not end"
        for one in threading.enumerate()
        if not one.daemon and one not in present
    ] or ["something does not end"]


def _within(call: Callable[[], object]) -> None:
    """Call something in a thread, and wait for it for some time."""
    thread = DeafThread(target=call, name="what is released", daemon=True)
    with suppress(RuntimeError):
        thread.start()
        thread.join(_STEP_SECONDS)


def _links() -> dict[int, str]:
    """Return what all descriptors are, in the kernel's words; no file is touched."""
    found = {}
    for descriptor in _DESCRIPTORS.iterdir():
        with suppress(OSError):
            found[int(descriptor.name)] = os.readlink(descriptor)
    return found


def _guests_pipes() -> list[int]:
    """Return the read ends of pipes that have no write end in this process.

    One that has both ends here is nobody's but ours, such as a lane's, which its thread may keep
    locked.
    """
    found: dict[str, list[int]] = {}
    for descriptor, link in _links().items():
        if link.startswith("pipe:") and descriptor not in _STANDARD:
            found.setdefault(link, []).append(descriptor)
    return [
        descriptor
        for descriptors in found.values()
        if all(_is_read_end(one) for one in descriptors)
        for descriptor in descriptors
    ]


def _is_read_end(descriptor: int) -> bool:
    try:
        text = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    except OSError:
        return False
    flags = re.search(r"^flags:\s*([0-7]+)$", text, re.MULTILINE)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE == os.O_RDONLY


def _close_streams() -> int:
    """Close all sockets of connections, those that listen included; return how many there were.

    The own log's are not of that kind.
    """
    closed = 0
    for descriptor, link in _links().items():
        if link.startswith("socket:") and descriptor not in _STANDARD:
            with suppress(OSError):
                one = socket.socket(fileno=descriptor)
                if one.type == socket.SOCK_STREAM:
                    one.close()
                    closed += 1
                else:
                    one.detach()
    return closed


def _close_standard_streams() -> None:
    """Let whoever waits for the end of what this process prints see it."""
    links = _links()
    for descriptor in _STANDARD:
        if links.get(descriptor, "").startswith(("pipe:", "socket:")):
            with suppress(OSError):
                os.close(descriptor)
