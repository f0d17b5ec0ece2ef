"""XDR types that consist of others: optional values, arrays, unions, records."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from twisted_virtlog.libvirt.xdr import (
    INT,
    UINT,
    NotEncodable,
    Reader,
    TooLong,
    UnknownArm,
    XDRError,
    XDRType,
    packed_together,
)

T = TypeVar("T")


class Optional(XDRType["T | None"], Generic[T]):
    """A value that may be absent, as None."""

    def __init__(self, kind: XDRType[T]) -> None:
        self._kind = kind

    def read(self, reader: Reader) -> T | None:
        return self._kind.read(reader) if reader.flag() else None

    def write(self, value: T | None, parts: list[bytes]) -> None:
        UINT.write(int(value is not None), parts)
        if value is not None:
            self._kind.write(value, parts)


class Array(XDRType[tuple[T, ...]]):
    """Values of one type, preceded by their number."""

    def __init__(self, kind: XDRType[T], max_count: int) -> None:
        self._kind = kind
        self._max = max_count

    def read(self, reader: Reader) -> tuple[T, ...]:
        at = reader.at
        count = reader.word()
        if count > self._max:
            raise TooLong(f"an array of {count} values; at most {self._max} are allowed", at)
        return tuple([self._kind.read(reader) for _ in range(count)])

    def write(self, value: tuple[T, ...], parts: list[bytes]) -> None:
        count = len(value)
        if count > self._max:
            raise NotEncodable(f"an array of {count} values; at most {self._max} are allowed")
        UINT.write(count, parts)
        for element in value:
            self._kind.write(element, parts)


class Arm(NamedTuple):
    """The value of a union.

    :ivar discriminant: which of the union's types the value has.
    """

    discriminant: int
    value: Any


class Union(XDRType[Arm]):
    """A value of one of several types, preceded by its discriminant."""

    def __init__(self, arms: Mapping[int, XDRType[Any]]) -> None:
        self._arms = arms

    def read(self, reader: Reader) -> Arm:
        at = reader.at
        discriminant = INT.read(reader)
        kind = self._arms.get(discriminant)
        if kind is None:
            raise UnknownArm(f"{discriminant} is not one of {sorted(self._arms)}", at)
        return Arm(discriminant, kind.read(reader))

    def write(self, value: Arm, parts: list[bytes]) -> None:
        kind = self._arms.get(value.discriminant)
        if kind is None:
            raise NotEncodable(f"{value.discriminant} is not one of {sorted(self._arms)}")
        INT.write(value.discriminant, parts)
        kind.write(value.value, parts)


class Record(XDRType[T]):
    """Named values one after another: an instance of a class."""

    def __init__(self, make: type[T], **fields: XDRType[Any]) -> None:
        """Take the class and the types of its fields, in the order of its parameters."""
        self._make: Callable[..., T] = make
        self._fields = tuple(fields.items())
        # If all fields are numbers, they are packed at once.
        self._numbers = packed_together(list(fields.values())) if len(fields) > 1 else None
        self._values: Callable[[T], tuple[Any, ...]] = attrgetter(*fields)

    def read(self, reader: Reader) -> T:
        values = []
        name = ""
        try:
            for name, kind in self._fields:  # noqa: B007  # the error tells it
                values.append(kind.read(reader))
        except XDRError as error:
            error.inside(name)
            raise
        return self._make(*values)

    def write(self, value: T, parts: list[bytes]) -> None:
        if self._numbers is not None:
            try:
                parts.append(self._numbers.pack(*self._values(value)))
                return
            except struct.error:
                # One does not fit; find out below which one.
                pass
        name = ""
        try:
            for name, kind in self._fields:
                kind.write(getattr(value, name), parts)
        except XDRError as error:
            error.inside(name)
            raise
