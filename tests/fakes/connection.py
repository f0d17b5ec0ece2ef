"""A connection that keeps what a conversation does with it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from zope.interface import implementer

from twisted_virtlog.interfaces import IConnection, IConversation
from twisted_virtlog.sockets.peer_credentials import PeerCredentials


@implementer(IConnection)
class FakeConnection:
    """Keeps what is sent; owns the descriptors it was given, as the real one does.

    :ivar congest_at: number of bytes from which the client is said not to read; None for never.
    :ivar sent: each piece with its descriptors; what is gathered is seen piece by piece too.
    :ivar claims: how many descriptors were claimed, and (negative) how many it became.
    :ivar refuses_descriptors: what is raised when descriptors are claimed.
    :ivar left_unread: how much the client has yet to read.
    :ivar reading: the client is read from.
    :ivar peer: who is at the other end.
    :ivar share_seconds: how long the conversation may go on at once.
    :ivar alone: nobody else waits for a turn.
    :ivar rests: how long it was to rest before each turn that it asked for.
    :ivar awaits_end: it is to be closed when the client is gone.
    :ivar closing: "when sent" or "aborted", once it is to be closed.
    """

    def __init__(
        self, conversation: IConversation | None = None, congest_at: int | None = None
    ) -> None:
        """:param conversation: is told if the connection is aborted."""
        self.sent: list[tuple[bytes, tuple[int, ...]]] = []
        self.claims: list[int] = []
        self.refuses_descriptors: Exception | None = None
        self.reading = True
        self.peer = PeerCredentials(os.getpid(), os.getuid(), os.getgid())
        self.share_seconds = math.inf
        self.alone = False
        self.rests: list[float] = []
        self._is_to_go_on = False
        self.awaits_end = False
        self.closing: str | None = None
        self._conversation = conversation
        self.congest_at = congest_at
        self._congested = False
        self.has_room = True
        self.left_unread = 0

    @property
    def congested(self) -> bool:
        """Whether the client does not read its answers; a test may say so."""
        full = self.congest_at is not None and len(self.output) >= self.congest_at
        return full or self._congested

    @congested.setter
    def congested(self, congested: bool) -> None:
        self._congested = congested

    def takes_more(self) -> bool:
        """Return what a test says."""
        return self.has_room

    def unread(self) -> int:
        """Return what a test says."""
        return self.left_unread

    @property
    def closed(self) -> bool:
        """Whether it is to be closed."""
        return self.closing is not None

    @property
    def output(self) -> bytes:
        """All bytes that were sent."""
        return b"".join(self.pieces)

    @property
    def pieces(self) -> list[bytes]:
        """What was sent, without descriptors."""
        return [data for data, _ in self.sent]

    @property
    def descriptors(self) -> list[int]:
        """All descriptors that were sent, in order."""
        return [d for _, descriptors in self.sent for d in descriptors]

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        if self.closing == "aborted":
            for descriptor in descriptors:
                os.close(descriptor)
            return
        assert data, "descriptors need a byte to ride on"
        assert not self.closed, "sent after it was closed"
        self.sent.append((data, tuple(descriptors)))

    def claim_descriptors(self, most: int) -> None:
        self.claims.append(most)
        if self.refuses_descriptors is not None:
            raise self.refuses_descriptors

    def settle_descriptors(self, count: int) -> None:
        self.claims.append(-count)

    def is_alone(self) -> bool:
        return self.alone

    def go_on_later(self, rest_seconds: float = 0.0) -> None:
        assert not self._is_to_go_on, "asked for two turns"
        self.rests.append(rest_seconds)
        self._is_to_go_on = True

    def take_turn(self) -> bool:
        """Let the conversation go on, if it has asked for that; report whether it has."""
        asked, self._is_to_go_on = self._is_to_go_on, False
        if asked and self._conversation is not None:
            self._conversation.go_on()
        return asked

    def take_turns(self) -> int:
        """Let the conversation have all the turns that it asks for; return how many they were."""
        turns = 0
        while self.take_turn():
            turns += 1
        return turns

    def gather(self) -> None:
        """Each answer is seen by itself."""

    def flush(self) -> None:
        """Nothing was gathered."""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = not self.closed

    def close_when_gone(self) -> None:
        self.awaits_end = True

    def close_when_sent(self) -> None:
        self.closing = self.closing or "when sent"
        self.reading = False

    def abort(self) -> None:
        if self.closing != "aborted":
            self.closing = "aborted"
            self.reading = False
            if self._conversation is not None:
                self._conversation.connection_lost()
