"""A socket that is not in the kernel, and the other ends of real ones."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Sequence

#: A test that waits this long for a socket has failed.
PATIENCE = 60.0

REPLY = 1
REPLY_WITH_DESCRIPTORS = 5


class MeteredSocket:
    """A socket whose peer makes room for as many bytes as a test says; it is not in the kernel.

    :ivar room: bytes that it takes from now on; then it is full.
    :ivar sent: what it took.
    :ivar incoming: what recv gives, one item at a time; b"" is the end, and an error is raised.
    """

    def __init__(self, number: int = 1000, room: int = 0) -> None:
        self.room = room
        self.sent = b""
        self.incoming: deque[bytes | OSError] = deque()
        self._number = number

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        self._number = -1

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("iII", os.getpid(), os.geteuid(), os.getegid())[:size]

    def send(self, data: bytes | memoryview) -> int:
        return self.sendmsg([data])

    def sendmsg(self, buffers: Sequence[bytes | memoryview], ancillary: object = ()) -> int:
        if not self.room:
            raise BlockingIOError
        taken = b"".join(buffers)[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def recv(self, size: int) -> bytes:
        if not self.incoming:
            raise BlockingIOError
        item = self.incoming.popleft()
        if isinstance(item, OSError):
            raise item
        assert len(item) <= size
        return item


def descriptors_open() -> int:
    """Count this process's descriptors."""
    return len(os.listdir("/proc/self/fd"))


def make_descriptors(count: int) -> tuple[list[int], list[int]]:
    """Make descriptors of files that can be told apart; give their inodes too."""
    descriptors = [os.memfd_create("told by its inode") for _ in range(count)]
    return descriptors, [os.fstat(descriptor).st_ino for descriptor in descriptors]


def inodes_of(descriptors: Sequence[int]) -> list[int]:
    """Return the inodes of descriptors that came, and close them."""
    inodes = [os.fstat(descriptor).st_ino for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return inodes


def fill(sock: socket.socket) -> int:
    """Write until a socket takes no byte more; tell how many it took."""
    sock.setblocking(False)
    filled = 0
    try:
        while True:
            filled += sock.send(b"." * 4096)
    except BlockingIOError:
        return filled


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Read N bytes with plain reads, which lose a descriptor that comes with them."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, "the connection ended too early"
        data += more
    return data


def receive_to_end(sock: socket.socket) -> bytes:
    """Read all that comes until the other side closes."""
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def frame(payload: bytes, descriptors: int = 0) -> bytes:
    """Make a reply in libvirt's framing, which may promise descriptors."""
    kind = REPLY_WITH_DESCRIPTORS if descriptors else REPLY
    if descriptors:
        payload = struct.pack(">I", descriptors) + payload
    header = struct.pack(">7I", 28 + len(payload), 0x87539319, 1, 1, kind, 7, 0)
    return header + payload


def receive_as_libvirt(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Read a reply as libvirt's client does: the frame plainly, then a byte for each descriptor.

    :returns: the frame and the inodes of its descriptors.
    """
    length = receive_exactly(sock, 4)
    data = length + receive_exactly(sock, struct.unpack(">I", length)[0] - 4)
    inodes = []
    if data[16:20] == struct.pack(">I", REPLY_WITH_DESCRIPTORS):
        for _ in range(struct.unpack(">I", data[28:32])[0]):
            byte, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
            assert len(byte) == 1
            inodes += inodes_of(descriptors)
    return data, inodes
