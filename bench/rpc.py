"""A small client of libvirt's log protocol, the same for virtlogd and for this daemon.

It is not the package's own: what measures the code must not change with it.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple, final

from twisted_virtlog.client.closing import Closing

_PROGRAM = 0x87539319
_VERSION = 1
_OPEN, _POSITION, _READ = 1, 2, 3
_CALL, _MESSAGE, _REPLY_WITH_DESCRIPTORS = 0, 2, 5
_KEEPALIVE_PROGRAM, _PING = 0x6B656570, 1
_TRUNCATE = 1

#: length, program, version, procedure, type, serial, status
_HEADER = struct.Struct(">IIIiIII")
_POSITION_RESULT = struct.Struct(">QQ")
_SECONDS = 60.0
#: Calls whose answers a daemon may owe us while we send more.
_IN_FLIGHT = 32


class CallFailed(Exception):
    """The daemon answered with an error, whose message this is, or not at all."""


class Place(NamedTuple):
    """Where a log ends: a file, and an offset in it."""

    inode: int
    offset: int


def open_request(path: str, truncate: bool = True, serial: int = 0) -> bytes:
    """Write down a call that opens a log.

    :param truncate: begin with an empty file.
    """
    arguments = _string(b"bench") + bytes(16) + _string(b"guest") + _string(os.fsencode(path))
    return _request(_OPEN, arguments + struct.pack(">I", _TRUNCATE if truncate else 0), serial)


def position_request(path: str, serial: int = 0) -> bytes:
    """Write down a call that asks for a log's position."""
    return _request(_POSITION, _string(os.fsencode(path)) + bytes(4), serial)


def read_request(path: str, start: Place, most: int, serial: int = 0) -> bytes:
    """Write down a call that reads at most so many bytes from a place on."""
    arguments = struct.pack(">QQQI", start.inode, start.offset, most, 0)
    return _request(_READ, _string(os.fsencode(path)) + arguments, serial)


def ping() -> bytes:
    """Write down a keepalive message that asks for one back."""
    return _HEADER.pack(_HEADER.size, _KEEPALIVE_PROGRAM, _VERSION, _PING, _MESSAGE, 0, 0)


@final
class Client(Closing):
    """A connection that waits for each answer."""

    def __init__(self, path: str, seconds: float = _SECONDS) -> None:
        """Connect.

        :param path: of the daemon's socket for libvirt's drivers.
        :param seconds: to wait for an answer.
        :raises OSError: nobody listens there.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def open(self, path: str) -> int:
        """Open a log that begins empty.

        :returns: the write end of its pipe, the caller's to close.
        """
        self._socket.sendall(open_request(path))
        self._reply()
        # One byte of no meaning, in a segment of its own, carries the descriptor.
        _, ancillary, _, _ = self._socket.recvmsg(
            1, socket.CMSG_SPACE(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
        ((_, _, content),) = ancillary
        (descriptor,) = array.array("i", content)
        return descriptor

    def position(self, path: str) -> Place:
        """Ask for a log's position; the answer says that all that was written has landed."""
        return self.positions([path])[0]

    def positions(self, paths: Iterable[str]) -> list[Place]:
        """Ask for many positions, some at a time."""
        waiting = list(paths)
        found: list[Place] = []
        while waiting:
            now, waiting = waiting[:_IN_FLIGHT], waiting[_IN_FLIGHT:]
            self._socket.sendall(b"".join(map(position_request, now)))
            found += [Place(*_POSITION_RESULT.unpack(self._reply())) for _ in now]
        return found

    def read(self, path: str, start: Place, most: int) -> bytes:
        """Read bytes, which for libvirt end at the first NUL."""
        self._socket.sendall(read_request(path, start, most))
        reply = self._reply()
        (length,) = struct.unpack_from(">I", reply)
        return reply[4 : 4 + length]

    def close(self) -> None:
        """Close the connection; logs stay open."""
        self._socket.close()

    def _reply(self) -> bytes:
        header = self._receive(_HEADER.size)
        length, *_, kind, _, status = _HEADER.unpack(header)
        payload = self._receive(length - _HEADER.size)
        if status:
            raise CallFailed(_message(payload))
        # The number of descriptors comes before the result.
        return payload[4:] if kind == _REPLY_WITH_DESCRIPTORS else payload

    def _receive(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._socket.recv(size)
            if not part:
                raise CallFailed("the daemon closed the connection")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _request(procedure: int, arguments: bytes, serial: int) -> bytes:
    length = _HEADER.size + len(arguments)
    return _HEADER.pack(length, _PROGRAM, _VERSION, procedure, _CALL, serial, 0) + arguments


def _string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)


def _message(error: bytes) -> str:
    """Give the text of an error, which comes after a code, a domain and a flag."""
    _, _, present, length = struct.unpack_from(">iiII", error)
    return os.fsdecode(error[16 : 16 + length]) if present else "an error without a text"
