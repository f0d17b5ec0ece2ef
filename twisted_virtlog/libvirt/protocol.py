"""One client's conversation in libvirt's binary RPC: frames in, answers of the programs out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import DaemonError
from twisted_virtlog.interfaces import InSlices
from twisted_virtlog.libvirt.errors import Refused, rpc_failure, unforeseen
from twisted_virtlog.libvirt.framing import HEADER_BYTES, FrameStream
from twisted_virtlog.libvirt.messages import (
    ERROR_BODY,
    SERIAL_AT,
    SERIAL_END,
    TYPE_AT,
    ErrorBody,
    Header,
    MessageType,
    Status,
    decode_descriptor_count,
    decode_header,
    encode_descriptor_count,
    encode_frame,
    encode_reply,
)
from twisted_virtlog.libvirt.program import (
    SHORT_BYTES,
    Call,
    Procedure,
    ServedPrograms,
    dispatch,
)
from twisted_virtlog.libvirt.xdr import Reader, XDRError
from twisted_virtlog.loop.durations import ByName
from twisted_virtlog.sockets.asking import AskingConversation
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.values import Suspended

KEEPALIVE_PROGRAM = 0x6B656570
KEEPALIVE_VERSION = 1
PING = 1
PONG = 2

_PONG_FRAME = encode_frame(
    Header(KEEPALIVE_PROGRAM, KEEPALIVE_VERSION, PONG, MessageType.MESSAGE, 0, Status.OK), []
)

_COUNT_BYTES = 4

#: The type of a frame that descriptors follow, as it is written there.
_WITH_FDS = MessageType.CALL_WITH_FDS.to_bytes(4, "big")

# (so that members of an enum need not be looked up for each call)
_CALL_WITH_FDS, _REPLY, _OK = MessageType.CALL_WITH_FDS, MessageType.REPLY, Status.OK
_REPLY_WITH_FDS = MessageType.REPLY_WITH_FDS


class LibvirtConversation(AskingConversation[bytes, Procedure[Any, Any, Any], None]):
    """Answers one client's calls, and reads bytes as leniently as virtlogd (libvirt 9.0.0) does.

    If a client sends descriptors, only the bytes that carry them arrive here: the connection does
    not receive ancillary data, so the kernel drops the descriptors. No procedure takes any.

    :param programs: what the socket serves.
    :param in_slices: does what is long by itself.
    :param calls: see AskingConversation.
    """

    _log = Logger()

    def __init__(
        self, programs: ServedPrograms, in_slices: InSlices, calls: ByName | None = None
    ) -> None:
        super().__init__(calls)
        self._programs = programs
        self._recent = programs.recent
        self._in_slices = in_slices
        self._frames = FrameStream()
        # A frame whose bytes for descriptors have not all arrived.
        self._incomplete: bytes | memoryview | None = None

    @property
    def held_bytes(self) -> int:
        begun = 0 if self._incomplete is None else len(self._incomplete)
        return begun + self._frames.held_bytes

    @property
    def is_done(self) -> bool:
        return self._incomplete is None and not self._frames.held_bytes

    def discard(self) -> None:
        self._frames = FrameStream()
        self._incomplete = None

    def feed(self, data: bytes) -> None:
        self._frames.feed(data)

    def suspended(self) -> Suspended:
        begun = b"" if self._incomplete is None else bytes(self._incomplete)
        return msgspec.structs.replace(super().suspended(), received=begun + self._frames.rest())

    def resume(self, state: Suspended) -> None:
        super().resume(state)
        self._frames.feed(state.received)

    def handle_next(self) -> bool | Deferred[None]:
        try:
            frame = self._next_frame()
        except XDRError as error:
            self._log.warn("closing a client's connection: {error}", error=error)
            self.close()
            return True
        if frame is None:
            return False
        if isinstance(frame, bytes) and len(frame) <= SHORT_BYTES:
            request = frame
            call = self._recent.get(frame[:SERIAL_AT] + frame[SERIAL_END:]) or self._decoded(frame)
        else:
            # (its answer may come late)
            request = bytes(frame[:HEADER_BYTES])
            call = self._decoded(frame)
        if call is None:
            return True
        return self.carry_out(request, call.procedure, call.service, call.arguments) or True

    def _next_frame(self) -> bytes | memoryview | None:
        """Take out the next frame, if what follows it has arrived, too.

        :raises XDRError: the connection cannot continue.
        """
        frame = self._incomplete
        if frame is None:
            frame = self._frames.next_frame()
            if frame is None or frame[TYPE_AT:SERIAL_AT] != _WITH_FDS:
                return frame
        # (so many bytes follow the frame, each of which carries a descriptor)
        taken = self._frames.take(decode_descriptor_count(frame))
        self._incomplete = None if taken else frame
        return frame if taken else None

    def _decoded(self, frame: bytes | memoryview) -> Call | None:
        """Return what a frame asks for; None if that is answered already, or needs no answer."""
        header = decode_header(frame)
        try:
            target = dispatch(self._programs, header)
        except Refused as refused:
            self._send_error(bytes(frame[:HEADER_BYTES]), refused.body)
            return None
        if target is None:
            self._handle_other(header)
            return None
        procedure, service = target
        payload_at = HEADER_BYTES + (_COUNT_BYTES if header.type == _CALL_WITH_FDS else 0)
        try:
            arguments = procedure.arguments.read(Reader(frame, payload_at))
        except XDRError as error:
            self._log.debug("{name}: {error}", name=procedure.name, error=error)
            failure = rpc_failure("Unable to decode message payload")
            self._send_error(bytes(frame[:HEADER_BYTES]), failure)
            return None
        call = Call(procedure, service, arguments)
        if isinstance(frame, bytes):
            self._recent.add(frame, call)
        return call

    def _handle_other(self, header: Header) -> None:
        keepalive = (KEEPALIVE_PROGRAM, KEEPALIVE_VERSION, MessageType.MESSAGE)
        if (header.program, header.version, header.type) != keepalive:
            self._log.debug("ignored a message of type {type}", type=header.type)
        elif header.procedure == PING:
            self.connection.send(_PONG_FRAME)

    def present(
        self, answer: Any, request: bytes, entry: Procedure[Any, Any, Any], arguments: Any
    ) -> Deferred[None] | None:
        """Send the results; later, if they are long."""
        if entry.slices is not None:
            slices = entry.slices(answer, arguments)
            if slices is not None:
                return self._present_long(slices, request, entry, arguments)
        if entry.descriptors is not None:
            self._present_descriptors(entry.descriptors(answer), answer, request, entry, arguments)
        else:
            parts: list[bytes] = []
            entry.results.write(entry.present(answer, arguments), parts)
            for piece in encode_reply(request, _REPLY, _OK, parts):
                self.connection.send(piece)
        if entry.closes:
            self.close()
        return None

    def _present_descriptors(
        self,
        descriptors: Sequence[int],
        answer: Any,
        request: bytes,
        entry: Procedure[Any, Any, Any],
        arguments: Any,
    ) -> None:
        """Send the results, and descriptors that go with them."""
        parts = [encode_descriptor_count(len(descriptors))]
        try:
            entry.results.write(entry.present(answer, arguments), parts)
        except BaseException:
            close_all(descriptors)
            raise
        for piece in encode_reply(request, _REPLY_WITH_FDS, _OK, parts):
            self.connection.send(piece)
        for descriptor in descriptors:
            self.connection.send(b"\0", (descriptor,))

    def _present_long(
        self,
        slices: Generator[None, None, list[bytes]],
        request: bytes,
        entry: Procedure[Any, Any, Any],
        arguments: Any,
    ) -> Deferred[None] | None:
        def send(parts: list[bytes]) -> None:
            for piece in encode_reply(request, _REPLY, _OK, parts):
                self.connection.send(piece)

        made = self._in_slices(slices)
        if not isinstance(made, Deferred):
            send(made)
            return None
        return made.addCallback(send).addErrback(self._fail_later, request, entry, arguments)

    def fail(
        self,
        error: BaseException | None,
        failure: Failure | None,
        request: bytes,
        entry: Procedure[Any, Any, Any],
        arguments: Any,
    ) -> None:
        """Send the error."""
        if isinstance(error, Refused):
            body = error.body
        elif isinstance(error, DaemonError):
            body = entry.explain(error, arguments)
        else:
            self._log.failure("{name} failed", failure=failure, name=entry.name)
            body = unforeseen(error)
        self._send_error(request, body)

    def _send_error(self, request: bytes, body: ErrorBody) -> None:
        parts: list[bytes] = []
        ERROR_BODY.write(body, parts)
        for piece in encode_reply(request, _REPLY, Status.ERROR, parts):
            self.connection.send(piece)
