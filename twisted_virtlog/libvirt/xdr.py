"""XDR (RFC 4506): the simple types, and what all types have in common."""

from __future__ import annotations

import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_UINT = struct.Struct(">I")
_UNIT_BYTES = 4


class XDRError(Exception):
    """Bytes that do not fit their type, or a value that does not.

    :ivar reason: what is wrong, and what is expected.
    :ivar at: the offset of the byte in the message; None for a value that was to be encoded.
    :ivar field: the name of the field, with dots between a record and its fields; may be empty.
    """

    def __init__(self, reason: str, at: int | None = None) -> None:
        super().__init__(reason, at)
        self.reason = reason
        self.at = at
        self.field = ""

    def __str__(self) -> str:
        place = "" if self.at is None else f" at byte {self.at}"
        return f"{self.field or 'message'}{place}: {self.reason}"

    def inside(self, name: str) -> None:
        """Add the name of the record's field in which it happened."""
        self.field = f"{name}.{self.field}" if self.field else name


class ShortPayload(XDRError):
    """The bytes end before the value does."""


class TooLong(XDRError):
    """A string or an array announces more than its limit."""


class UnknownArm(XDRError):
    """A union's discriminant names none of its arms."""


class NotEncodable(XDRError):
    """A value does not fit its type."""


class Reader:
    """A place in a message, from which values are read.

    It accepts what virtlogd (libvirt 9.0.0) accepts, which is more than RFC 4506 allows: padding
    may be anything, any word but 0 says that an optional value follows, a string ends at its first
    NUL, and the message may continue after the last value. Lengths and limits are checked.

    :ivar at: the offset of the next byte.
    """

    __slots__ = ("at", "data")

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self.data = data
        self.at = at

    def word(self) -> int:
        """Read an unsigned integer of four bytes.

        :raises ShortPayload: there are fewer.
        """
        at = self.at
        try:
            value: int = _UINT.unpack_from(self.data, at)[0]
        except struct.error:
            raise self.short(_UNIT_BYTES) from None
        self.at = at + _UNIT_BYTES
        return value

    def flag(self) -> bool:
        """Read whether an optional value follows.

        :raises ShortPayload: there are fewer than four bytes.
        """
        return self.word() != 0

    def opaque(self, size: int) -> bytes:
        """Read ``size`` bytes, and their padding.

        :raises ShortPayload: there are fewer.
        """
        data, at = self.data, self.at
        end = at + size
        padded = end + (-size & 3)
        if padded > len(data):
            raise self.short(padded - at)
        self.at = padded
        # (of bytes this makes no second copy)
        return bytes(data[at:end])

    def string(self, size: int) -> bytes:
        """Read a string of ``size`` bytes, and their padding.

        :raises ShortPayload: there are fewer.
        """
        value = self.opaque(size)
        return value.partition(b"\0")[0] if b"\0" in value else value

    def short(self, needed: int) -> ShortPayload:
        """Return the error for bytes that are missing."""
        left = max(len(self.data) - self.at, 0)
        return ShortPayload(f"{needed} bytes are needed, {left} are left", self.at)


class XDRType(ABC, Generic[T]):
    """A type, which reads and writes its values."""

    @abstractmethod
    def read(self, reader: Reader) -> T:
        """Read a value.

        :raises XDRError: there is no valid one.
        """

    @abstractmethod
    def write(self, value: T, parts: list[bytes]) -> None:
        """Append the bytes of a value to a list.

        :raises NotEncodable: the value does not fit the type.
        """


class Number(XDRType[T]):
    """A number of fixed size.

    :ivar form: a format of the module struct, without a byte order.
    """

    def __init__(self, form: str, name: str) -> None:
        """Take a format of the module struct, such as ``I``.

        :param name: the name of the type in errors.
        """
        self.form = form
        packing = struct.Struct(">" + form)
        self._unpack_from: Callable[[bytes | memoryview, int], tuple[Any, ...]] = (
            packing.unpack_from
        )
        self._pack = packing.pack
        self._size = packing.size
        self._name = name

    def read(self, reader: Reader) -> T:
        at = reader.at
        try:
            value: T = self._unpack_from(reader.data, at)[0]
        except struct.error:
            raise reader.short(self._size) from None
        reader.at = at + self._size
        return value

    def write(self, value: T, parts: list[bytes]) -> None:
        try:
            parts.append(self._pack(value))
        except struct.error:
            raise NotEncodable(f"{value!r} is not of type {self._name}") from None


INT: Number[int] = Number("i", "int")
UINT: Number[int] = Number("I", "unsigned int")
HYPER: Number[int] = Number("q", "hyper")
UHYPER: Number[int] = Number("Q", "unsigned hyper")
DOUBLE: Number[float] = Number("d", "double")


def packed_together(kinds: Sequence[XDRType[Any]]) -> struct.Struct | None:
    """Return a Struct that packs values of these types if all are numbers; None otherwise."""
    forms = [kind.form for kind in kinds if isinstance(kind, Number)]
    return struct.Struct(">" + "".join(forms)) if len(forms) == len(kinds) else None


class FixedOpaque(XDRType[bytes]):
    """A fixed number of bytes, without a length before them."""

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, reader: Reader) -> bytes:
        return reader.opaque(self._size)

    def write(self, value: bytes, parts: list[bytes]) -> None:
        if len(value) != self._size:
            raise NotEncodable(f"{len(value)} bytes instead of {self._size}")
        parts.append(value + bytes(-self._size & 3))


class String(XDRType[bytes]):
    """Bytes preceded by their length; not text, as nothing checks what clients send as a string."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes

    def read(self, reader: Reader) -> bytes:
        at = reader.at
        size = reader.word()
        if size > self._max:
            raise TooLong(f"a string of {size} bytes; at most {self._max} are allowed", at)
        return reader.string(size)

    def write(self, value: bytes, parts: list[bytes]) -> None:
        size = len(value)
        if size > self._max:
            raise NotEncodable(f"a string of {size} bytes; at most {self._max} are allowed")
        parts.append(_UINT.pack(size))
        parts.append(value)
        parts.append(bytes(-size & 3))


class Path(XDRType[str]):
    """A String that is a path, as Python has it: whatever bytes it has, they come out again."""

    def __init__(self, max_bytes: int) -> None:
        self._string = String(max_bytes)

    def read(self, reader: Reader) -> str:
        return os.fsdecode(self._string.read(reader))

    def write(self, value: str, parts: list[bytes]) -> None:
        self._string.write(os.fsencode(value), parts)


class StringInPieces(XDRType[Sequence[bytes]]):
    """A String that is written without joining its pieces."""

    def __init__(self, max_bytes: int) -> None:
        self._whole = String(max_bytes)
        self._max = max_bytes

    def read(self, reader: Reader) -> Sequence[bytes]:
        return (self._whole.read(reader),)

    def write(self, value: Sequence[bytes], parts: list[bytes]) -> None:
        size = sum(map(len, value))
        if size > self._max:
            raise NotEncodable(f"a string of {size} bytes; at most {self._max} are allowed")
        parts.append(_UINT.pack(size))
        parts += value
        parts.append(bytes(-size & 3))


class Nothing(XDRType[None]):
    """No bytes: the arguments or results of a procedure that has none."""

    def read(self, reader: Reader) -> None:
        pass

    def write(self, value: None, parts: list[bytes]) -> None:
        pass


NOTHING = Nothing()
