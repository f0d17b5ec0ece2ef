"""A client of libvirt's protocol, over the same fakes as JSON-RPC's."""

from __future__ import annotations

import struct
from typing import Any

from harness.strict_xdr import decode, decode_known_header
from tests.fakes.administration import FakeDaemon
from tests.fakes.connection import FakeConnection
from tests.fakes.handler import FakeHandler
from tests.fakes.slices import Slices
from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
from twisted_virtlog.libvirt.framing import HEADER_BYTES, FrameStream
from twisted_virtlog.libvirt.log_program import LOG_PROGRAM
from twisted_virtlog.libvirt.messages import ERROR_BODY, ErrorBody, Header, Status
from twisted_virtlog.libvirt.program import Served, serving
from twisted_virtlog.libvirt.protocol import LibvirtConversation

UUID = bytes.fromhex("175df1ec9e884f8cb655c4a8f8794f8d")
UUID_TEXT = "175df1ec-9e88-4f8c-b655-c4a8f8794f8d"


def string(value: bytes) -> bytes:
    """Write a string as a client does; made here, so that nothing is tested with itself."""
    return struct.pack(">I", len(value)) + value + bytes(-len(value) % 4)


def guest_and_path(path: bytes) -> bytes:
    """Write how the arguments of open and append begin."""
    return string(b"qemu") + UUID + string(b"demo") + string(path)


def open_arguments(path: bytes, flags: int = 0) -> bytes:
    """Write arguments of procedure 1."""
    return guest_and_path(path) + struct.pack(">I", flags)


def position_arguments(path: bytes, flags: int = 0) -> bytes:
    """Write arguments of procedure 2."""
    return string(path) + struct.pack(">I", flags)


def read_arguments(
    path: bytes, inode: int = 7, offset: int = 3, maxlen: int = 100, flags: int = 0
) -> bytes:
    """Write arguments of procedure 3."""
    return string(path) + struct.pack(">QQQI", inode, offset, maxlen, flags)


def append_arguments(path: bytes, message: bytes = b"m\n", flags: int = 0) -> bytes:
    """Write arguments of procedure 4."""
    return guest_and_path(path) + string(message) + struct.pack(">I", flags)


def frame(
    procedure: int,
    payload: bytes = b"",
    *,
    program: int = 0x87539319,
    version: int = 1,
    kind: int = 0,
    serial: int = 5,
    status: int = 0,
) -> bytes:
    """Write a frame, a call unless told otherwise; all words may be any number."""
    words = [28 + len(payload), program, version, procedure, kind, serial, status]
    return b"".join((word % 2**32).to_bytes(4, "big") for word in words) + payload


class AnyClient:
    """One conversation over a fake connection, as its client sees it."""

    def __init__(self, served: Served[Any], congest_at: int | None = None) -> None:
        self.slices = Slices()
        self.conversation = LibvirtConversation(serving(served), self.slices)
        self.connection = FakeConnection(self.conversation, congest_at)
        self.conversation.connection_made(self.connection)
        self._program = served.program.number

    @property
    def frames(self) -> list[tuple[Header, bytes]]:
        """All answers: headers and payloads."""
        stream = FrameStream()
        plain = b"".join(data for data, descriptors in self.connection.sent if not descriptors)
        stream.feed(plain)
        frames = list(iter(stream.next_frame, None))
        assert b"".join(frames) == plain, "an answer that is no frame"
        return [(decode_known_header(data), data[HEADER_BYTES:]) for data in frames]

    def send(self, data: bytes) -> None:
        """Send bytes, and let the daemon have all the turns it asks for."""
        self.conversation.data_received(data)
        self.slices.take_all()

    def call(self, procedure: int, payload: bytes = b"", **words: int) -> tuple[Header, bytes]:
        """Send a call; return its one answer."""
        before = len(self.frames)
        self.send(frame(procedure, payload, **{"program": self._program, **words}))
        (answer,) = self.frames[before:]
        return answer

    def error(self, procedure: int, payload: bytes = b"", **words: int) -> ErrorBody:
        """Send a call; return the error that it is answered with."""
        header, body = self.call(procedure, payload, **words)
        assert header.status == Status.ERROR
        return decode(ERROR_BODY, body)


class Client(AnyClient):
    """A client of the log program.

    :ivar handler: answers each method by what its name was given; see FakeHandler.
    """

    def __init__(self, congest_at: int | None = None, **answers: Any) -> None:
        self.handler = FakeHandler(**answers)
        super().__init__(Served(LOG_PROGRAM, self.handler), congest_at)


class AdminClient(AnyClient):
    """A client of the admin program."""

    def __init__(self, daemon: FakeDaemon) -> None:
        super().__init__(Served(ADMIN_PROGRAM, daemon.administration))
