"""Replies to requests, and how those of a batch become one array, sent in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from twisted_virtlog.jsonrpc.messages import Batch

# A batch's array is not gathered whole: its answers may be many times larger than its requests.
# A short one still leaves as one segment. (The kernel takes 253 descriptors with one.)
_PIECE_BYTES = 65536
_PIECE_DESCRIPTORS = 64

#: Where an array must be sent whole, an entry is refused when its answers have this many bytes.
MAX_GATHERED_BYTES = 16 * 1024 * 1024


class Reply(NamedTuple):
    """Bytes to send and the descriptors to send with them, which whoever holds it owns.

    :ivar rest: makes the pieces that follow; only a reply without descriptors has such.
    :ivar size: bytes of ``text`` and all pieces, if there is a ``rest``.
    """

    text: bytes
    descriptors: Sequence[int] = ()
    rest: Iterator[bytes] | None = None
    size: int = 0


#: What becomes of a notification.
NO_REPLY = Reply(b"")


class BatchReply:
    """Gathers the replies to a batch's entries and gives them back as pieces of one array.

    :ivar entries: the batch; whoever carries it out takes its entries from here.
    :ivar begun: the array has an entry.
    :ivar sent: a piece of the array was sent; whoever does so sets it.
    """

    def __init__(self, entries: Batch, begun: bool = False) -> None:
        self.entries = entries
        self.begun = self.sent = begun
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._descriptors: list[int] = []

    def add(self, reply: Reply) -> None:
        """Gather the reply to an entry; NO_REPLY leaves no trace."""
        if reply is NO_REPLY:
            return
        pieces = (reply.text, *(reply.rest or ()))
        self._gathered += (b"," if self.begun else b"[", *pieces)
        self._gathered_bytes += sum(map(len, pieces))
        self._descriptors += reply.descriptors
        self.begun = True

    @property
    def held_bytes(self) -> int:
        """Memory that the requests and the gathered replies take."""
        return self.entries.held_bytes + self._gathered_bytes

    @property
    def is_piece_full(self) -> bool:
        """Whether enough was gathered to send it."""
        return self._gathered_bytes >= _PIECE_BYTES or len(self._descriptors) >= _PIECE_DESCRIPTORS

    @property
    def is_full(self) -> bool:
        """Whether no more can be gathered where the array must be sent whole."""
        return self._gathered_bytes >= MAX_GATHERED_BYTES

    def gathered(self) -> Reply:
        """Return what was gathered and leave it here, too."""
        return Reply(b"".join(self._gathered), tuple(self._descriptors))

    def put_back(self, piece: Reply) -> None:
        """Gather again what another one had gathered; nothing was sent, then."""
        self.sent = False
        self._gathered.append(piece.text)
        self._gathered_bytes += len(piece.text)
        self._descriptors += piece.descriptors

    def take(self) -> Reply:
        """Take out what was gathered, NO_REPLY if that is nothing."""
        if not self._gathered:
            return NO_REPLY
        piece = Reply(b"".join(self._gathered), self._descriptors)
        self._gathered, self._gathered_bytes, self._descriptors = [], 0, []
        return piece

    def take_last(self) -> Reply:
        """Take out what was gathered, with the array's end, NO_REPLY if there is no array."""
        if self.begun:
            self._gathered.append(b"]")
        return self.take()
