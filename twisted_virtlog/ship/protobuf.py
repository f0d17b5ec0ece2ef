"""The wire format of protocol buffers, as far as the few messages of OTLP need it."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MASK = (1 << 64) - 1
_LONGEST_VARINT = 10
#: Numbers below are one byte.
_ONE_BYTE = 0x80


def varint(value: int) -> bytes:
    """Return a number; a negative one as its 64 bits."""
    if 0 <= value < _ONE_BYTE:
        return b"%c" % value
    value &= _MASK
    written = bytearray()
    while value >= _ONE_BYTE:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def number(field: int, value: int) -> bytes:
    """Return a field of an integer type."""
    return varint(field << 3 | _VARINT) + varint(value)


def fixed64(field: int, value: int) -> bytes:
    """Return a field of 64 bits."""
    return varint(field << 3 | _FIXED64) + (value & _MASK).to_bytes(8, "little")


def data(field: int, value: bytes) -> bytes:
    """Return a field of bytes, of a text in UTF-8 or of a message."""
    key, size = field << 3 | _BYTES, len(value)
    if key < _ONE_BYTE and size < _ONE_BYTE:
        return b"%c%c%b" % (key, size, value)
    return b"%b%b%b" % (varint(key), varint(size), value)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give the fields of a message by their numbers, integers as if they had no sign.

    :raises ValueError: this is no such message.
    """
    at = 0
    while at < len(message):
        key, at = _varint_at(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint_at(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint_at(message, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"there is no type {kind}")
        found = message[at : at + size]
        if len(found) < size:
            raise ValueError("the message is cut off")
        at += size
        yield key >> 3, found if kind == _BYTES else int.from_bytes(found, "little")


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(message):
            raise ValueError("the message is cut off")
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < _ONE_BYTE:
            return value & _MASK, at + place + 1
    raise ValueError("a number is too long")
