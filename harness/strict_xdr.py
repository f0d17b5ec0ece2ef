"""Reads XDR as RFC 4506 has it, and libvirt's headers as libvirt defines them, and nothing else.

The daemon reads as leniently as virtlogd does. Tests also want to know that what is written is what
the standard says, and that what is read strictly is written back to the byte.
"""

from __future__ import annotations

from typing import TypeVar

from twisted_virtlog.libvirt.messages import Header, MessageType, Status, decode_header
from twisted_virtlog.libvirt.xdr import Reader, XDRError, XDRType

T = TypeVar("T")


class BadPadding(XDRError):
    """The bytes that fill a string or opaque up to a multiple of four are not zero."""


class BadFlag(XDRError):
    """The word that says whether an optional value follows is neither 0 nor 1."""


class SurplusBytes(XDRError):
    """Bytes are left after the value."""


class UnknownType(XDRError):
    """A header's type is not a MessageType."""


class UnknownStatus(XDRError):
    """A header's status is not a Status."""


class StrictReader(Reader):
    """Refuses what RFC 4506 does not allow."""

    def flag(self) -> bool:
        """Read whether an optional value follows.

        :raises BadFlag: the word is neither 0 nor 1.
        """
        at = self.at
        flag = self.word()
        if flag > 1:
            raise BadFlag(f"{flag} says whether a value follows; it must be 0 or 1", at)
        return bool(flag)

    def opaque(self, size: int) -> bytes:
        """Read ``size`` bytes, and their padding.

        :raises BadPadding: the padding is not zero.
        """
        end = self.at + size
        value = super().opaque(size)
        padding = self.data[end : self.at]
        if any(padding):
            raise BadPadding(f"padding is {padding.hex()}, not zero", end)
        return value

    def string(self, size: int) -> bytes:
        """Read a string with all its NULs."""
        return self.opaque(size)

    def expect_end(self) -> None:
        """Check that everything was read.

        :raises SurplusBytes: bytes are left.
        """
        surplus = len(self.data) - self.at
        if surplus:
            raise SurplusBytes(f"{surplus} bytes follow the last value", self.at)


def decode(kind: XDRType[T], data: bytes, at: int = 0) -> T:
    """Read the one value that bytes hold.

    :param at: where it begins.
    :raises XDRError: they hold none, or something else.
    """
    reader = StrictReader(data, at)
    value = kind.read(reader)
    reader.expect_end()
    return value


def decode_leniently(kind: XDRType[T], data: bytes, at: int = 0) -> T:
    """Read a value as the daemon does.

    :raises XDRError: the bytes do not hold one.
    """
    return kind.read(Reader(data, at))


def encode(kind: XDRType[T], value: T) -> bytes:
    """Write a value.

    :raises NotEncodable: it does not fit its type.
    """
    parts: list[bytes] = []
    kind.write(value, parts)
    return b"".join(parts)


def decode_known_header(frame: bytes) -> Header:
    """Read a header that says only what libvirt defines.

    :raises UnknownType: and
    :raises UnknownStatus: it says something else.
    """
    header = decode_header(frame)
    if header.type not in MessageType.__members__.values():
        raise UnknownType(f"{header.type} is not a type of message", 16)
    if header.status not in Status.__members__.values():
        raise UnknownStatus(f"{header.status} is not a status", 24)
    return header
