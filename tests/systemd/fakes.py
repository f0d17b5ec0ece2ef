"""What talks to the service manager, and the manager's end of it."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.task import Clock

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.systemd.notify import Notifier


class Ear:
    """The socket that $NOTIFY_SOCKET names.

    :ivar descriptors: all that came, in order.
    """

    def __init__(self, address: str) -> None:
        self.descriptors: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def heard(self) -> list[str]:
        """Give the messages that have come."""
        messages = []
        while True:
            try:
                text, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return messages
            messages.append(text.decode())
            for _, _, content in ancillary:
                found = array.array("i", content)
                self.descriptors += found

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()
        while self.descriptors:
            os.close(self.descriptors.pop())


class Line:
    """A notifier with both its ends.

    :ivar address: where the ear is.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.reactor = FakeReactor()
        self.time = Clock()
        self.ear = Ear(address)
        self.notifier = Notifier(self.reactor, self.time, address)

    def fill(self) -> int:
        """Send until a message has to wait; tell how many were sent before."""
        sent = 0
        while not self.notifier.unsent:
            self.notifier.send(f"X_NUMBER={sent}")
            sent += 1
        return sent - 1

    def all_heard(self) -> list[str]:
        """Let all that waits come through, and give it."""
        messages = self.ear.heard()
        while self.reactor.turn():
            messages += self.ear.heard()
        return messages


@contextmanager
def line(directory: Path) -> Iterator[Line]:
    """Make a notifier and the manager's end."""
    made = Line(str(directory / "notify"))
    try:
        yield made
    finally:
        made.ear.close()
        made.notifier.close()
