"""libvirt's typed parameters: named values that say of which type they are."""

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

#: The longest name; libvirt keeps it in 80 bytes, of which a NUL is the last.
MAX_NAME_BYTES = 79


class ValueType(enum.IntEnum):
    """The types that a parameter's value may have; in lower case as libvirt calls them."""

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
    :ivar value: with a ValueType as discriminant.
    """

    field: bytes
    value: Arm


TYPED_PARAMETER = Record(TypedParameter, field=STRING, value=Union(_XDR_TYPES))


def typed(kind: ValueType, values: Mapping[str, object]) -> tuple[TypedParameter, ...]:
    """Make parameters of one type, of names and values."""
    return tuple(TypedParameter(name.encode(), Arm(kind, value)) for name, value in values.items())


def check_names(params: Sequence[TypedParameter]) -> None:
    """Refuse parameters whose names libvirt has no room for; it does so before all other checks.

    :raises Refused: one's name is longer than 79 bytes.
    """
    for one in params:
        if len(one.field) > MAX_NAME_BYTES:
            detail = f"parameter {os.fsdecode(one.field)} too big for destination"
            raise Refused(failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.NONE, detail))


def unsigned_values(
    params: Sequence[TypedParameter], allowed: Collection[str]
) -> dict[str, int | None]:
    """Take unsigned integers out of parameters.

    They are looked at in the order of their names, as libvirt 9.0.0 does, so that of several wrong
    ones the first by name is told.

    :param allowed: the names that parameters may have.
    :returns: a value for each of these, None where there is no such parameter.
    :raises Refused: a parameter has another name, or another type, or is there twice.
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
