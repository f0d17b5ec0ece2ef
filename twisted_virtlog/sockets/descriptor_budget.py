"""Bounds the descriptors that are on their way to clients who asked for many.

The kernel counts the descriptors that were sent and not received yet, of the user that the daemon
runs as, and passes on no more at RLIMIT_NOFILE. A client that asks for many and reads none would
stop log.open so, for all guests. The same goes for a client that shut down only its writing side,
whose connection has ended here: what is on its way to it stays there until it reads or closes.

Nobody says when a descriptor is received. But it is as soon as the client has read all that was
sent, and that the kernel tells of each socket (SIOCOUTQ). It is asked when another client wants
descriptors, or the same one does again.
"""

from __future__ import annotations

import resource
import socket
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from twisted_virtlog.errors import LimitReached
from twisted_virtlog.syscalls import bytes_unread

#: The name of the limit, for clients.
LIMIT = "descriptors"

#: No more than so many are ever on their way.
_MOST = 1024

#: They leave this many times as many to others.
_SHARE = 8


class Holder(Protocol):
    """A client's connection, as the budget sees it."""

    def has_arrived(self) -> bool:
        """Whether the client has read all that was sent."""


class _Part(Struct):
    """What one client has asked for.

    :ivar count: of descriptors; of those that there may be, while the daemon looks for them.
    :ivar is_settled: it is known how many they are.
    :ivar is_sent: they were given to the connection.
    """

    count: int
    is_settled: bool = False
    is_sent: bool = False


class _Ended:
    """A connection that has ended, with descriptors on their way."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def has_arrived(self) -> bool:
        """See Holder; the socket is closed then."""
        if bytes_unread(self._socket.fileno()):
            return False
        self._socket.close()
        return True

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


class DescriptorBudget:
    """Counts descriptors on their way, and says who may have more; see the module."""

    def __init__(self, limit: int) -> None:
        """Begin with none on their way.

        :param limit: how many there may be.
        """
        self._limit = limit
        self._parts: dict[Holder, _Part] = {}

    @property
    def count(self) -> int:
        """How many are, or may be, on their way."""
        return sum(part.count for part in self._parts.values())

    def claim(self, holder: Holder, most: int) -> None:
        """Let a client ask for descriptors.

        :param most: of those that the answer may come with.
        :raises LimitReached: an answer with descriptors is on its way to it already, or too many
            are to others.
        """
        part = self._parts.get(holder)
        if part is not None and not self._arrived(holder, part):
            raise LimitReached(
                "an answer with descriptors is on its way to this client already; ask again once"
                " it is read",
                LIMIT,
            )
        if self.count + most > self._limit:
            for other, others in list(self._parts.items()):
                self._arrived(other, others)
        if self.count + most > self._limit:
            raise LimitReached(
                f"{self.count} descriptors are on their way to clients that have not read them, and"
                f" there may be no more than {self._limit}; ask again later",
                LIMIT,
            )
        self._parts[holder] = _Part(most)

    def settle(self, holder: Holder, count: int) -> None:
        """Note with how many descriptors the answer comes."""
        part = self._parts.get(holder)
        if part is None:
            # (the client is gone)
            return
        part.count, part.is_settled = count, True
        if not count:
            del self._parts[holder]

    def sent(self, holder: Holder) -> None:
        """Note that a connection was given descriptors."""
        part = self._parts.get(holder)
        # (others may come before them, of an earlier request in the same batch)
        if part is not None and part.is_settled:
            part.is_sent = True

    def held(self, holder: Holder) -> int:
        """Return how many are on their way to a client, for the daemon's next image."""
        part = self._parts.get(holder)
        return 0 if part is None or not part.is_sent or holder.has_arrived() else part.count

    def resume(self, holder: Holder, count: int) -> None:
        """Go on with a client to which the daemon's former image has sent so many."""
        if count > 0:
            self._parts[holder] = _Part(count, is_settled=True, is_sent=True)

    def leave(self, holder: Holder, sock: socket.socket) -> None:
        """Note that a connection ends.

        :param sock: its socket, which is still open and is closed next.
        """
        part = self._parts.pop(holder, None)
        if part is None or not part.is_sent or not bytes_unread(sock.fileno()):
            return
        with suppress(OSError):
            # (the client is to see the end all the same)
            copy = sock.dup()
            copy.shutdown(socket.SHUT_RDWR)
            self._parts[_Ended(copy)] = part

    def close(self) -> None:
        """Let go of the sockets of connections that have ended."""
        for holder in self._parts:
            if isinstance(holder, _Ended):
                holder.close()
        self._parts.clear()

    def _arrived(self, holder: Holder, part: _Part) -> bool:
        """Return whether a client's descriptors have arrived; they are not counted any more."""
        if not part.is_sent or not holder.has_arrived():
            return False
        del self._parts[holder]
        return True


def usual_limit() -> int:
    """Return how many may be on their way, by what this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // _SHARE)
