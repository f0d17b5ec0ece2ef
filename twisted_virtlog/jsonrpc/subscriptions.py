"""What one client follows and watches: whose turn it is, and what is sent of it.

A subscription holds no bytes. When its log has moved it waits for its turn, and when its turn comes
and the client reads, one piece of the log is read and becomes a notification. Where a thread has to
read it, that piece is kept until then, and no other subscription waits for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pybase64
from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog import values
from twisted_virtlog.errors import DaemonError, LimitReached
from twisted_virtlog.interfaces import Answer, IFollower, IFollowing, IWatch
from twisted_virtlog.jsonrpc.codes import error_object
from twisted_virtlog.jsonrpc.entries import LogEntry, log_entry
from twisted_virtlog.jsonrpc.messages import encode_notification
from twisted_virtlog.jsonrpc.params import InvalidParams
from twisted_virtlog.jsonrpc.patience import Patience
from twisted_virtlog.jsonrpc.schema import MAX_EXACT_NUMBER, Position
from twisted_virtlog.jsonrpc.text import Encoding, decode_excerpt
from twisted_virtlog.values import (
    EndReason,
    Excerpt,
    Followed,
    FollowEnd,
    FollowerState,
    SubscriptionState,
)

#: The most bytes of a log in one notification.
PIECE_BYTES = 64 * 1024

#: The most subscriptions of a connection.
MOST_SUBSCRIPTIONS = 16384

_encode = msgspec.json.Encoder().encode


class EndParams(Struct):
    """What the notification ``log.end`` says."""

    subscription: int
    reason: str
    error: dict[str, Any] | UnsetType = UNSET


class LogParams(Struct):
    """What the notifications ``log.opened``, ``log.closed`` and ``log.state`` say."""

    subscription: int
    log: LogEntry


class Subscriptions:
    """All subscriptions of a connection.

    :ivar last: the number of the latest one.
    :ivar patience: how soon the client reads what it is told.
    """

    def __init__(
        self,
        following: IFollowing,
        send: Callable[[bytes], None],
        wake: Callable[[], None],
        last: int = 0,
    ) -> None:
        """Have none yet.

        :param send: sends a notification now.
        :param wake: called when one has something to tell, whose turn comes later.
        """
        self._following = following
        self._send = send
        self._wake = wake
        self.last = last
        self.patience = Patience()
        self._all: dict[int, _Subscription] = {}
        self._ready: deque[_Subscription] = deque()
        self._closed = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def numbers(self) -> tuple[int, ...]:
        """Return those of all."""
        return tuple(self._all)

    @property
    def is_ready(self) -> bool:
        """Whether one of them has something to tell, or may have."""
        return bool(self._ready)

    def tell_next(self) -> None:
        """Tell what the one has to tell whose turn it is; that may be nothing."""
        one = self._ready.popleft()
        one.is_queued = False
        if self._all.get(one.number) is one and (text := one.take()) is not None:
            self._send(text)

    # For the methods.

    def follow(
        self, path: str, position: values.Position | None, until_closed: bool, encoding: Encoding
    ) -> Answer[tuple[int, values.Position]]:
        """Follow a log.

        :returns: the number of the subscription, and where it begins.
        :raises LimitReached: there are too many.
        :raises LogError: the log cannot be followed.
        """
        one = _Following(self, self._number(path), encoding)
        answer = self._following.follow(path, position, until_closed, one.ready)
        if isinstance(answer, Deferred):
            return answer.addCallback(self._begin, one)
        return self._begin(answer, one)

    def _begin(self, follower: IFollower, one: _Following) -> tuple[int, values.Position]:
        one.follower = follower
        position: values.Position = follower.position
        if self._closed:
            one.stop()
            return one.number, position
        self._all[one.number] = one
        # (something may have come meanwhile)
        self.queue(one)
        return one.number, position

    def watch(self) -> int:
        """Watch which logs are opened and closed; return the number of the subscription.

        :raises LimitReached: there are too many.
        """
        one = _Watching(self, self._number(None))
        one.watch = self._following.watch(one.ready)
        self._all[one.number] = one
        return one.number

    def unfollow(self, number: int) -> None:
        """End a subscription, and tell so at once.

        :raises InvalidParams: there is none of this number.
        """
        one = self._all.pop(number, None)
        if one is None:
            raise InvalidParams(
                f"Invalid params: this connection has no subscription {number}; expected a number"
                " that log.follow or log.watch answered, of a subscription that has not ended"
            )
        one.stop()
        self._send(end_text(number, EndReason.UNFOLLOWED))

    def _number(self, path: str | None) -> int:
        if len(self._all) >= MOST_SUBSCRIPTIONS:
            raise LimitReached(
                f"this connection has {MOST_SUBSCRIPTIONS} subscriptions, as many as one may have",
                "subscriptions",
                path,
            )
        self.last += 1
        return self.last

    # The end.

    def end(self, reason: EndReason) -> None:
        """End all, and tell so at once."""
        ended, self._all = self._all, {}
        self._ready.clear()
        for number, one in ended.items():
            one.stop()
            self._send(end_text(number, reason))

    def close(self) -> None:
        """End all: the client is gone."""
        self._closed = True
        ended, self._all = self._all, {}
        self._ready.clear()
        for one in ended.values():
            one.stop()

    # A hand-over.

    def suspended(self) -> tuple[SubscriptionState, ...]:
        """Return what the next image needs to go on."""
        return tuple(one.suspended() for one in self._all.values())

    def resume(self, states: Sequence[SubscriptionState]) -> None:
        """Go on where the former image stopped."""
        for state in states:
            one: _Subscription
            if state.follower is None:
                one = watching = _Watching(self, state.number)
                watching.watch = self._following.watch(one.ready, state.watched)
            else:
                one = following = _Following(self, state.number, state.encoding)
                following.follower = self._following.resume(state.follower, one.ready)
            self._all[one.number] = one
            self.requeue(one)

    # For subscriptions.

    def queue(self, one: _Subscription) -> None:
        """Let one have its turn, as it may have something to tell."""
        if not one.is_queued and self._all.get(one.number) is one:
            one.is_queued = True
            self._ready.append(one)
            self._wake()

    def requeue(self, one: _Subscription) -> None:
        """Let one have another turn, after the others."""
        one.is_queued = True
        self._ready.append(one)

    def remove(self, number: int) -> None:
        """Forget one that has ended."""
        del self._all[number]


class _Subscription(ABC):
    """One subscription.

    :ivar number: by which the client knows it.
    :ivar is_queued: it waits for its turn.
    """

    def __init__(self, others: Subscriptions, number: int) -> None:
        self.number = number
        self.is_queued = False
        self._others = others

    def ready(self) -> None:
        """Take note that there may be something to tell."""
        self._others.queue(self)

    @abstractmethod
    def take(self) -> bytes | None:
        """Return what it has to tell next, if that is anything now."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    @abstractmethod
    def suspended(self) -> SubscriptionState:
        """Return what the daemon's next image needs."""


