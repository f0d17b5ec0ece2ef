"""A client of libvirt's binary protocol that knows nothing of the package: what is sent is bytes.

It writes frames of any kind, broken ones too, and reads answers strictly: an answer whose bytes
are not exactly those of its fields raises AssertionError.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import struct
from types import TracebackType
from typing import NamedTuple, final

LOG_PROGRAM = 0x87539319
ADMIN_PROGRAM = 0x06900690
KEEPALIVE_PROGRAM = 0x6B656570
OPEN, POSITION, READ, APPEND = 1, 2, 3, 4
CALL, REPLY, MESSAGE, STREAM, CALL_WITH_FDS, REPLY_WITH_FDS = range(6)
OK, ERROR = 0, 1

_HEADER = struct.Struct(">IIIiIII")
_SECONDS = 60.0


def uint(value: int) -> bytes:
    """Write an unsigned word."""
    return struct.pack(">I", value)


def uhyper(value: int) -> bytes:
    """Write an unsigned word of 64 bits."""
    return struct.pack(">Q", value)


def string(value: bytes) -> bytes:
    """Write a string: its length, its bytes, and zeros up to a multiple of four."""
    return uint(len(value)) + value + bytes(-len(value) % 4)


def frame(
    procedure: int,
    payload: bytes = b"",
    *,
    program: int = LOG_PROGRAM,
    version: int = 1,
    kind: int = CALL,
    serial: int = 0,
    status: int = OK,
    length: int | None = None,
) -> bytes:
    """Write a message.

    :param length: what its length word says; None for the truth.
    """
    size = _HEADER.size + len(payload) if length is None else length
    return _HEADER.pack(size, program, version, procedure, kind, serial, status) + payload


PING = frame(1, program=KEEPALIVE_PROGRAM, kind=MESSAGE)
PONG = frame(2, program=KEEPALIVE_PROGRAM, kind=MESSAGE)


def open_arguments(
    path: bytes, flags: int = 0, driver: bytes = b"qemu", uuid: bytes = bytes(16), name: bytes = b""
) -> bytes:
    """Write what procedure 1 takes."""
    return string(driver) + uuid + string(name) + string(path) + uint(flags)


def position_arguments(path: bytes, flags: int = 0) -> bytes:
    """Write what procedure 2 takes."""
    return string(path) + uint(flags)


def read_arguments(
    path: bytes, inode: int, offset: int, maxlen: int = 1 << 20, flags: int = 0
) -> bytes:
    """Write what procedure 3 takes."""
    return string(path) + uhyper(inode) + uhyper(offset) + uhyper(maxlen) + uint(flags)


def append_arguments(path: bytes, message: bytes, flags: int = 0) -> bytes:
    """Write what procedure 4 takes."""
    return (
        string(b"qemu")
        + bytes(16)
        + string(b"guest")
        + string(path)
        + string(message)
        + (uint(flags))
    )


class Header(NamedTuple):
    """What every answer begins with, less its length."""

    program: int
    version: int
    procedure: int
    kind: int
    serial: int
    status: int


class Failure(NamedTuple):
    """An error as it is told to a client."""

    code: int
    domain: int
    message: bytes | None
    level: int
    str1: bytes | None
    str2: bytes | None
    str3: bytes | None
    int1: int
    int2: int


class Place(NamedTuple):
    """Where a log ends."""

    inode: int
    offset: int


class Answer(NamedTuple):
    """A frame that was received.

    :ivar result: of a successful call: a Place, what was read, or a number; of another message
        its payload.
    :ivar descriptors: of one that was sent along; the receiver's to close.
    """

    header: Header
    result: Failure | Place | bytes | int
    descriptors: tuple[int, ...] = ()


class Closed(Exception):
    """The daemon closed the connection."""


@final
class Connection:
    """A connected client."""

    def __init__(self, path: str) -> None:
        """Connect to a socket's path."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_SECONDS)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes, unless the daemon has closed the connection, as the next answer will tell."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def send_descriptor(self) -> None:
        """Send a descriptor of /dev/null as libvirt does: with a byte of its own."""
        with open(os.devnull, "rb") as null:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()]))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendmsg([b"\0"], [rights])

    def has_answer(self) -> bool:
        """Return whether something has come that was not received yet."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def end_input(self) -> None:
        """Send no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def receive(self) -> Answer:
        """Wait for an answer.

        :raises Closed: there is none, as the connection ended.
        """
        word = self._exactly(4)
        data = word + self._exactly(struct.unpack(">I", word)[0] - 4)
        _, *fields = _HEADER.unpack_from(data)
        header = Header(*fields)
        payload = _Payload(data[_HEADER.size :])
        descriptors: tuple[int, ...] = ()
        if header.kind == REPLY_WITH_FDS:
            descriptors = tuple(self._descriptor() for _ in range(payload.word()))
        answer = Answer(header, _result(header, payload), descriptors)
        assert not payload.left(), f"{payload.left()!r} after {answer}"
        return answer

    def rest(self) -> bytes:
        """Receive all that comes until the connection ends, whatever it is."""
        data = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while got := self._socket.recv(65536):
                data += got
        return bytes(data)

    def call(self, procedure: int, arguments: bytes, serial: int = 0) -> Answer:
        """Call a procedure of the log program and wait for its answer."""
        self.send(frame(procedure, arguments, serial=serial))
        return self.receive()

    def _descriptor(self) -> int:
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        data, ancillary, flags, _ = self._socket.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
        assert data == b"\0"
        assert not flags & socket.MSG_CTRUNC
        ((level, kind, content),) = ancillary
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        (descriptor,) = array.array("i", content)
        return descriptor

    def _exactly(self, size: int) -> bytes:
        """Receive with plain reads, as libvirt does: they lose a descriptor sent too early."""
        data = bytearray()
        while len(data) < size:
            try:
                got = self._socket.recv(size - len(data))
            except ConnectionResetError:
                raise Closed from None
            if not got:
                assert not data, f"the connection ended after {bytes(data)!r}"
                raise Closed
            data += got
        return bytes(data)


