"""What the daemon and the process that packs files tell each other, in packets with descriptors."""

from __future__ import annotations

import struct

from msgspec import Struct

from twisted_virtlog.packed.format import ORIGIN_BYTES, Origin, origin_frame, parse_origin

#: No packet is longer.
MOST_BYTES = ORIGIN_BYTES + 64

#: The most descriptors that come with one.
MOST_DESCRIPTORS = 2

#: To write to the disk what was packed; its descriptor comes with it. The other request is which
#: file is to be packed, as a packed file says it, with its descriptor and that of an empty one.
SYNC = b"sync"

_answer = struct.Struct("<IIQ")


class Answer(Struct, frozen=True):
    """How a request went.

    :ivar error: 0, or an errno.
    :ivar pid: the number of the process.
    :ivar size: of the file that was made, in bytes.
    """

    error: int
    pid: int
    size: int = 0

    def packet(self) -> bytes:
        """Return what is sent."""
        return _answer.pack(self.error, self.pid, self.size)


def parse_answer(packet: bytes) -> Answer:
    """Return what a packet says.

    :raises ValueError: it is none.
    """
    try:
        return Answer(*_answer.unpack(packet))
    except struct.error as error:
        raise ValueError("not an answer") from error


def pack_request(origin: Origin) -> bytes:
    """Return what asks for a file to be packed."""
    return origin_frame(origin)


def parse_request(packet: bytes) -> Origin | None:
    """Return which file is to be packed; None for :data:`SYNC`.

    :raises ValueError: it is no request.
    """
    return None if packet == SYNC else parse_origin(packet)[0]
