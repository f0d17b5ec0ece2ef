"""Results with many bytes in base64, which is made a piece at a time, as the client takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pybase64

#: So many bytes of data are a piece: 128 KiB of base64. A multiple of three, so that pieces join.
PIECE_BYTES = 96 * 1024


class LongResult(NamedTuple):
    """The JSON of a result around a string that is bytes in base64.

    Whole, that string would be a third more memory than the data, whose pages cost more time than
    the encoding does; and a client that is slow to read would make the daemon hold it.

    :ivar before: the JSON up to the string's opening quote.
    :ivar data: the bytes.
    :ivar after: the JSON from the string's closing quote on.
    """

    before: bytes
    data: bytes
    after: bytes

    @property
    def is_long(self) -> bool:
        """Whether it is worth while to send it in pieces."""
        return len(self.data) > PIECE_BYTES

    @property
    def size(self) -> int:
        """Bytes of the JSON."""
        return len(self.before) + (len(self.data) + 2) // 3 * 4 + len(self.after)

    def pieces(self) -> Iterator[bytes]:
        """Give the JSON in pieces, at least one."""
        data = memoryview(self.data)
        yield self.before + pybase64.b64encode(data[:PIECE_BYTES])
        for start in range(PIECE_BYTES, len(data), PIECE_BYTES):
            yield pybase64.b64encode(data[start : start + PIECE_BYTES])
        yield self.after
