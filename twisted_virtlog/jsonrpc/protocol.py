"""One client's conversation in JSON-RPC 2.0: texts in, answers of the methods out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import DaemonError
from twisted_virtlog.jsonrpc.batch import MAX_GATHERED_BYTES, NO_REPLY, BatchReply, Reply
from twisted_virtlog.jsonrpc.codes import Code, error_object
from twisted_virtlog.jsonrpc.framing import Framing, Interjection, NotJSON
from twisted_virtlog.jsonrpc.long_result import LongResult, SlicedResult
from twisted_virtlog.jsonrpc.long_steps import LongSteps
from twisted_virtlog.jsonrpc.messages import (
    ABSENT,
    NULL,
    Batch,
    ErrorObject,
    InvalidRequest,
    Message,
    Request,
    encode_error,
    encode_long_result,
    encode_result,
    encode_sliced_result,
    long_result_size,
    parse,
)
from twisted_virtlog.jsonrpc.method import Method, Services
from twisted_virtlog.jsonrpc.methods import BY_ANY_NAME, methods_served
from twisted_virtlog.jsonrpc.params import InvalidParams
from twisted_virtlog.jsonrpc.sniffing import TEXTS, framing_named, told_by
from twisted_virtlog.jsonrpc.subscriptions import Subscriptions
from twisted_virtlog.loop.durations import ByName
from twisted_virtlog.sockets.asking import AskingConversation
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.values import EndReason, Queued, SubscriptionState, Suspended

#: From this size on, an answer is not copied to add a newline.
_LARGE_BYTES = 256 * 1024

_MAX_SHOWN_NAME = 60

#: How long a connection rests after a text whose decoding held up others.
_REST_SECONDS = 1.0


class JSONRPCConversation(AskingConversation[Request, Method[Any, Any], Reply]):
    """Answers one client's requests.

    :param services: what the methods need from the daemon.
    :param read_only: whether to serve only methods that change nothing.
    :param calls: see AskingConversation.
    """

    _log = Logger()

    def __init__(
        self, services: Services, read_only: bool = False, calls: ByName | None = None
    ) -> None:
        super().__init__(calls)
        self._services = services
        self._read_only = read_only
        #: The first bytes, until they decide the framing.
        self._undecided: bytes | None = b""
        self._steps = LongSteps()
        self._speak(TEXTS)
        self._batch: BatchReply | None = None
        #: The rest of an answer whose beginning was sent.
        self._rest: Iterator[bytes] | None = None
        #: Made when the client wants the first one; with the services that it has then.
        self._subscriptions: Subscriptions | None = None
        self._subscribing: Services | None = None
        #: Notifications that come after the answer to a batch, a part of which was sent.
        self._put_off: list[bytes] = []
        #: Whether the latest step told something that was not requested.
        self._has_told = False

    @property
    def has_work(self) -> bool:
        return self.held_bytes > 0 or self._rest is not None or self._has_to_tell

    @property
    def is_wanted(self) -> bool:
        return bool(self._subscriptions)

    @property
    def _has_to_tell(self) -> bool:
        subscriptions = self._subscriptions
        return subscriptions is not None and subscriptions.is_ready

    @property
    def held_bytes(self) -> int:
        batch = 0 if self._batch is None else self._batch.held_bytes
        return self._framing.held_bytes + batch

    def discard(self) -> None:
        self._framing.discard()
        self._rest = None

    def feed(self, data: bytes) -> None:
        if self._undecided is not None:
            data = self._undecided + data
            name = told_by(data)
            if name is None:
                self._undecided = data
                return
            self._undecided = None
            self._speak(name)
        self._framing.feed(data)

    def input_ended(self) -> None:
        if self._undecided:
            # So few bytes are neither a header nor an HTTP request.
            self._framing.feed(self._undecided)
            self._undecided = None
        self._framing.end()
        super().input_ended()

    def _speak(self, name: str) -> None:
        """Use this framing from now on."""
        self._framing_name = name
        self._framing: Framing[Message] = framing_named(
            name, parse, partial(self._steps.timed, parse)
        )
        self._methods = _SERVED[self._read_only, self._framing.streams]

    def finish(self) -> None:
        """Stop; the answer to a batch that is not carried out yet ends early."""
        self._send_rest()
        if self._batch is not None and not self._waiting:
            self._end_batch(self._batch)
            self._send_rest()
        if self._batch is None or not self._batch.sent:
            self.end_subscriptions()
        super().finish()

    def outline(self) -> Suspended:
        subscriptions = self._subscriptions
        numbers = () if subscriptions is None else subscriptions.numbers()
        return Suspended(subscriptions=tuple(map(SubscriptionState, numbers)))

    def end_subscriptions(self) -> None:
        if self._subscriptions is not None:
            self._subscriptions.end(EndReason.SHUTTING_DOWN)

    def suspended(self) -> Suspended:
        self._send_rest()
        if self._batch is not None and not self._batch.entries.is_checked:
            self._check(self._batch.entries, Batch.check_rest)
        if self._undecided is not None:
            return Suspended(self._undecided, input_ended=self._input_ended, closed=self._closed)
        state = replace(
            self._framing.suspended(),
            input_ended=self._input_ended,
            closed=self._closed,
            framing=self._framing_name,
        )
        if self._framing_name != TEXTS:
            state = replace(state, lost=True, framing_lost=state.lost)
        subscriptions = self._subscriptions
        if subscriptions is not None:
            state = replace(
                state,
                subscriptions=subscriptions.suspended(),
                last_subscription=subscriptions.last,
            )
        batch = self._batch
        if batch is None:
            return state
        gathered = None
        if self._framing.needs_size:
            piece = batch.gathered()
            gathered = Queued(piece.text, tuple(map(int, piece.descriptors)))
        else:
            self._send_piece(batch)
        return replace(
            state, batch=batch.entries.rest(), batch_begun=batch.begun, gathered=gathered
        )

    def resume(self, state: Suspended) -> None:
        super().resume(state)
        if state.framing is not None:
            self._undecided = None
            self._speak(state.framing)
            if state.framing != TEXTS:
                state = replace(state, lost=state.framing_lost)
            self._framing.resume(state)
        elif state.skipping is not None or state.lost or state.batch is not None:
            # From a daemon that knew only this framing.
            self._undecided = None
            self._framing.resume(state)
        elif state.input_ended:
            self._framing.resume(state)
            self._undecided = None
        else:
            self.feed(state.received)
        if state.subscriptions:
            self._begin_to_subscribe(state.last_subscription).resume(state.subscriptions)
        if state.batch is not None:
            self._batch = BatchReply(Batch(state.batch), state.batch_begun)
            if state.gathered is not None:
                self._batch.put_back(Reply(state.gathered.data, state.gathered.descriptors))

    def connection_lost(self) -> None:
        super().connection_lost()
        if self._subscriptions is not None:
            self._subscriptions.close()
        if self._batch is not None:
            # A connection that has ended closes the descriptors that it is given.
            self._end_batch(self._batch)

    def handle_next(self) -> bool | Deferred[None]:
        if self._rest is not None:
            self._send_next(self._rest)
            return True
        if self._batch is not None:
            return self._continue_batch(self._batch)
        subscriptions = self._subscriptions
        if subscriptions is None or not subscriptions.is_ready or not self.connection.takes_more():
            # (nothing is read from a file while it would wait here)
            return self._handle_text()
        # (what was requested and what was not take turns)
        if self._has_told:
            self._has_told = False
            handled = self._handle_text()
            if handled is not False:
                return handled
        self._has_told = True
        self._tell_next(subscriptions)
        return True

    def handle_beside(self) -> bool:
        subscriptions = self._subscriptions
        if subscriptions is None or not subscriptions.is_ready:
            return False
        if self._rest is not None or self._batch is not None:
            # (nothing stands inside another text)
            return False
        if not self.connection.takes_more():
            return False
        self._tell_next(subscriptions)
        return True

    def _tell_next(self, subscriptions: Subscriptions) -> None:
        """Tell something of what the client follows, and see how soon it reads that."""
        patience, now = subscriptions.patience, self._begun
        if patience.is_due(now):
            patience.look(self.connection.unread(), now)
        subscriptions.tell_next()

    def _rest_after_decoding(self) -> None:
        """Let others have the reactor for a while, as decoding a text cannot be interrupted."""
        self._steps.took_long = False
        self.rest(_REST_SECONDS)

    def _handle_text(self) -> bool | Deferred[None]:
        """Take the next text that the client sent, and carry it out or begin to."""
        framing = self._framing
        try:
            message = framing.next_text()
        except NotJSON as error:
            self._refuse_text(error)
            return True
        except Interjection as interjection:
            self.connection.send(interjection.data)
            return True
        finally:
            if self._steps.took_long:
                self._rest_after_decoding()
        if message is None:
            if framing.lost:
                self.close()
            return framing.paused
        if isinstance(message, Batch):
            self._batch = BatchReply(message)
            return self._continue_batch(self._batch)
        reply = self._carry_out(message)
        if isinstance(reply, Reply):
            self._send(reply)
            return True
        return reply.addCallback(self._send)

    def _send(self, reply: Reply) -> None:
        framing = self._framing
        if reply is NO_REPLY:
            nothing = framing.nothing()
            if nothing:
                self.connection.send(nothing)
        elif reply.rest is not None:
            self._rest = reply.rest
            first = framing.begin(reply.size) + framing.part(reply.text)
            self.connection.send(first, reply.descriptors)
            if self._closed:
                self._send_rest()
        elif len(reply.text) < _LARGE_BYTES:
            self.connection.send(framing.whole(reply.text), reply.descriptors)
        else:
            self._send_large(reply)

    def _send_large(self, reply: Reply) -> None:
        """Send an answer without copying it."""
        beginning = self._framing.begin(len(reply.text))
        if beginning:
            self.connection.send(beginning)
        self.connection.send(self._framing.part(reply.text), reply.descriptors)
        end = self._framing.last(b"")
        if end:
            self.connection.send(end)

    def _send_rest(self) -> None:
        """Send the rest of an answer, whether the client reads it or not."""
        while self._rest is not None:
            self._send_next(self._rest)

    def _send_next(self, rest: Iterator[bytes]) -> None:
        piece = next(rest, None)
        if piece is not None:
            self.connection.send(self._framing.part(piece))
            return
        self._rest = None
        if self._batch is not None:
            # (the rest of one entry's answer)
            return
        end = self._framing.last(b"")
        if end:
            self.connection.send(end)

    def _continue_batch(self, batch: BatchReply) -> bool | Deferred[None]:
        """Check some of a batch, or carry out one of its entries."""
        if not batch.entries.is_checked:
            self._check(batch.entries, partial(self._steps.timed, Batch.check_part))
            if self._steps.took_long:
                self._rest_after_decoding()
            return True
        entry = batch.entries.next_entry()
        if entry is None:
            self._end_batch(batch)
        elif entry == "paused":
            pass
        elif self._framing.needs_size and batch.is_full:
            batch.add(_too_much(entry))
        else:
            reply = self._carry_out(entry)
            if not isinstance(reply, Reply):
                return reply.addCallback(self._add_to_batch, batch)
            return self._add_to_batch(reply, batch) or True
        return True

    def _check(self, entries: Batch, check: Callable[[Batch], None]) -> None:
        """Check a batch; refuse it when it is found to be no JSON."""
        try:
            check(entries)
        except NotJSON as error:
            self._batch = None
            self._framing.refuse_last()
            self._refuse_text(error)

    def _refuse_text(self, error: NotJSON) -> None:
        text = encode_error(NULL, ErrorObject(Code.PARSE_ERROR, str(error)))
        self.connection.send(self._framing.refusal(text))

    def _add_to_batch(self, reply: Reply, batch: BatchReply) -> Deferred[None] | None:
        """Gather a reply, or begin to send a long one.

        :returns: fires when a long one is gathered; None if that is done.
        """
        batch.add(reply)
        rest = reply.rest
        if rest is not None and self._framing.needs_size:
            adding = self._services.in_slices(batch.add_rest(rest))
            if isinstance(adding, Deferred):
                return adding.addCallback(lambda _: self._added(batch))
        elif rest is not None:
            self._send_piece(batch)
            self._rest = rest
        self._added(batch)
        return None

    def _added(self, batch: BatchReply) -> None:
        """Go on; while a reply was waited for, the client may have gone or the daemon ended."""
        if self._closed:
            self._send_rest()
            self._end_batch(batch)
        elif batch.is_piece_full and not self._framing.needs_size:
            self._send_piece(batch)

    def _end_batch(self, batch: BatchReply) -> None:
        self._batch = None
        piece = batch.take_last()
        if batch.sent:
            self.connection.send(self._framing.last(piece.text), piece.descriptors)
        else:
            self._send(piece)
        for text in self._put_off:
            self._tell(text)
        self._put_off.clear()
        if self._closed:
            self._send_rest()
            self.end_subscriptions()

    def _send_piece(self, batch: BatchReply) -> None:
        """Send what was gathered so far."""
        piece = batch.take()
        if piece is NO_REPLY:
            return
        beginning = b"" if batch.sent else self._framing.begin(None)
        batch.sent = True
        self.connection.send(beginning + self._framing.part(piece.text), piece.descriptors)

    def _carry_out(self, request: Request | InvalidRequest) -> Reply | Deferred[Reply]:
        """Carry out one request; any failure becomes its answer."""
        if isinstance(request, InvalidRequest):
            refused = ErrorObject(Code.INVALID_REQUEST, request.reason)
            return Reply(encode_error(request.id, refused))
        method = self._methods.get(request.method)
        if method is None:
            return _refuse(request, self._not_served(request.method))
        try:
            params = method.params.decode(request.params)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            return self.fail(error, None, request, method, None)
        if method.most_descriptors:
            return self._carry_out_claiming(request, method, params)
        services = self._services
        if method.subscribes:
            services = self._subscribed()
        elif method.asks_user:
            services = replace(services, uid=self.connection.peer.uid)
        return self.carry_out(request, method, services, params)

    def _subscribed(self) -> Services:
        """Return the services with the subscriptions of this connection."""
        if self._subscribing is None:
            self._begin_to_subscribe()
        assert self._subscribing is not None
        return self._subscribing

    def _begin_to_subscribe(self, last: int = 0) -> Subscriptions:
        self._subscriptions = Subscriptions(
            self._services.following, self._tell, self.go_on_later, last
        )
        self._subscribing = replace(self._services, subscriptions=self._subscriptions)
        return self._subscriptions

    def _tell(self, text: bytes) -> None:
        """Send a notification."""
        batch = self._batch
        if batch is not None and batch.sent:
            # (the end of a subscription that is asked for in the middle of a long answer)
            self._put_off.append(text)
        else:
            self.connection.send(self._framing.whole(text))

    def _carry_out_claiming(
        self, request: Request, method: Method[Any, Any], params: Any
    ) -> Reply | Deferred[Reply]:
        """Carry out a request whose answer may have many descriptors, if there may be so many."""
        try:
            self.connection.claim_descriptors(method.most_descriptors)
        except DaemonError as error:
            return self.fail(error, None, request, method, params)
        reply = self.carry_out(request, method, self._services, params)
        if isinstance(reply, Reply):
            return self._settled(reply)
        return reply.addCallback(self._settled)

    def _settled(self, reply: Reply) -> Reply:
        self.connection.settle_descriptors(len(reply.descriptors))
        return reply

    def present(
        self, answer: Any, request: Request, entry: Method[Any, Any], arguments: Any
    ) -> Reply | Deferred[Reply]:
        """Return the reply; close descriptors that nobody will receive."""
        descriptors = () if entry.descriptors is None else entry.descriptors(answer)
        try:
            if request.id is not ABSENT:
                result = entry.present(answer, arguments)
                if isinstance(result, LongResult):
                    return _long_reply(request, result)
                if isinstance(result, SlicedResult):
                    made = self._services.in_slices(encode_sliced_result(request.id, result))
                    if not isinstance(made, Deferred):
                        return _reply_of(made)
                    later = made.addCallback(_reply_of)
                    return later.addErrback(self._fail_later, request, entry, arguments)
                return Reply(encode_result(request.id, result), descriptors)
        except Exception:
            close_all(descriptors)
            raise
        close_all(descriptors)
        return NO_REPLY

    def fail(
        self,
        error: BaseException | None,
        failure: Failure | None,
        request: Request,
        entry: Method[Any, Any],
        arguments: Any,
    ) -> Reply:
        """Return the reply that reports the error."""
        if isinstance(error, DaemonError):
            return _refuse(request, error_object(error))
        if isinstance(error, InvalidParams):
            data = UNSET if error.path is None else {"path": error.path}
            return _refuse(request, ErrorObject(Code.INVALID_PARAMS, str(error), data))
        self._log.failure("JSON-RPC's {method} failed", failure=failure, method=request.method)
        path = getattr(arguments, "path", None)
        data = UNSET if path is None else {"path": path}
        message = f"Internal error: {type(error).__name__}; the daemon's log has the details"
        return _refuse(request, ErrorObject(Code.INTERNAL_ERROR, message, data))

    def _not_served(self, name: str) -> ErrorObject:
        method = BY_ANY_NAME.get(name)
        if method is None:
            return _no_such_method(name)
        if self._read_only and not method.read_only:
            message = f"{method.name} is not served on the read-only socket"
        else:
            message = f"{method.name} is not served over HTTP, as it needs the stream"
        return ErrorObject(Code.NOT_ON_THIS_CONNECTION, message)


#: The methods, by whether the socket is read-only and whether the framing streams.
_SERVED = {
    (read_only, streams): methods_served(read_only, streams)
    for read_only in (False, True)
    for streams in (False, True)
}


def _no_such_method(name: str) -> ErrorObject:
    shown = name if len(name) <= _MAX_SHOWN_NAME else name[:_MAX_SHOWN_NAME] + "..."
    message = f"no method {shown!r}; rpc.discover lists the methods"
    return ErrorObject(Code.METHOD_NOT_FOUND, message)


def _too_much(request: Request | InvalidRequest) -> Reply:
    """Refuse an entry of a batch whose answers are too long already."""
    text = (
        f"not carried out: the answers to this batch have {MAX_GATHERED_BYTES} bytes already; send"
        " the request in another one"
    )
    error = ErrorObject(Code.LIMIT, text, {"limit": "batch_answers"})
    if isinstance(request, InvalidRequest):
        return Reply(encode_error(request.id, error))
    return _refuse(request, error)


def _refuse(request: Request, error: ErrorObject) -> Reply:
    if request.id is ABSENT:
        return NO_REPLY
    return Reply(encode_error(request.id, error))


def _long_reply(request: Request, result: LongResult) -> Reply:
    pieces = encode_long_result(request.id, result)
    if result.is_long:
        return Reply(next(pieces), rest=pieces, size=long_result_size(request.id, result))
    return Reply(b"".join(pieces))


def _reply_of(pieces: Sequence[bytes]) -> Reply:
    if len(pieces) == 1:
        return Reply(pieces[0])
    size = sum(map(len, pieces))
    rest = _given_up(pieces)
    return Reply(next(rest), rest=rest, size=size)


def _given_up(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Yield pieces and let go of each, as freeing them all at once takes milliseconds."""
    left = deque(pieces)
    del pieces
    while left:
        yield left.popleft()