class _Payload:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        assert end <= len(self._data), f"{self._data!r} is too short"
        taken, self._at = self._data[self._at : end], end
        return taken

    def left(self) -> bytes:
        return self._data[self._at :]

    def signed(self) -> int:
        number: int = struct.unpack(">i", self.take(4))[0]
        return number

    def word(self) -> int:
        number: int = struct.unpack(">I", self.take(4))[0]
        return number

    def long(self) -> int:
        number: int = struct.unpack(">Q", self.take(8))[0]
        return number

    def string(self) -> bytes:
        value = self.take(self.word())
        assert not self.take(-len(value) % 4).strip(b"\0"), "padding is not zero"
        return value

    def flag(self) -> bool:
        flag = self.word()
        assert flag in {0, 1}, f"{flag} is no flag"
        return bool(flag)

    def optional_string(self) -> bytes | None:
        return self.string() if self.flag() else None

    def failure(self) -> Failure:
        code, domain, message, level = (
            self.signed(),
            self.signed(),
            self.optional_string(),
            self.signed(),
        )
        assert not self.flag(), "an error about a guest"
        str1, str2, str3 = (self.optional_string() for _ in range(3))
        ints = self.signed(), self.signed()
        failure = Failure(code, domain, message, level, str1, str2, str3, *ints)
        assert not self.flag(), "an error about a network"
        return failure


def _result(header: Header, payload: _Payload) -> Failure | Place | bytes | int:
    if header.status == ERROR:
        return payload.failure()
    if (header.program, header.status) != (LOG_PROGRAM, OK):
        return payload.take(len(payload.left()))
    if header.procedure in {OPEN, POSITION}:
        return Place(payload.long(), payload.long())
    return payload.string() if header.procedure == READ else payload.signed()
