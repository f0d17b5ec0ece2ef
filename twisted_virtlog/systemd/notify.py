"""Notifies the service manager: sends the datagrams of sd_notify(3), in order.

Sending never blocks. What the manager's queue does not take now waits here, with its descriptors,
until the socket is writable.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
from collections import deque
from collections.abc import Callable

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.clock import Clock

#: How long to wait when too many descriptors are in flight (ETOOMANYREFS); the socket would be
#: writable all the time.
_PAUSE_SECONDS = 0.05

#: How long the manager has to take what waits, when the daemon ends.
_LAST_SECONDS = 5.0


class _Outcome(enum.Enum):
    """What became of a message."""

    DONE = enum.auto()
    FULL = enum.auto()
    REFUSED = enum.auto()


class _Message(Struct, frozen=True):
    """A datagram and the descriptor that goes with it."""

    text: str
    descriptor: int | None

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def parse_address(address: str | None) -> str | None:
    """Read $NOTIFY_SOCKET: an absolute path, or a name with ``@`` in place of its first NUL.

    :returns: an address for :mod:`socket`; None if there is no address, or one of another kind.
    """
    if not address or address[0] not in "/@" or len(address) == 1:
        return None
    return f"\0{address[1:]}" if address[0] == "@" else address


@implementer(IWriteDescriptor)
class Notifier:
    """The way to the service manager.

    A manager that is gone costs a warning, and messages for it are dropped.

    :ivar drained: called when the last message that waited is sent.
    """

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet, clock: Clock, address: str) -> None:
        """Send nothing yet.

        :param address: see :func:`parse_address`.
        """
        self._reactor = reactor
        self._clock = clock
        self._address = address
        self._queue: deque[_Message] = deque()
        self._socket: socket.socket | None = None
        self._writing = False
        self._pause: IDelayedCall | None = None
        self._warned = False
        self._closed = False
        self.drained: Callable[[], None] = _nothing

    @property
    def busy(self) -> bool:
        """Whether messages wait."""
        return bool(self._queue)

    @property
    def unsent(self) -> list[str]:
        """The messages that wait, in order."""
        return [message.text for message in self._queue]

    def send(self, *lines: str, descriptor: int | None = None, urgent: bool = False) -> None:
        """Send a message after all before it; never blocks and never raises.

        :param lines: assignments, as ``READY=1``.
        :param descriptor: sent along; the caller still owns it.
        :param urgent: whether it goes before those that wait, with which it has nothing to do.
        """
        if self._closed:
            return
        text = "\n".join(lines)
        if urgent or not self._queue:
            outcome = self._attempt(_Message(text, descriptor))
            if outcome is _Outcome.DONE:
                if self._queue:
                    # If the manager turned out to be gone, nothing else would send those that wait.
                    self._wait(_Outcome.REFUSED)
                return
            self._wait(outcome)
        try:
            # The caller may close its own before the message is sent.
            message = _Message(text, None if descriptor is None else os.dup(descriptor))
        except OSError as error:
            self._warn(text, error)
            return
        if urgent:
            self._queue.appendleft(message)
        else:
            self._queue.append(message)

    def close(self) -> None:
        """Send what waits, for some seconds at most, and nothing from then on."""
        self._closed = True
        self._stop_waiting()
        deadline = self._clock.seconds() + _LAST_SECONDS
        while self._queue and self._socket is not None:
            self._socket.settimeout(max(deadline - self._clock.seconds(), 0.001))
            if self._attempt(self._queue[0]) is not _Outcome.DONE:
                break
            self._queue.popleft().close()
        while self._queue:
            self._queue.popleft().close()
        self._disconnect()

    # The reactor's side.

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 without a socket."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "service manager"

    def doWrite(self) -> None:
        """Send what the manager takes."""
        self._stop_waiting()
        while self._queue:
            outcome = self._attempt(self._queue[0])
            if outcome is not _Outcome.DONE:
                self._wait(outcome)
                return
            self._queue.popleft().close()
        self.drained()

    def connectionLost(self, reason: Failure) -> None:
        """Try again: the manager closed its socket, and perhaps has another."""
        self._writing = False
        self._disconnect()
        self.doWrite()

    def _attempt(self, message: _Message) -> _Outcome:
        """Try to send a message; drop it if there is nobody to send it to."""
        descriptors = [] if message.descriptor is None else [message.descriptor]
        try:
            if self._socket is None:
                self._socket = self._connected()
            socket.send_fds(self._socket, [message.text.encode()], descriptors)
        except (BlockingIOError, TimeoutError):
            return _Outcome.FULL
        except OSError as error:
            if error.errno in {errno.ETOOMANYREFS, errno.ENOBUFS}:
                return _Outcome.REFUSED
            self._warn(message.text, error)
            # The next message may find another manager.
            self._stop_waiting()
            self._disconnect()
        else:
            self._warned = False
        return _Outcome.DONE

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _wait(self, outcome: _Outcome) -> None:
        """Come back when the manager takes more."""
        if self._writing or self._pause is not None:
            return
        if outcome is _Outcome.FULL:
            self._writing = True
            self._reactor.addWriter(self)
        else:
            self._pause = self._clock.callLater(_PAUSE_SECONDS, self._paused)

    def _paused(self) -> None:
        self._pause = None
        self.doWrite()

    def _stop_waiting(self) -> None:
        if self._writing:
            self._writing = False
            self._reactor.removeWriter(self)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _warn(self, text: str, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            self._logger.warn(
                "the service manager at {address} cannot be sent {message}: {error}; it may end"
                " the daemon, and logs will not outlive it",
                address=self._address.replace("\0", "@"),
                message=text.replace("\n", " "),
                error=error.strerror or error,
            )


def _nothing() -> None:
    """Do nothing; nobody waits until the queue is empty."""
