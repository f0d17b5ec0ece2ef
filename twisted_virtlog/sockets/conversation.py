"""What both protocols share: requests handled one at a time, answered in order, never piled up."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from time import monotonic

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.interfaces import IConnection, IConversation
from twisted_virtlog.loop.concern import Concern, Concerned
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.sockets.peer_credentials import PeerCredentials
from twisted_virtlog.values import Suspended


@implementer(IConnection)
class _Gone:
    """Stands in for a connection that is gone, when an answer comes late.

    A conversation that kept the connection would be kept by it in turn, with all that the client
    sent, until Python looks for such circles.
    """

    congested = False
    share_seconds = math.inf
    #: Nobody is that user.
    peer = PeerCredentials(0, 2**32 - 1, 2**32 - 1)

    def is_alone(self) -> bool:
        """See IConnection."""
        return False

    def takes_more(self) -> bool:
        """See IConnection."""
        return False

    def unread(self) -> int:
        """See IConnection."""
        return 0

    def go_on_later(self, rest_seconds: float = 0.0) -> None:
        """See IConnection; nobody waits any more."""

    def send(self, data: bytes | memoryview, descriptors: Sequence[int] = ()) -> None:
        close_all(descriptors)

    def claim_descriptors(self, most: int) -> None:
        """See IConnection; nobody asks any more."""

    def settle_descriptors(self, count: int) -> None:
        """See IConnection."""

    def _do_nothing(self) -> None:
        """See IConnection."""

    gather = flush = pause_reading = resume_reading = _do_nothing
    close_when_gone = close_when_sent = abort = _do_nothing


_GONE = _Gone()


@implementer(IConversation)
class Conversation(ABC):
    """Carries one client's requests out in the order sent, the next one after the last is answered.

    A subclass has a decoder that it is fed in :meth:`feed`, and :meth:`handle_next`, which takes
    one request out of the decoder, carries it out and sends its answer. While a request waits for
    a Deferred, or while the client does not read its answers, nothing more is read from the
    client, so what is held for one is bounded by its decoder's limit.
    """

    connection: IConnection
    _logger = Logger()

    def __init__(self) -> None:
        self._waiting = False
        self._running = False
        self._input_ended = False
        self._closed = False
        self._held = False
        # Its share is used up, and it will be called in its turn.
        self._queued = False
        self._rest_seconds = 0.0
        self._share_ends = 0.0
        # When what is carried out now was begun.
        self._begun = 0.0

    @property
    def waiting(self) -> bool:
        return self._waiting

    @property
    def is_wanted(self) -> bool:
        """Whether the client may expect anything that it need not ask for any more."""
        return False

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """The memory that the decoder takes, and what it is decoding."""

    @property
    def has_work(self) -> bool:
        """Whether there may be something to do before more comes from the client."""
        return self.held_bytes > 0

    @property
    def is_done(self) -> bool:
        """Whether it is certain that there is nothing to do before more comes from the client.

        A subclass that knows it at once saves looking for another request after most of them.
        """
        return False

    @abstractmethod
    def discard(self) -> None:
        """Drop what the decoder holds."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Give bytes to the decoder; raise nothing, whatever they are."""

    @abstractmethod
    def handle_next(self) -> bool | Deferred[None]:
        """Carry out one request.

        :returns: False if the decoder holds no complete request, True if one was carried out and
            its answer given to the connection, or a Deferred that fires when that is done. One
            that fails, as an exception, costs the connection.
        """

    def handle_beside(self) -> bool:
        """Do something that need not wait for the request under way, whose answer comes later.

        :returns: whether there was anything to do.
        """
        return False

    def connection_made(self, connection: IConnection) -> None:
        self.connection = connection

    def data_received(self, data: bytes) -> None:
        self.feed(data)
        self.proceed()

    def input_ended(self) -> None:
        self._input_ended = True
        self.proceed()

    def output_drained(self) -> None:
        self.proceed()

    def go_on(self) -> None:
        self._queued = False
        self.proceed()

    def connection_lost(self) -> None:
        self._closed = True
        self.connection = _GONE
        self.discard()

    def finish(self) -> None:
        self._closed = True
        if not self._waiting:
            self.connection.close_when_sent()

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self.proceed()

    def outline(self) -> Suspended:
        return Suspended()

    # (a protocol need not have any)
    def end_subscriptions(self) -> None:  # noqa: B027
        """See IConversation; nothing is followed where a subclass does not know how."""

    def suspended(self) -> Suspended:
        """See IConversation; a subclass adds what its decoder holds."""
        return Suspended(input_ended=self._input_ended, closed=self._closed)

    def resume(self, state: Suspended) -> None:
        """See IConversation; a subclass restores its decoder."""
        self._input_ended = state.input_ended
        self._closed = state.closed

    def concern(self, names: Mapping[str, object]) -> Concern:
        """See loop.concern.Concerned."""
        connection = self.connection
        return connection.concern(names) if isinstance(connection, Concerned) else Concern()

    def close(self) -> None:
        """Take no more requests and close once all answers are sent."""
        self._closed = True
        self.connection.close_when_sent()

    def go_on_later(self) -> None:
        """Go on in a later turn, if nothing else makes this go on."""
        if not (self._running or self._held or self._queued or self._closed):
            self._queued = True
            self.connection.go_on_later()

    def rest(self, seconds: float) -> None:
        """Carry out no more requests before some seconds have passed, after the present one."""
        self._rest_seconds = seconds
        self._share_ends = -math.inf

    def proceed(self) -> None:
        """Carry out requests until none is left, one waits, or the client must read first.

        When it has used up its share of time, the rest is for a later turn, whatever the requests
        were and whether they had an answer, unless nobody else waits for a turn.
        """
        if self._running or self._held or self._queued:
            return
        self._running = True
        gathering = False
        # (a request that was answered later may have left a rest)
        share = -math.inf if self._rest_seconds else self.connection.share_seconds
        self._begun = monotonic()
        self._share_ends = self._begun + share
        try:
            while not self._closed and not self.connection.congested:
                answered = self.handle_beside() if self._waiting else self.handle_next()
                if answered is False:
                    if self._input_ended and not self._waiting:
                        self._end_or_stay()
                    break
                if answered is not True and not self._answered_already(answered):
                    return
                # The first answer leaves at once; those to requests that came with it, together.
                if not gathering:
                    if self.is_done and not (self._input_ended or self._rest_seconds):
                        break
                    gathering = True
                    self.connection.gather()
                self._begun = now = monotonic()
                if now >= self._share_ends and self._gives_way():
                    self._queued = True
                    break
        finally:
            self._running = False
            if gathering:
                self.connection.flush()
        self._read_on()

    def _end_or_stay(self) -> None:
        """Close, as the client asks for nothing more, unless it is still to be told something."""
        if self.is_wanted:
            self.connection.close_when_gone()
        else:
            self.close()

    def _read_on(self) -> None:
        """Read from the client again, or no more, as far as that has changed."""
        if self._waiting and not self._queued:
            return
        # (pause and resume are cheap when they change nothing)
        if self._queued:
            self.connection.pause_reading()
            rest_seconds, self._rest_seconds = self._rest_seconds, 0.0
            self.connection.go_on_later(rest_seconds)
        elif self.connection.congested:
            self.connection.pause_reading()
        else:
            self.connection.resume_reading()

    def _gives_way(self) -> bool:
        """Return whether others are to be served, after a share was used up; else begin another."""
        if self._rest_seconds:
            return True
        if not self.has_work:
            return False
        if not self.connection.is_alone():
            return True
        self._share_ends = monotonic() + self.connection.share_seconds
        return False

    def _answered_already(self, later: Deferred[None]) -> bool:
        """Wait for a request's answer; return whether it was there already."""
        self._waiting = True
        later.addCallback(self._answered).addErrback(self._failed)
        if self._waiting:
            self.connection.pause_reading()
        return not self._waiting

    def _answered(self, _: None) -> None:
        self._waiting = False
        if self._closed:
            self.connection.close_when_sent()
        else:
            self.proceed()

    def _failed(self, failure: Failure) -> None:
        """Close: this was unexpected, and the client must not wait forever for its answer."""
        self._waiting = False
        self._closed = True
        self._logger.failure("a request failed and its connection is closed", failure=failure)
        self.connection.abort()
