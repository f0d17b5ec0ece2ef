"""Typed parameters are read and written as libvirt does, and wrong ones are refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.strict_xdr import decode, encode
from twisted_virtlog.libvirt.compound import Arm, Array
from twisted_virtlog.libvirt.errors import Refused
from twisted_virtlog.libvirt.typed_params import (
    TYPED_PARAMETER,
    TypedParameter,
    ValueType,
    check_names,
    typed,
    unsigned_values,
)
from twisted_virtlog.libvirt.xdr import NotEncodable, UnknownArm, XDRError

PARAMETERS = Array(TYPED_PARAMETER, 32)

VALUES: dict[ValueType, st.SearchStrategy[Any]] = {
    ValueType.INT: st.integers(-(2**31), 2**31 - 1),
    ValueType.UINT: st.integers(0, 2**32 - 1),
    ValueType.LLONG: st.integers(-(2**63), 2**63 - 1),
    ValueType.ULLONG: st.integers(0, 2**64 - 1),
    ValueType.DOUBLE: st.floats(allow_nan=False),
    ValueType.BOOLEAN: st.integers(-(2**31), 2**31 - 1),
    ValueType.STRING: st.binary(max_size=50),
}

parameters = st.sampled_from(ValueType).flatmap(
    lambda kind: st.builds(
        TypedParameter, st.binary(max_size=90), VALUES[kind].map(lambda value: Arm(kind, value))
    )
)


def uint(name: bytes, value: int = 0) -> TypedParameter:
    """Make a parameter of the type that settings have."""
    return TypedParameter(name, Arm(ValueType.UINT, value))


@given(st.lists(parameters, max_size=32).map(tuple))
def test_any_parameters_round_trip(params: tuple[TypedParameter, ...]) -> None:
    """All types do, and their bytes are those of XDR."""
    data = encode(PARAMETERS, params)
    assert len(data) % 4 == 0
    assert decode(PARAMETERS, data) == params


@given(parameters, st.data())
def test_parameters_cut_short_are_refused(param: TypedParameter, data: st.DataObject) -> None:
    """Wherever they end."""
    whole = encode(TYPED_PARAMETER, param)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(XDRError):
        decode(TYPED_PARAMETER, whole[:length])


def test_a_double_keeps_what_is_no_number() -> None:
    """Any eight bytes are a double."""
    param = TypedParameter(b"x", Arm(ValueType.DOUBLE, math.nan))
    assert math.isnan(decode(TYPED_PARAMETER, encode(TYPED_PARAMETER, param)).value.value)


@pytest.mark.parametrize("kind", [0, 8, -1])
def test_there_are_seven_types(kind: int) -> None:
    """Another number is neither read nor written."""
    data = encode(TYPED_PARAMETER, uint(b"x")).replace(
        b"\0\0\0\x02", kind.to_bytes(4, "big", signed=True), 1
    )
    with pytest.raises(UnknownArm):
        decode(TYPED_PARAMETER, data)
    with pytest.raises(NotEncodable):
        encode(TYPED_PARAMETER, TypedParameter(b"x", Arm(kind, 0)))


def test_values_are_made_of_names_and_read_back() -> None:
    """In their order; one that is not there is None."""
    params = typed(ValueType.UINT, {"b": 2, "a": 1})
    assert [param.field for param in params] == [b"b", b"a"]
    assert unsigned_values(params, ("a", "b", "c")) == {"a": 1, "b": 2, "c": None}


def refusal(*params: TypedParameter) -> str:
    """Return why parameters are refused where a and b are known."""
    with pytest.raises(Refused) as caught:
        unsigned_values(params, ("a", "b"))
    return (caught.value.body.message or b"").decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("kind", set(ValueType) - {ValueType.UINT})
def test_another_type_is_refused(kind: ValueType) -> None:
    """The message names the type, as libvirt calls it, and the one that is right."""
    assert refusal(TypedParameter(b"a", Arm(kind, 0))) == (
        f"invalid argument: invalid type '{kind.name.lower()}' for parameter 'a', expected 'uint'"
    )


def test_the_first_wrong_one_by_name_is_told() -> None:
    """Whatever their order, as libvirt sorts them."""
    foo, wrong = uint(b"foo"), TypedParameter(b"a", Arm(ValueType.INT, 0))
    assert refusal(uint(b"zoo"), foo) == "argument unsupported: parameter 'foo' not supported"
    assert "invalid type" in refusal(foo, wrong)
    assert refusal(wrong, uint(b"\xff"), uint(b"A")).endswith("parameter 'A' not supported")
    assert refusal(uint(b"b"), uint(b"a"), uint(b"b")) == (
        "invalid argument: parameter 'b' occurs multiple times"
    )


def test_a_name_has_a_limit() -> None:
    """As of libvirt, which has 80 bytes for it and the NUL behind it."""
    check_names([uint(b"n" * 79)])
    with pytest.raises(Refused) as caught:
        check_names([uint(b"a"), uint(b"n" * 80)])
    assert caught.value.body.code == 1
    assert caught.value.body.message == (
        b"internal error: parameter " + b"n" * 80 + b" too big for destination"
    )


@given(st.lists(parameters, max_size=32))
def test_no_parameters_lead_to_another_error(params: list[TypedParameter]) -> None:
    """Whatever their names, types and values."""
    try:
        check_names(params)
        values = unsigned_values(params, ("a", "b"))
    except Refused as refused:
        encoded = refused.body.message
        assert encoded is not None
    else:
        assert values.keys() == {"a", "b"}
