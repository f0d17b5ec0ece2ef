"""The bytes and descriptors that wait to be sent to one client, in order."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice, takewhile

from twisted_virtlog.values import LeftDescriptor, Queued

#: The kernel takes 253 descriptors with one message (SCM_MAX_FD).
_MOST_DESCRIPTORS = 253

#: So many bytes are sent before others have the reactor. A client that reads on another processor
#: makes room as fast as it is filled, so that nothing else would end it.
AT_ONCE_BYTES = 256 * 1024

#: The most plain messages that are sent by one call, which takes up to 1024 (IOV_MAX).
_TOGETHER = 256

#: To join no more bytes than this is cheaper than to let the kernel collect them.
_JOINED_BYTES = 64 * 1024


class Outgoing:
    """A queue of messages over a socket that does not block.

    A message is bytes, perhaps with descriptors, which are attached to its first byte. Bytes with
    descriptors are sent by a call of their own, never with other messages: libvirt's client reads
    a frame with a plain read and each descriptor with a one-byte message after it, and would lose
    a descriptor that comes with anything else.

    :ivar size: bytes that wait.
    """

    def __init__(self) -> None:
        self._messages: deque[tuple[bytes | memoryview, tuple[int, ...]]] = deque()
        # Those without descriptors that were added after them.
        self._added: list[bytes | memoryview] = []
        self._added_bytes = 0
        self.size = 0

    def __bool__(self) -> bool:
        return self.size > 0

    @classmethod
    def resumed(cls, messages: Sequence[Queued]) -> Outgoing:
        """Go on with a queue of the daemon's former image."""
        outgoing = cls()
        for message in messages:
            outgoing.add(message.data, message.descriptors)
        return outgoing

    def suspended(self) -> tuple[Queued, ...]:
        """Return what the daemon's next image needs to go on with the queue."""
        self._queue_added()
        return tuple(
            Queued(_bytes(data), tuple(map(int, descriptors)))
            for data, descriptors in self._messages
        )

    def add(self, data: bytes | memoryview, descriptors: Sequence[int] = ()) -> None:
        """Queue a message and take its descriptors over.

        :param data: no bytes are no message.
        :param descriptors: at most 253 for each byte.
        """
        size = len(data)
        self.size += size
        if not descriptors:
            # (most answers are short, and there are many)
            self._added.append(data)
            self._added_bytes += size
            return
        self._queue_added()
        view = memoryview(data)
        while len(descriptors) > _MOST_DESCRIPTORS and len(view) > 1:
            self._messages.append((view[:1], tuple(descriptors[:_MOST_DESCRIPTORS])))
            view, descriptors = view[1:], descriptors[_MOST_DESCRIPTORS:]
        self._messages.append((view, tuple(descriptors)))

    def _queue_added(self) -> None:
        """Put those without descriptors after the others, as one if they are short."""
        added = self._added
        if len(added) > 1 and self._added_bytes <= _JOINED_BYTES:
            self._messages.append((b"".join(added), ()))
        else:
            self._messages.extend((data, ()) for data in added if data)
        self._added, self._added_bytes = [], 0

    def send(self, sock: socket.socket) -> bool:
        """Send as much as the socket takes at once, and close the descriptors that were sent.

        :returns: whether everything was sent; else the socket may take more already.
        :raises OSError: the client is gone.
        """
        if self._added:
            self._queue_added()
        left = AT_ONCE_BYTES
        try:
            while self._messages and left > 0:
                left -= self._send_first(sock, left)
        except BlockingIOError:
            return False
        return not self._messages

    def close(self) -> None:
        """Drop everything that waits, and close its descriptors."""
        for _, descriptors in self._messages:
            close_all(descriptors)
        self._messages.clear()
        self._added, self._added_bytes, self.size = [], 0, 0

    def _send_first(self, sock: socket.socket, most: int) -> int:
        """Send of what is first, and what can go with it; return how many bytes were taken."""
        data, descriptors = self._messages[0]
        if not descriptors and len(self._messages) > 1:
            return self._send_together(sock, most)
        if descriptors:
            sent = socket.send_fds(sock, [_beginning(data, most)], descriptors)
            close_all(descriptors)
        else:
            sent = sock.send(_beginning(data, most))
        self.size -= sent
        if sent == len(data):
            self._messages.popleft()
        else:
            self._messages[0] = (memoryview(data)[sent:], ())
        return sent

    def _send_together(self, sock: socket.socket, most: int) -> int:
        """Send the plain messages at the head, up to a number, without a copy of them."""
        plain = takewhile(lambda message: not message[1], islice(self._messages, _TOGETHER))
        parts: list[bytes | memoryview] = []
        for data, _ in plain:
            parts.append(_beginning(data, most))
            most -= len(data)
            if most <= 0:
                break
        sent = taken = sock.sendmsg(parts)
        self.size -= sent
        while sent:
            data, _ = self._messages[0]
            if sent < len(data):
                self._messages[0] = (memoryview(data)[sent:], ())
                break
            sent -= len(data)
            self._messages.popleft()
        return taken


def _beginning(data: bytes | memoryview, most: int) -> bytes | memoryview:
    """Return up to so many bytes, without copying them."""
    return data if len(data) <= most else memoryview(data)[:most]


def _bytes(data: bytes | memoryview) -> bytes:
    """Return the bytes of a view, without a copy if they are all of an object."""
    if isinstance(data, bytes):
        return data
    whole = data.obj
    return whole if isinstance(whole, bytes) and len(whole) == len(data) else bytes(data)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors, whatever their state."""
    for descriptor in descriptors:
        if isinstance(descriptor, LeftDescriptor):
            descriptor.leave()
            continue
        with suppress(OSError):
            os.close(descriptor)
