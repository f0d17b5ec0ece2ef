"""The contents of a frame: the header, and the error structure in the reply to a failed call."""

from __future__ import annotations

import enum
import struct

import msgspec

from twisted_virtlog.libvirt.compound import Optional, Record
from twisted_virtlog.libvirt.framing import HEADER_BYTES, LENGTH_BYTES
from twisted_virtlog.libvirt.xdr import INT, FixedOpaque, Reader, ShortPayload, String, XDRError

#: The longest string in any program of libvirt 9.0.0.
MAX_STRING_BYTES = 4 * 1024 * 1024
MAX_DESCRIPTORS = 32

STRING = String(MAX_STRING_BYTES)
UUID = FixedOpaque(16)

#: Where in a frame the message's type is, up to the serial, and that.
TYPE_AT, SERIAL_AT, SERIAL_END = 16, 20, 24

#: From this size on, it is cheaper to send a frame in pieces than to join them.
_LARGE_BYTES = 256 * 1024

_HEADER = struct.Struct(">IIIiIII")
# That of a reply: what names the procedure, and the serial, are copied from the call's.
_REPLY_HEADER = struct.Struct(">I12sI4sI")
_COUNT = struct.Struct(">I")


class TooManyDescriptors(XDRError):
    """A message announces more descriptors than are allowed."""


class MessageType(enum.IntEnum):
    """What a message is."""

    CALL = 0
    REPLY = 1
    MESSAGE = 2
    STREAM = 3
    CALL_WITH_FDS = 4
    REPLY_WITH_FDS = 5


class Status(enum.IntEnum):
    """Whether a reply holds results or the error structure."""

    OK = 0
    ERROR = 1
    CONTINUE = 2


class Header(msgspec.Struct, frozen=True, gc=False):
    """A message's header.

    :ivar type: a MessageType, or any other number that a client sent.
    :ivar serial: chosen by the caller, and repeated in the reply.
    :ivar status: a Status, or any other number that a client sent.
    """

    program: int
    version: int
    procedure: int
    type: int
    serial: int
    status: int


def decode_header(frame: bytes | memoryview) -> Header:
    """Read the header of a frame, with any type and status.

    :raises ShortPayload: the frame is too short for it.
    """
    try:
        _, program, version, procedure, kind, serial, status = _HEADER.unpack_from(frame)
    except struct.error:
        reason = f"a header has {HEADER_BYTES} bytes, there are {len(frame)}"
        raise ShortPayload(reason, 0) from None
    return Header(program, version, procedure, kind, serial, status)


def decode_descriptor_count(frame: bytes | memoryview) -> int:
    """Read how many descriptors follow a frame of type CALL_WITH_FDS or REPLY_WITH_FDS.

    :raises ShortPayload: the payload is too short for their number.
    :raises TooManyDescriptors: there are more than 32.
    """
    count = Reader(frame, HEADER_BYTES).word()
    if count > MAX_DESCRIPTORS:
        reason = f"{count} descriptors; at most {MAX_DESCRIPTORS} are allowed"
        raise TooManyDescriptors(reason, HEADER_BYTES)
    return count


def encode_descriptor_count(count: int) -> bytes:
    """Return the beginning of a payload whose frame is followed by descriptors."""
    return _COUNT.pack(count)


def encode_frame(header: Header, payload: list[bytes]) -> bytes:
    """Return a frame with a header and a payload in parts."""
    size = HEADER_BYTES + sum(map(len, payload))
    return b"".join([_HEADER.pack(size, *msgspec.structs.astuple(header)), *payload])


def encode_reply(call: bytes, kind: int, status: int, payload: list[bytes]) -> list[bytes]:
    """Return the frame of a reply to a call.

    :param call: the header of the call's frame, as it came.
    :param kind: a MessageType.
    :param status: a Status.
    :param payload: the payload, in parts.
    :returns: the frame in one piece or, to avoid copying megabytes, in several.
    """
    if len(payload) == 1 and len(payload[0]) < _LARGE_BYTES:
        # (as that of nearly all answers)
        return [_reply_header(call, kind, status, len(payload[0])) + payload[0]]
    size = sum(map(len, payload))
    parts = [_reply_header(call, kind, status, size), *payload]
    return [b"".join(parts)] if size < _LARGE_BYTES else [part for part in parts if part]


def _reply_header(call: bytes, kind: int, status: int, size: int) -> bytes:
    """Return the header of a reply, with a payload of ``size`` bytes."""
    procedure, serial = call[LENGTH_BYTES:TYPE_AT], call[SERIAL_AT:SERIAL_END]
    return _REPLY_HEADER.pack(HEADER_BYTES + size, procedure, kind, serial, status)


class ErrorGuest(msgspec.Struct, frozen=True):
    """The guest that an error is about."""

    name: bytes
    uuid: bytes
    id: int


class ErrorNetwork(msgspec.Struct, frozen=True):
    """The network that an error is about."""

    name: bytes
    uuid: bytes


class ErrorBody(msgspec.Struct, frozen=True):
    """libvirt's error structure, which :mod:`twisted_virtlog.libvirt.errors` fills in.

    :ivar message: the complete text that users see.
    :ivar level: 2 for an error.
    """

    code: int
    domain: int
    message: bytes | None
    level: int = 2
    dom: ErrorGuest | None = None
    str1: bytes | None = None
    str2: bytes | None = None
    str3: bytes | None = None
    int1: int = 0
    int2: int = 0
    net: ErrorNetwork | None = None


ERROR_BODY = Record(
    ErrorBody,
    code=INT,
    domain=INT,
    message=Optional(STRING),
    level=INT,
    dom=Optional(Record(ErrorGuest, name=STRING, uuid=UUID, id=INT)),
    str1=Optional(STRING),
    str2=Optional(STRING),
    str3=Optional(STRING),
    int1=INT,
    int2=INT,
    net=Optional(Record(ErrorNetwork, name=STRING, uuid=UUID)),
)
