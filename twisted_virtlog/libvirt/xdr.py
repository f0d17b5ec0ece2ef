"""XDR (RFC 4506): values from bytes and back, the simple types and what all types share."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_UINT = struct.Struct(">I")
_UNIT_BYTES = 4


class XDRError(Exception):
    """Bytes that are not what their type says, or a value that its type cannot hold.

    :ivar reason: what is wrong, and what would be right.
    :ivar at: the byte it was met at, counted from the beginning of the message; None where a value
        was to be encoded.
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
        """Tell in which field of a record it happened."""
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

    It takes what virtlogd does (libvirt 9.0.0), which is more than RFC 4506 allows: padding may be
    anything, any word but 0 says that an optional value follows, a string ends at its first NUL,
    and nobody asks for the end of the message. Lengths and limits are checked.

    :ivar at: the byte to be read next.
    """

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
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
        return data[at:end]

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
    """A type: how its values are read and written."""

    @abstractmethod
    def read(self, reader: Reader) -> T:
        """Read a value.

        :raises XDRError: the bytes do not hold one.
        """

    @abstractmethod
    def write(self, value: T, parts: list[bytes]) -> None:
        """Add a value's bytes to a list.

        :raises NotEncodable: the value does not fit the type.
        """


class Number(XDRType[T]):
    """A number of fixed size.

    :ivar form: a format of the module struct, without a byte order.
    """

    def __init__(self, form: str, name: str) -> None:
        """Take a format of the module struct, as ``I``.

        :param name: what the type is called in errors.
        """
        self.form = form
        packing = struct.Struct(">" + form)
        self._unpack_from: Callable[[bytes, int], tuple[Any, ...]] = packing.unpack_from
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
            raise NotEncodable(f"{value!r} is no {self._name}") from None


INT: Number[int] = Number("i", "int")
UINT: Number[int] = Number("I", "unsigned int")
HYPER: Number[int] = Number("q", "hyper")
UHYPER: Number[int] = Number("Q", "unsigned hyper")
DOUBLE: Number[float] = Number("d", "double")


def packed_together(kinds: Sequence[XDRType[Any]]) -> struct.Struct | None:
    """Give what packs values one after the other, if all are numbers; None otherwise."""
    forms = [kind.form for kind in kinds if isinstance(kind, Number)]
    return struct.Struct(">" + "".join(forms)) if len(forms) == len(kinds) else None


class FixedOpaque(XDRType[bytes]):
    """So many bytes, without a length before them."""

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, reader: Reader) -> bytes:
        return reader.opaque(self._size)

    def write(self, value: bytes, parts: list[bytes]) -> None:
        if len(value) != self._size:
            raise NotEncodable(f"{len(value)} bytes, where {self._size} are meant")
        parts.append(value + bytes(-self._size & 3))


class String(XDRType[bytes]):
    """Bytes with their length before them; no text, as nobody checks what is sent as string."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes

    def read(self, reader: Reader) -> bytes:
        at = reader.at
        size = reader.word()
        if size > self._max:
            raise TooLong(f"a string of {size} bytes, at most {self._max} are allowed", at)
        return reader.string(size)

    def write(self, value: bytes, parts: list[bytes]) -> None:
        size = len(value)
        if size > self._max:
            raise NotEncodable(f"a string of {size} bytes, at most {self._max} are allowed")
        parts.append(_UINT.pack(size))
        parts.append(value)
        parts.append(bytes(-size & 3))


class Nothing(XDRType[None]):
    """No bytes: the arguments or results of a procedure that has none."""

    def read(self, reader: Reader) -> None:
        pass

    def write(self, value: None, parts: list[bytes]) -> None:
        pass


NOTHING = Nothing()
