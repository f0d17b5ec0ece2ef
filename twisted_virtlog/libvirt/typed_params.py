"""libvirt's typed parameters: named values that include their type."""

from __future__ import annotations

import enum
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from twisted_virtlog.libvirt.compound import Arm, Record, Union
from twisted_virtlog.libvirt.errors import ErrorCode, ErrorDomain, Refused, failure
from twisted_virtlog.libvirt.libvirt_texts import texts
from twisted_virtlog.libvirt.messages import STRING
from twisted_virtlog.libvirt.xdr import DOUBLE, HYPER, INT, UHYPER, UINT, XDRType

#: The longest name; libvirt keeps it in 80 bytes, with a NUL at the end.
MAX_NAME_BYTES = 79


class ValueType(enum.IntEnum):
    """The types of parameters; libvirt's names for them are the same in lower case."""

    INT = 1
    UINT = 2
    LLONG = 3
    ULLONG = 4
    DOUBLE = 5
    BOOLEAN = 6
    STRING = 7


_XDR_TYPES: dict[int, XDRType[Any]] = {
    ValueType.INT: INT,
    ValueType.UINT: UINT,
    ValueType.LLONG: HYPER,
    ValueType.ULLONG: UHYPER,
    ValueType.DOUBLE: DOUBLE,
    ValueType.BOOLEAN: INT,
    ValueType.STRING: STRING,
}


class TypedParameter(msgspec.Struct, frozen=True, gc=False):
    """A parameter.

    :ivar field: its name.
    :ivar value: its discriminant is a ValueType.
    """

    field: bytes
    value: Arm


TYPED_PARAMETER = Record(TypedParameter, field=STRING, value=Union(_XDR_TYPES))


def typed(kind: ValueType, values: Mapping[str, object]) -> tuple[TypedParameter, ...]:
    """Return parameters of one type, given names and values."""
    return tuple(TypedParameter(name.encode(), Arm(kind, value)) for name, value in values.items())


def check_names(params: Sequence[TypedParameter]) -> None:
    """Refuse parameters whose names are too long; libvirt does so before all other checks.

    :raises Refused: a name is longer than 79 bytes.
    """
    for one in params:
        if len(one.field) > MAX_NAME_BYTES:
            detail = f"parameter {os.fsdecode(one.field)} too big for destination"
            raise Refused(failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.NONE, detail))


def unsigned_values(
    params: Sequence[TypedParameter], allowed: Collection[str]
) -> dict[str, int | None]:
    """Return the values of parameters that are unsigned integers.

    They are checked in the order of their names, as in libvirt 9.0.0, so that of several wrong ones
    the first by name is reported.

    :param allowed: the names that parameters may have.
    :returns: a value for each of these, None if there is no such parameter.
    :raises Refused: a parameter has another name or another type, or occurs twice.
    """
    ordered = sorted(params, key=lambda one: one.field)
    before = None
    for one in ordered:
        _check(one, before, allowed)
        before = one.field
    return dict.fromkeys(allowed) | {one.field.decode(): one.value.value for one in ordered}


def _check(one: TypedParameter, before: bytes | None, allowed: Collection[str]) -> None:
    """Check one parameter.

    :param before: the name of the one before it.
    """
    name = os.fsdecode(one.field)
    if name not in allowed:
        detail = f"parameter '{name}' not supported"
        raise Refused(failure(ErrorCode.ARGUMENT_UNSUPPORTED, ErrorDomain.NONE, detail))
    if one.field == before:
        detail = f"parameter '{name}' occurs multiple times"
        raise Refused(failure(ErrorCode.INVALID_ARGUMENT, ErrorDomain.NONE, detail))
    if one.value.discriminant != ValueType.UINT:
        given = ValueType(one.value.discriminant).name.lower()
        detail = texts().wrong_type(given, name, "uint")
        raise Refused(failure(ErrorCode.INVALID_ARGUMENT, ErrorDomain.NONE, detail))
