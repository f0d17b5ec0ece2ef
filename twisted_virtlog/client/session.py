"""What outlives a connection: a conversation that goes on over the next one, without the sockets.

A session says what is to be sent, is given what was received, and yields what comes of it. Whoever
has it connects again when a connection ends, for as long as it wants.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from twisted_virtlog.client.call import Call
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import BadRequest, ClientError, Disconnected, RemoteError
from twisted_virtlog.client.notifications import Notification

E = TypeVar("E")
R = TypeVar("R")

#: The codes of errors that go away: of the system, at a limit, while the daemon stops.
_PASSING_CODES = {1003, 1004, 1005}

#: A socket on which nothing was sent yet takes so much without waiting, and more.
_MOST_AT_ONCE_BYTES = 65536


class Session(Generic[E]):
    """A conversation with the daemon, over one connection after the other.

    The type argument is what it yields.

    :ivar started: the daemon has agreed, once; it may have to be asked anew since.
    :ivar ended: why nothing more comes; None while something may.
    """

    def __init__(self) -> None:
        self.started = False
        self.ended: str | None = None
        self._dialogue = Dialogue()
        #: What was received and is not taken apart yet.
        self._coming: Iterator[Reply | Notification] = iter(())
        #: What is done with the answer of each request, by id.
        self._then: dict[int, Callable[[Any], E | None]] = {}
        #: Whether news is kept back until it is known what it means, and what was.
        self._holding = False
        self._held: deque[Notification] = deque()
        self._unsent = b""

    def connected(self) -> None:
        """Begin on a new connection."""
        self._begin()

    def to_send(self) -> bytes:
        """Return what is to be sent now, which is sent then."""
        text, self._unsent = self._unsent, b""
        return text

    def receive(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Take what was received, once :meth:`next` has returned None.

        :param data: empty at the end of the connection.
        :raises Disconnected: it is the end.
        """
        self._dialogue.add_descriptors(descriptors)
        if not data:
            raise Disconnected("the daemon closed the connection")
        self._coming = self._dialogue.receive(data)

    def next(self) -> E | None:
        """Return what comes next of what was received.

        :returns: None if that is nothing: something is to be sent, more must be received, or it has
            ended.
        :raises Disconnected: another connection is needed.
        :raises ClientError: it cannot go on.
        """
        while self.ended is None:
            if self._held and not self._holding:
                item = self._take(self._held.popleft())
            elif (said := next(self._coming, None)) is None:
                return None
            elif isinstance(said, Reply):
                item = self._settle(said)
            elif self._holding:
                self._held.append(said)
                continue
            else:
                item = self._take(said)
            if item is not None:
                return item
        return None

    def lost(self) -> None:
        """Forget a connection that has ended."""
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
        self._dialogue = Dialogue()
        self._coming = iter(())
        self._then.clear()
        self._holding = False
        self._held.clear()
        self._unsent = b""

    def _begin(self) -> None:
        """Ask for what is wanted, on a new connection."""
        raise NotImplementedError

    def _take(self, told: Notification) -> E | None:
        """Return what comes of a notification."""
        raise NotImplementedError

    def _ask(self, call: Call[R], then: Callable[[R | ClientError], E | None]) -> None:
        """Ask something.

        :param then: given the result, or the error, it returns what comes of it.
        :raises BadRequest: it cannot be encoded, or is longer than a path can make it.
        """
        number, text = self._dialogue.request(call)
        if len(text) > _MOST_AT_ONCE_BYTES:
            raise BadRequest(f"{call.method}: the request has {len(text)} bytes")
        self._then[number] = then
        self._unsent += text

    def _settle(self, reply: Reply) -> E | None:
        # None of what is asked here comes with descriptors.
        for descriptor in reply.descriptors:
            os.close(descriptor)
        return self._then.pop(reply.id)(reply.outcome)

    def _refuse(self, error: ClientError) -> None:
        """Raise what an error means: it may go away, once the daemon had agreed before."""
        if self.started and isinstance(error, RemoteError) and error.code in _PASSING_CODES:
            raise Disconnected(str(error)) from error
        raise error
