"""Replies to requests, and how those of a batch become one array, sent in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from twisted_virtlog.jsonrpc.messages import Batch

# A batch's array is not gathered whole: its answers may be many times larger than its requests.
# A short one still leaves as one segment. (The kernel takes 253 descriptors with one.)
_PIECE_BYTES = 65536
_PIECE_DESCRIPTORS = 64


class Reply(NamedTuple):
    """Bytes to send and the descriptors to send with them, which whoever holds it owns.

    :ivar rest: makes the pieces that follow; only a reply without descriptors has such.
    """

    text: bytes
    descriptors: Sequence[int] = ()
    rest: Iterator[bytes] | None = None


#: What becomes of a notification.
NO_REPLY = Reply(b"")


class BatchReply:
    """Gathers the replies to a batch's entries and gives them back as pieces of one array.

    :ivar entries: the batch; whoever carries it out takes its entries from here.
    :ivar begun: the array has an entry, which may have been sent.
    """

    def __init__(self, entries: Batch, begun: bool = False) -> None:
        self.entries = entries
        self.begun = begun
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
    def is_piece_full(self) -> bool:
        """Whether enough was gathered to send it."""
        return self._gathered_bytes >= _PIECE_BYTES or len(self._descriptors) >= _PIECE_DESCRIPTORS

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
            self._gathered.append(b"]\n")
        return self.take()
