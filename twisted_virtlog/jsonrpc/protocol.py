"""One client's conversation in JSON-RPC 2.0: texts in, answers of the table's methods out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.conversation import Conversation
from twisted_virtlog.errors import DaemonError
from twisted_virtlog.jsonrpc.batch import NO_REPLY, BatchReply, Reply
from twisted_virtlog.jsonrpc.codes import Code, error_object
from twisted_virtlog.jsonrpc.framing import NotJSON, TextStream
from twisted_virtlog.jsonrpc.long_result import LongResult
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
    parse,
)
from twisted_virtlog.jsonrpc.method import Method, Services
from twisted_virtlog.jsonrpc.methods import METHODS
from twisted_virtlog.jsonrpc.params import InvalidParams
from twisted_virtlog.state import Suspended

#: From this size on an answer is not copied for its newline.
_LARGE_BYTES = 256 * 1024

# After so many requests of a batch the reactor gets on with others.
_BATCH_REQUESTS_PER_TURN = 256
_MAX_SHOWN_NAME = 60


class JSONRPCConversation(Conversation):
    """Answers one client's requests.

    :param services: what the methods need of the daemon.
    """

    _log = Logger()

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._texts: TextStream[Message] = TextStream(parse)
        self._batch: BatchReply | None = None
        #: Of an answer whose beginning was sent.
        self._rest: Iterator[bytes] | None = None

    def feed(self, data: bytes) -> None:
        """See Conversation."""
        self._texts.feed(data)

    def input_ended(self) -> None:
        """See IConversation."""
        self._texts.end()
        super().input_ended()

    def finish(self) -> None:
        """See IConversation; the answer to a batch that is not carried out yet ends early."""
        self._send_rest()
        if self._batch is not None and not self._waiting:
            self._end_batch(self._batch)
        super().finish()

    def suspended(self) -> Suspended:
        """See IConversation."""
        self._send_rest()
        state = msgspec.structs.replace(
            self._texts.suspended(), input_ended=self._input_ended, closed=self._closed
        )
        batch = self._batch
        if batch is None:
            return state
        self._send_piece(batch.take())
        return msgspec.structs.replace(state, batch=batch.entries.rest(), batch_begun=batch.begun)

    def resume(self, state: Suspended) -> None:
        """See IConversation."""
        super().resume(state)
        self._texts.resume(state)
        if state.batch is not None:
            self._batch = BatchReply(Batch(state.batch), state.batch_begun)

    def connection_lost(self) -> None:
        """See IConversation."""
        super().connection_lost()
        if self._batch is not None:
            # A connection that is gone closes the descriptors that it is given.
            self._end_batch(self._batch)

    def handle_next(self) -> bool | Deferred[None]:
        """See Conversation."""
        if self._rest is not None:
            self._send_next(self._rest)
            return True
        if self._batch is not None:
            return self._continue_batch(self._batch)
        return self._handle_text()

    def _handle_text(self) -> bool | Deferred[None]:
        """Take the next text that the client sent, and carry it out or begin to."""
        try:
            message = self._texts.next_text()
        except NotJSON as error:
            self._send(Reply(encode_error(NULL, ErrorObject(Code.PARSE_ERROR, str(error)))))
            return True
        if message is None:
            if self._texts.lost:
                self.close()
            return False
        if isinstance(message, Batch):
            self._batch = BatchReply(message)
            return self._continue_batch(self._batch)
        reply = self._carry_out(message)
        if isinstance(reply, Reply):
            self._send(reply)
            return True
        return reply.addCallback(self._send)

    def _send(self, reply: Reply) -> None:
        if reply is NO_REPLY:
            return
        if reply.rest is not None:
            self._rest = reply.rest
            self.connection.send(reply.text)
            if self._closed:
                self._send_rest()
        elif len(reply.text) < _LARGE_BYTES:
            self.connection.send(reply.text + b"\n", reply.descriptors)
        else:
            self.connection.send(reply.text, reply.descriptors)
            self.connection.send(b"\n")

    def _send_rest(self) -> None:
        """Send all that is left of an answer, whether the client takes it or not."""
        while self._rest is not None:
            self._send_next(self._rest)

    def _send_next(self, rest: Iterator[bytes]) -> None:
        piece = next(rest, None)
        if piece is None:
            self._rest = None
        self.connection.send(b"\n" if piece is None else piece)

    def _continue_batch(self, batch: BatchReply) -> bool | Deferred[None]:
        """Carry out entries until there is a piece to send, one waits, or others have a turn."""
        for _ in range(_BATCH_REQUESTS_PER_TURN):
            entry = batch.entries.next_entry()
            if entry is None:
                self._end_batch(batch)
                return True
            reply = self._carry_out(entry)
            if not isinstance(reply, Reply):
                return reply.addCallback(self._add_to_batch, batch)
            batch.add(reply)
            if batch.is_piece_full:
                self._send_piece(batch.take())
                return True
        later: Deferred[Reply] = Deferred()
        self._services.call_soon(lambda: later.callback(NO_REPLY))
        return later.addCallback(self._add_to_batch, batch)

    def _add_to_batch(self, reply: Reply, batch: BatchReply) -> None:
        """Go on after waiting, in which time the client or the daemon may have ended."""
        batch.add(reply)
        if self._closed:
            self._end_batch(batch)
        elif batch.is_piece_full:
            self._send_piece(batch.take())

    def _end_batch(self, batch: BatchReply) -> None:
        self._batch = None
        self._send_piece(batch.take_last())

    def _send_piece(self, piece: Reply) -> None:
        if piece is not NO_REPLY:
            self.connection.send(piece.text, piece.descriptors)

    def _carry_out(self, request: Request | InvalidRequest) -> Reply | Deferred[Reply]:
        """Carry out one request; all that can go wrong becomes its answer."""
        if isinstance(request, InvalidRequest):
            refused = ErrorObject(Code.INVALID_REQUEST, request.reason)
            return Reply(encode_error(request.id, refused))
        method = METHODS.get(request.method)
        if method is None:
            return _refuse(request, _no_such_method(request.method))
        params = None
        try:
            params = method.params.decode(request.params)
            value = method.ask(self._services, params)
            if not isinstance(value, Deferred):
                return _succeed(request, method, params, value)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            return self._fail(request, params, error)
        later: Deferred[Reply] = value.addCallback(lambda v: _succeed(request, method, params, v))
        return later.addErrback(lambda f: self._fail(request, params, f.value, f))

    def _fail(
        self,
        request: Request,
        params: object,
        error: BaseException | None,
        failure: Failure | None = None,
    ) -> Reply:
        """Tell what went wrong.

        :param failure: what a Deferred came with; None if the error is just being handled.
        """
        if isinstance(error, DaemonError):
            return _refuse(request, error_object(error))
        if isinstance(error, InvalidParams):
            data = UNSET if error.path is None else {"path": error.path}
            return _refuse(request, ErrorObject(Code.INVALID_PARAMS, str(error), data))
        self._log.failure("JSON-RPC's {method} failed", failure=failure, method=request.method)
        path = getattr(params, "path", None)
        data = UNSET if path is None else {"path": path}
        message = f"Internal error: {type(error).__name__}; the daemon's log says more"
        return _refuse(request, ErrorObject(Code.INTERNAL_ERROR, message, data))


def _no_such_method(name: str) -> ErrorObject:
    shown = name if len(name) <= _MAX_SHOWN_NAME else name[:_MAX_SHOWN_NAME] + "..."
    message = f"no method {shown!r}; rpc.discover tells which there are"
    return ErrorObject(Code.METHOD_NOT_FOUND, message)


def _refuse(request: Request, error: ErrorObject) -> Reply:
    if request.id is ABSENT:
        return NO_REPLY
    return Reply(encode_error(request.id, error))


def _succeed(request: Request, method: Method[Any, Any], params: object, value: object) -> Reply:
    """Make the answer; descriptors that nobody will get are closed."""
    descriptors = () if method.descriptors is None else method.descriptors(value)
    try:
        if request.id is not ABSENT:
            result = method.present(value, params)
            if isinstance(result, LongResult):
                pieces = encode_long_result(request.id, result)
                if result.is_long:
                    return Reply(next(pieces), rest=pieces)
                return Reply(b"".join(pieces))
            return Reply(encode_result(request.id, result), descriptors)
    except Exception:
        _close_all(descriptors)
        raise
    _close_all(descriptors)
    return NO_REPLY


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
