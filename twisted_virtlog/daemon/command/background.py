"""Puts the daemon into the background, while the process that was started waits for its start."""

from __future__ import annotations

import os
from contextlib import suppress

from msgspec import Struct

from twisted_virtlog.daemon.command.outcome import STDERR

#: What the daemon writes when it is ready; anything else is the reason why it is not.
_READY = b"\0"

#: How much a pipe takes at once.
_LONGEST_REASON = 4096


class Starter(Struct, frozen=True):
    """The process that was started and waits, as seen from the daemon in the background.

    :ivar descriptor: of a pipe to it.
    """

    descriptor: int

    def ready(self) -> None:
        """Let it end with status 0."""
        self._tell(_READY)

    def failed(self, reason: str) -> None:
        """Let it print the reason, and end with status 1."""
        self._tell(reason.encode("utf-8", "backslashreplace")[:_LONGEST_REASON])

    def _tell(self, message: bytes) -> None:
        # It may have been killed, which does not matter here. Python ignores SIGPIPE.
        with suppress(OSError):
            os.write(self.descriptor, message)
        os.close(self.descriptor)


class Outcome(Struct, frozen=True):
    """What became of the daemon, in the process that was started.

    :ivar reason: why it does not run; empty if it runs.
    """

    reason: str


def go_to_background() -> Starter | Outcome:
    """Fork twice, so that the daemon is nobody's child and has no terminal.

    It must be called before a reactor is made: an epoll set would be shared.

    :returns: in the daemon, the process to tell how the start went; in the process that was
        started, how it went.
    :raises OSError: no process can be made.
    """
    os.chdir("/")
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.close(write_end)
        os.waitpid(child, 0)
        with open(read_end, "rb") as told:
            return _outcome(told.read())
    os.close(read_end)
    os.setsid()
    if os.fork():
        os._exit(0)
    _leave_terminal()
    return Starter(write_end)


def _outcome(told: bytes) -> Outcome:
    if told == _READY:
        return Outcome("")
    return Outcome(told.decode(errors="replace") or "the daemon ended while it was starting")


def open_standard_streams() -> None:
    """Open those of descriptors 0 to 2 that are closed, before a guest's pipe gets one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _leave_terminal() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(STDERR + 1):
        os.dup2(nothing, descriptor)
    os.close(nothing)
