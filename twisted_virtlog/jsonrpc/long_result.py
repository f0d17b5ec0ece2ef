"""Long results in base64, encoded one piece at a time, as fast as the client reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pybase64

#: The bytes of data in one piece: 128 KiB of base64. A multiple of three, so that pieces join.
PIECE_BYTES = 96 * 1024


class LongResult(NamedTuple):
    """The JSON of a result around a string that is bytes in base64.

    The whole string would take a third more memory than the data, and getting that memory costs
    more time than encoding does; for a client that reads slowly, the daemon would have to hold it.

    :ivar before: the JSON up to the string's opening quote.
    :ivar data: the bytes.
    :ivar after: the JSON from the string's closing quote on.
    """

    before: bytes
    data: bytes
    after: bytes

    @property
    def is_long(self) -> bool:
        """Whether it is worthwhile to send it in pieces."""
        return len(self.data) > PIECE_BYTES

    @property
    def size(self) -> int:
        """The size of the JSON in bytes."""
        return len(self.before) + (len(self.data) + 2) // 3 * 4 + len(self.after)

    def pieces(self) -> Iterator[bytes]:
        """Yield the JSON in pieces, at least one."""
        data = memoryview(self.data)
        yield self.before + pybase64.b64encode(data[:PIECE_BYTES])
        for start in range(PIECE_BYTES, len(data), PIECE_BYTES):
            yield pybase64.b64encode(data[start : start + PIECE_BYTES])
        yield self.after
