"""One client's connection: a UNIX stream socket on the reactor, with descriptors in its answers.

Twisted's own transport attaches a descriptor to whatever byte is sent next, and sends an answer
only in the next turn of the reactor. Here an answer is sent at once when nothing waits before it.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import ParamSpec

from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.handover.state import ConnectionState
from twisted_virtlog.interfaces import IConnection, IConversation
from twisted_virtlog.loop.client_sockets import IClientEvents
from twisted_virtlog.loop.concern import Client, Concern
from twisted_virtlog.loop.shares import SHARE_SECONDS, Shares
from twisted_virtlog.sockets.descriptor_budget import DescriptorBudget
from twisted_virtlog.sockets.outgoing import AT_ONCE_BYTES, Outgoing, close_all
from twisted_virtlog.sockets.peer_credentials import PeerCredentials
from twisted_virtlog.sockets.request_budget import SMALL_BYTES, RequestBudget
from twisted_virtlog.syscalls import bytes_unread

P = ParamSpec("P")

_READ_BYTES = 65536

#: A client that leaves this many bytes of its answers unread is not served until it reads.
CONGESTED_BYTES = 256 * 1024

#: So much of an answer is sent on as soon as there is room.
_LITTLE_BYTES = 64 * 1024

#: Answers that are gathered are sent once they come to this many bytes.
_GATHERED_BYTES = 32 * 1024


@implementer(IConnection, IReadDescriptor, IWriteDescriptor)
class Connection:
    """A client's connection, on a reactor.

    What only another event clears again is changed in one place each, together with what makes
    that event come. Data waits, or the client is congested: the reactor calls when the socket has
    room (:meth:`_watch_output`). Nothing is read: the conversation, the budget or the client says
    when to read again (:meth:`_watch_input`).

    :ivar congested: only :meth:`doWrite` ends it, so that the conversation is always told.
    """

    _logger = Logger()

    def __init__(
        self,
        reactor: IClientEvents,
        sock: socket.socket,
        peer: PeerCredentials,
        conversation: IConversation,
        closed: Callable[[Connection], None],
        budget: RequestBudget | None = None,
        shares: Shares | None = None,
        descriptors: DescriptorBudget | None = None,
    ) -> None:
        """Take over a connected socket.

        :param closed: called once, when the socket is closed.
        :param budget: what the unfinished requests of all connections may hold; None for no limit.
        :param shares: of the reactor's time; None for no limit.
        :param descriptors: what may be on their way to all clients; None for no limit.
        """
        self.peer = peer
        self.congested = False
        self.share_seconds = math.inf if shares is None else SHARE_SECONDS
        self.conversation = conversation
        self._reactor = reactor
        self._socket = sock
        self._closed_call = closed
        self._outgoing = Outgoing()
        self._budget = budget
        self._descriptors = descriptors
        self._shares = shares
        self._is_counted = False
        self._wants_input = False
        self._has_room = True
        self._reading = False
        self._writing = False
        self._input_ended = False
        self._closing = False
        self._closed = False
        self._gathering = False
        self._awaits_hang_up = False
        self._is_room_awaited = False
        # Its last read took more than a share of time. What it is to do in its turn.
        self._is_greedy = False
        self._is_to_read = False
        self._is_to_write = False
        sock.setblocking(False)

    def start(self) -> None:
        """Begin the conversation."""
        self._tell(self.conversation.connection_made, self)
        self.resume_reading()

    def suspended(self) -> ConnectionState:
        """Return what the daemon's next image needs to go on with this client."""
        # (this may send, so the queue is looked at afterwards)
        conversation = self.conversation.suspended()
        on_their_way = 0 if self._descriptors is None else self._descriptors.held(self)
        return ConnectionState(
            conversation, self._outgoing.suspended(), self._closing, on_their_way
        )

    def resume(self, state: ConnectionState) -> None:
        """Go on as the daemon's former image did, in place of :meth:`start`."""
        self._outgoing = Outgoing.resumed(state.queued)
        if self._descriptors is not None:
            self._descriptors.resume(self, state.descriptors)
        self._input_ended = state.conversation.input_ended
        self._closing = state.closing
        self._tell(self.conversation.resume, state.conversation)
        self._tell(self.conversation.connection_made, self)
        if not self._closed and (self._outgoing or self._closing):
            self._send_queued()
        if not (self._closed or self._closing):
            self.resume_reading()
            self.release()

    def release(self) -> None:
        """Let the conversation go on after its :meth:`IConversation.hold`."""
        self._tell(self.conversation.release)

    def finish(self) -> None:
        """Let the conversation end: the daemon stops."""
        if not self._closed:
            self._tell(self.conversation.finish)

    def concern(self, names: Mapping[str, object]) -> Concern:
        """See loop.concern.Concerned."""
        return Concern(client=Client(self.peer.pid, self.peer.uid))

    # IConnection.

    def takes_more(self) -> bool:
        self._is_room_awaited = self._writing
        return not self._writing

    def unread(self) -> int:
        return 0 if self._closed else bytes_unread(self._socket.fileno())

    def send(self, data: bytes | memoryview, descriptors: Sequence[int] = ()) -> None:
        if self._closed:
            close_all(descriptors)
            return
        if descriptors and self._descriptors is not None:
            self._descriptors.sent(self)
        outgoing = self._outgoing
        if self._gathering:
            # (the usual way where there are many requests)
            outgoing.add(data, descriptors)
            if outgoing.size >= _GATHERED_BYTES:
                self._send_queued()
            return
        if not (descriptors or outgoing.size):
            size = len(data)
            try:
                some = data if size <= AT_ONCE_BYTES else memoryview(data)[:AT_ONCE_BYTES]
                sent = self._socket.send(some)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abort()
                return
            if sent == size:
                return
            # (what may be megabytes is not copied)
            data = memoryview(data)[sent:]
        outgoing.add(data, descriptors)
        if self._writing:
            self._watch_output()
        else:
            self._send_queued()

    def claim_descriptors(self, most: int) -> None:
        if self._descriptors is not None:
            self._descriptors.claim(self, most)

    def settle_descriptors(self, count: int) -> None:
        if self._descriptors is not None:
            self._descriptors.settle(self, count)

    def gather(self) -> None:
        self._gathering = True

    def flush(self) -> None:
        self._gathering = False
        if self._outgoing and not self._writing:
            self._send_queued()

    def pause_reading(self) -> None:
        self._wants_input = False
        self._watch_input()

    def resume_reading(self) -> None:
        self._wants_input = True
        if self._budget is not None and not self._closed:
            held = self.conversation.held_bytes
            if self._is_counted or held > SMALL_BYTES:
                self._is_counted = held > SMALL_BYTES
                self._has_room = self._budget.update(self, held)
        self._watch_input()

    def is_alone(self) -> bool:
        return self._shares is not None and self._shares.is_alone(self._socket.fileno())

    def go_on_later(self, rest_seconds: float = 0.0) -> None:
        shares = self._shares
        if shares is None:
            self._go_on()
        elif rest_seconds:
            shares.rest(rest_seconds, self._go_on)
        else:
            shares.later(self._go_on)

    def _go_on(self) -> None:
        if not self._closed:
            self._tell(self.conversation.go_on)

    def close_when_gone(self) -> None:
        if not (self._awaits_hang_up or self._closed):
            self._awaits_hang_up = self._changed(self._reactor.addHangUp, True)

    def close_when_sent(self) -> None:
        self._closing = True
        self.pause_reading()
        if not self._outgoing:
            self.abort()

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.congested = False
        self._outgoing.close()
        self._watch_output()
        self._watch_input()
        if self._descriptors is not None:
            self._descriptors.leave(self, self._socket)
        if self._awaits_hang_up:
            self._reactor.removeHangUp(self)
        self._socket.close()
        self._tell(self.conversation.connection_lost)
        if self._budget is not None:
            self._budget.remove(self)
        self._closed_call(self)

    # Holder, of both budgets.

    def has_arrived(self) -> bool:
        return not self._outgoing and not bytes_unread(self._socket.fileno())

    @property
    def waits_for_client(self) -> bool:
        return not self.conversation.waiting

    def room_made(self) -> None:
        self._has_room = True
        self._watch_input()

    def disconnect(self, reason: str) -> None:
        self._logger.warn(
            "the client with pid {pid}, uid {uid} is disconnected: {reason}",
            pid=self.peer.pid,
            uid=self.peer.uid,
            reason=reason,
        )
        self.abort()

    # The reactor's side.

    def fileno(self) -> int:
        """Return -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "connection"

    def doRead(self) -> None:
        """Take what the client sent; in its turn, if the last time took more than a share.

        If nobody else waits its turn has come.
        """
        if not self._is_greedy or self._shares is None or self.is_alone() or self._has_left():
            self._read()
        elif not self._is_to_read:
            self._is_to_read = True
            self._shares.later(self._read_in_turn)

    def _has_left(self) -> bool:
        """Return whether the client sends nothing more: others need not wait to know that."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _read_in_turn(self) -> None:
        self._is_to_read = False
        # (it may be closed or paused since)
        if self._reading:
            self._read()

    def _read(self) -> None:
        began = monotonic()
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if data:
            # (as _tell, which costs a call)
            try:
                self.conversation.data_received(data)
            except Exception:  # noqa: BLE001
                self._give_up()
        else:
            # A half-close: the client may still read what it asked for.
            self._input_ended = True
            self._watch_input()
            self._tell(self.conversation.input_ended)
        self._is_greedy = monotonic() - began > SHARE_SECONDS

    def doWrite(self) -> None:
        """Send on what waits; in its turn, if it is much."""
        if self._shares is None or self._outgoing.size <= _LITTLE_BYTES:
            self._write()
        elif not self._is_to_write:
            self._is_to_write = True
            self._shares.later(self._write_in_turn)

    def _write_in_turn(self) -> None:
        self._is_to_write = False
        if self._writing:
            self._write()

    def _write(self) -> None:
        self._send_queued()
        has_room = self._is_room_awaited and not self._writing
        if self.congested and self._outgoing.size < CONGESTED_BYTES // 2:
            self.congested = False
            self._watch_output()
            has_room = True
        if has_room and not self._closed:
            self._is_room_awaited = False
            self._tell(self.conversation.output_drained)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw that the client is gone."""
        self.abort()

    def _send_queued(self) -> None:
        try:
            all_sent = self._outgoing.send(self._socket)
        except OSError:
            self.abort()
            return
        if all_sent and self._closing:
            self.abort()
        else:
            self._watch_output()

    def _watch_output(self) -> None:
        """Let the reactor say when the socket has room, as long as anything depends on that."""
        # Noted here, not when the socket takes more: a client that never reads may let it stay
        # full. A client that has read all since is congested until the reactor's next turn.
        if self._outgoing.size >= CONGESTED_BYTES:
            self.congested = True
        wanted = self.congested or bool(self._outgoing)
        if wanted != self._writing:
            change = self._reactor.addWriter if wanted else self._reactor.removeWriter
            self._writing = self._changed(change, wanted)

    def _watch_input(self) -> None:
        """Let the reactor say when the client sent something, unless something forbids it."""
        wanted = self._wants_input and self._has_room
        wanted = wanted and not (self._closing or self._closed or self._input_ended)
        if wanted != self._reading:
            change = self._reactor.addReader if wanted else self._reactor.removeReader
            self._reading = self._changed(change, wanted)

    def _changed(self, change: Callable[[Connection], None], wanted: bool) -> bool:
        """Change what the reactor watches; where it refuses, this connection is closed."""
        try:
            change(self)
        except OSError as error:
            # As at the limit max_user_watches of epoll(7).
            self._logger.error(
                "the client with pid {pid}, uid {uid} cannot be served and is disconnected:"
                " {error}",
                pid=self.peer.pid,
                uid=self.peer.uid,
                error=error,
            )
            self.abort()
            return False
        return wanted

    def _tell(self, event: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Report an event to the conversation; if it fails, this connection is closed."""
        try:
            event(*args, **kwargs)
        except Exception:  # noqa: BLE001 (nobody else's connection may suffer)
            self._give_up()

    def _give_up(self) -> None:
        self._logger.failure("a connection failed and is closed")
        self.abort()