class _Following(_Subscription):
    """A log that is followed.

    :ivar follower: set before anything else is called.
    """

    _logger = Logger()
    follower: IFollower

    def __init__(self, others: Subscriptions, number: int, encoding: str) -> None:
        super().__init__(others, number)
        self._is_base64 = encoding == "base64"
        self._encoding = encoding
        # Of a notification, what is always the same.
        self._before = (
            b'{"jsonrpc":"2.0","method":"log.data","params":{"subscription":%d,"data":' % number
        )
        self._between = b',"encoding":"%b","start":' % encoding.encode()
        self._patience = others.patience
        self._is_patient = False
        self._is_reading = False
        # What a thread has read.
        self._read: Followed | FollowEnd | None = None

    def take(self) -> bytes | None:
        found, self._read = self._read, None
        if found is None:
            if self._is_reading:
                return None
            answer = self.follower.read(PIECE_BYTES)
            if isinstance(answer, Deferred):
                self._is_reading = True
                answer.addCallbacks(self._came, self._failed)
                return None
            found = answer
        if isinstance(found, Followed):
            return self._data(found)
        return None if found is None else self._end(found)

    def _came(self, found: Followed | FollowEnd | None) -> None:
        self._is_reading = False
        if found is not None:
            self._read = found
            self._others.queue(self)

    def _failed(self, failure: Failure) -> None:
        self._logger.failure("reading for one who follows failed", failure=failure)
        error = failure.value if isinstance(failure.value, Exception) else None
        self._came(FollowEnd(EndReason.FAILED, error))

    def _data(self, found: Followed) -> bytes | None:
        """Return the notification, and go on after what is in it."""
        pieces, end = found.pieces, found.end
        if self._is_base64:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            text = b'"%b"' % pybase64.b64encode(data)
        else:
            excerpt = Excerpt(pieces, found.start, end, found.gap, found.final)
            decoded, end = decode_excerpt(excerpt, PIECE_BYTES)
            text = _encode(decoded)
            if not decoded and not found.gap:
                # (the rest of a character is still to come)
                self.follower.advance(found.start)
                return None
        self.follower.advance(end)
        if not self.follower.waits:
            self._others.requeue(self)
        is_patient = self._patience.is_patient
        if is_patient is not self._is_patient:
            self._is_patient = is_patient
            self.follower.be_patient(is_patient)
        gap = b"false" if not found.gap else b"true"
        missed = b"null" if found.missed is None else _number(found.missed)
        return b'%b%b%b%b,"end":%b,"gap":%b,"missed":%b}}' % (
            self._before,
            text,
            self._between,
            _point(found.start),
            _point(end),
            gap,
            missed,
        )

    def _end(self, end: FollowEnd) -> bytes:
        self._others.remove(self.number)
        error = end.error
        data: dict[str, Any] | UnsetType = UNSET
        if isinstance(error, DaemonError):
            found = error_object(error).data
            data = found if isinstance(found, dict) else UNSET
        return end_text(self.number, end.reason, data)

    def stop(self) -> None:
        self.follower.stop()

    def suspended(self) -> SubscriptionState:
        state: FollowerState = self.follower.suspended()
        return SubscriptionState(self.number, state, self._encoding)


class _Watching(_Subscription):
    """Which logs there are.

    :ivar watch: set before anything else is called.
    """

    watch: IWatch

    def take(self) -> bytes | None:
        found = self.watch.take()
        if found is None:
            return None
        self._others.requeue(self)
        params = LogParams(self.number, log_entry(found.status))
        return encode_notification(f"log.{found.kind.value}", params)

    def stop(self) -> None:
        self.watch.stop()

    def suspended(self) -> SubscriptionState:
        return SubscriptionState(self.number, watched=self.watch.suspended())


def end_text(number: int, reason: EndReason, error: dict[str, Any] | UnsetType = UNSET) -> bytes:
    """Return the last notification of a subscription."""
    return encode_notification("log.end", EndParams(number, reason.value, error))


def _point(position: values.Position) -> bytes:
    if position.inode <= MAX_EXACT_NUMBER and position.offset <= MAX_EXACT_NUMBER:
        # As nearly always. It has the same members as the type for JSON.
        return _encode(position)
    return _encode(Position.of(position))


def _number(number: int) -> bytes:
    return b"%d" % number if number <= MAX_EXACT_NUMBER else b'"%d"' % number
