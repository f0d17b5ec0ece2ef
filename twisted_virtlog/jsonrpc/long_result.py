"""Results that are long by themselves: made in slices, and sent in pieces as the client reads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import pybase64
from msgspec import Struct

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)

#: The bytes of data in one piece: 128 KiB of base64. A multiple of three, so that pieces join.
PIECE_BYTES = 96 * 1024

#: So many values are presented at once, or in one slice.
_AT_ONCE = 64

#: About how many bytes of JSON are sent at once.
SENT_BYTES = 64 * 1024


class LongResult(NamedTuple):
    """The JSON of a result around a string that is bytes in base64.

    The whole string would take a third more memory than the data, and getting that memory costs
    more time than encoding does; for a client that reads slowly, the daemon would have to hold it.

    :ivar before: the JSON up to the string's opening quote.
    :ivar data: the bytes, in pieces.
    :ivar after: the JSON from the string's closing quote on.
    """

    before: bytes
    data: Sequence[bytes]
    after: bytes

    @property
    def data_size(self) -> int:
        """The number of bytes that the string stands for."""
        return sum(map(len, self.data))

    @property
    def is_long(self) -> bool:
        """Whether it is worthwhile to send it in pieces."""
        return self.data_size > PIECE_BYTES

    @property
    def size(self) -> int:
        """The size of the JSON in bytes."""
        return len(self.before) + (self.data_size + 2) // 3 * 4 + len(self.after)

    def pieces(self) -> Iterator[bytes]:
        """Yield the JSON in pieces, at least one."""
        pieces = _thirds(self.data)
        yield self.before + pybase64.b64encode(next(pieces, b""))
        yield from map(pybase64.b64encode, pieces)
        yield self.after


def _thirds(pieces: Iterable[bytes]) -> Iterator[memoryview | bytes]:
    """Yield what is in pieces, in others that are not too long and have a multiple of 3 bytes."""
    rest = b""
    for piece in pieces:
        view = memoryview(piece)
        if rest:
            missing = -len(rest) % 3
            rest, view = rest + view[:missing], view[missing:]
            if len(rest) % 3:
                continue
            yield rest
        stop = len(view) - len(view) % 3
        for start in range(0, stop, PIECE_BYTES):
            yield view[start : min(start + PIECE_BYTES, stop)]
        rest = bytes(view[stop:])
    if rest:
        yield rest


class SlicedResult(Struct, frozen=True):
    """The JSON of a result that is to be made in slices, and whose size is not known before.

    :ivar slices: yields it in pieces, each of which is made in a small part of a share of time.
    """

    slices: Iterator[bytes]


def gathered(
    before: bytes, slices: Iterator[bytes], after: bytes
) -> Generator[None, None, Sequence[bytes]]:
    """Join pieces to longer ones, as long as they are sent; yield after each.

    :param before: what goes before the first, as ``after`` after the last.
    :returns: the pieces, at least one.
    """
    found: list[bytes] = []
    parts, size = [before], len(before)
    for part in slices:
        parts.append(part)
        size += len(part)
        if size >= SENT_BYTES:
            found.append(b"".join(parts))
            parts, size = [], 0
        yield
    parts.append(after)
    found.append(b"".join(parts))
    return found


def presented(
    found: Sequence[T],
    entry: Callable[[T], R],
    result: Callable[[list[R]], object] | None = None,
) -> object:
    """Present values, many of them in slices.

    :param result: makes the result of all; None if it is an array. It has one member.
    """
    if len(found) <= _AT_ONCE:
        entries = [entry(one) for one in found]
        return entries if result is None else result(entries)
    before, after = b"", b""
    if result is not None:
        before, _, after = msgspec.json.encode(result([])).partition(b"[]")
    return SlicedResult(_in_slices(found, entry, before, after))


def _in_slices(
    found: Sequence[T], entry: Callable[[T], R], before: bytes, after: bytes
) -> Iterator[bytes]:
    separator = before + b"["
    for start in range(0, len(found), _AT_ONCE):
        entries = [entry(one) for one in found[start : start + _AT_ONCE]]
        yield separator + msgspec.json.encode(entries)[1:-1]
        separator = b","
    yield b"]" + after
