"""Replies to requests, and how those to a batch become one array that is sent in pieces."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from twisted_virtlog.jsonrpc.messages import Batch

# The array for a batch is not gathered as a whole: answers may be much larger than requests. A
# short one is still sent as one segment. (The kernel takes 253 descriptors with a segment.)
_PIECE_BYTES = 65536
_PIECE_DESCRIPTORS = 64

# From this size on, an array that is sent as a whole is not joined.
_LARGE_BYTES = 256 * 1024

#: If an array must be sent as a whole, entries are refused once the answers have this many bytes.
MAX_GATHERED_BYTES = 16 * 1024 * 1024


class Reply(NamedTuple):
    """Bytes to send and the descriptors to send with them, which belong to the holder.

    :ivar rest: yields the pieces that follow, each of which is made or found in a small part of a
        share of time.
    :ivar size: the bytes in ``text`` and all pieces, if there is a ``rest``.
    """

    text: bytes
    descriptors: Sequence[int] = ()
    rest: Iterator[bytes] | None = None
    size: int = 0


#: The reply to a notification.
NO_REPLY = Reply(b"")


class BatchReply:
    """Gathers the replies to the entries of a batch, and returns them as pieces of one array.

    :ivar entries: the batch, from which its entries are taken.
    :ivar begun: whether the array has an entry.
    :ivar sent: whether a piece of the array was sent; set by the sender.
    """

    def __init__(self, entries: Batch, begun: bool = False) -> None:
        self.entries = entries
        self.begun = self.sent = begun
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._descriptors: list[int] = []

    def add(self, reply: Reply) -> None:
        """Gather the reply to an entry, without its rest; NO_REPLY adds nothing."""
        if reply is NO_REPLY:
            return
        self._gathered += (b"," if self.begun else b"[", reply.text)
        self._gathered_bytes += len(reply.text)
        self._descriptors += reply.descriptors
        self.begun = True

    def add_rest(self, rest: Iterator[bytes]) -> Generator[None, None, None]:
        """Gather the rest of the reply that was added last, a piece at a time."""
        for piece in rest:
            self._gathered.append(piece)
            self._gathered_bytes += len(piece)
            yield

    @property
    def held_bytes(self) -> int:
        """The memory that the requests and the gathered replies take, in bytes."""
        return self.entries.held_bytes + self._gathered_bytes

    @property
    def is_piece_full(self) -> bool:
        """Whether enough was gathered for a piece."""
        return self._gathered_bytes >= _PIECE_BYTES or len(self._descriptors) >= _PIECE_DESCRIPTORS

    @property
    def is_full(self) -> bool:
        """Whether no more may be gathered if the array must be sent as a whole."""
        return self._gathered_bytes >= MAX_GATHERED_BYTES

    def gathered(self) -> Reply:
        """Return what was gathered, and keep it."""
        return Reply(b"".join(self._gathered), tuple(self._descriptors))

    def put_back(self, piece: Reply) -> None:
        """Take over what another instance had gathered; nothing of it was sent."""
        self.sent = False
        self._gathered.append(piece.text)
        self._gathered_bytes += len(piece.text)
        self._descriptors += piece.descriptors

    def take(self, in_pieces: bool = False) -> Reply:
        """Take out what was gathered, or NO_REPLY if that is nothing.

        :param in_pieces: whether much of it may have a rest.
        """
        if not self._gathered:
            return NO_REPLY
        gathered, size, descriptors = self._gathered, self._gathered_bytes, self._descriptors
        self._gathered, self._gathered_bytes, self._descriptors = [], 0, []
        if size < _LARGE_BYTES or not in_pieces:
            return Reply(b"".join(gathered), descriptors)
        pieces = _joined(gathered)
        size = sum(map(len, gathered))
        return Reply(next(pieces), descriptors, pieces, size)

    def take_last(self) -> Reply:
        """Take out what was gathered and the end of the array, or NO_REPLY if there is no array.

        It may have a rest if nothing was sent.
        """
        if self.begun:
            self._gathered.append(b"]")
        return self.take(in_pieces=not self.sent)


def _joined(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Yield what is in parts, in pieces of about the usual size."""
    begin = size = 0
    for end, part in enumerate(parts, 1):
        size += len(part)
        if size >= _PIECE_BYTES:
            yield b"".join(parts[begin:end])
            begin, size = end, 0
    if size:
        yield b"".join(parts[begin:])
