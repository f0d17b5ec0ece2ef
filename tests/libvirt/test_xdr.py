"""XDR values are written as RFC 4506 says, read back, and refused by name where they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.strict_xdr import (
    BadFlag,
    BadPadding,
    SurplusBytes,
    decode,
    decode_leniently,
    encode,
)
from twisted_virtlog.libvirt.compound import Arm, Array, Optional, Record, Union
from twisted_virtlog.libvirt.xdr import (
    DOUBLE,
    HYPER,
    INT,
    NOTHING,
    UHYPER,
    UINT,
    FixedOpaque,
    NotEncodable,
    Path,
    ShortPayload,
    String,
    TooLong,
    UnknownArm,
    XDRError,
    XDRType,
)


class Point(msgspec.Struct, frozen=True):
    """A record for the tests."""

    name: bytes
    at: int


class Parameter(msgspec.Struct, frozen=True):
    """A typed parameter of libvirt's admin program."""

    field: bytes
    value: Arm


POINT = Record(Point, name=String(8), at=INT)
VALUE = Union({1: INT, 2: UINT, 3: HYPER, 4: UHYPER, 5: DOUBLE, 6: INT, 7: String(16)})
PARAMETERS = Array(Record(Parameter, field=String(80), value=VALUE), 32)

# A value of each type, and its bytes as RFC 4506 has them.
EXAMPLES: list[tuple[str, XDRType[Any], Any, str]] = [
    ("int", INT, -2, "fffffffe"),
    ("unsigned int", UINT, 0xFFFFFFFE, "fffffffe"),
    ("hyper", HYPER, -2, "fffffffffffffffe"),
    ("unsigned hyper", UHYPER, 2**64 - 2, "fffffffffffffffe"),
    ("double", DOUBLE, -2.5, "c004000000000000"),
    ("opaque", FixedOpaque(4), b"\0ab\xff", "006162ff"),
    ("opaque with padding", FixedOpaque(5), b"\0ab\xff\1", "006162ff01000000"),
    ("string", String(8), b"sillypr", "0000000773696c6c79707200"),
    ("empty string", String(8), b"", "00000000"),
    ("string without padding", String(8), b"abcd", "0000000461626364"),
    ("path", Path(8), "/\u00fc", "000000032fc3bc00"),
    ("path of any bytes", Path(8), "/\udcff", "000000022fff0000"),
    ("absent", Optional(INT), None, "00000000"),
    ("present", Optional(INT), 5, "0000000100000005"),
    ("array", Array(INT, 3), (1, -1), "0000000200000001ffffffff"),
    ("empty array", Array(INT, 3), (), "00000000"),
    ("union", VALUE, Arm(7, b"x"), "000000070000000178000000"),
    ("record", POINT, Point(b"ab", 3), "000000026162000000000003"),
    ("nothing", NOTHING, None, ""),
    (
        # As virt-admin sends it: prioWorkers, unsigned, 2.
        "typed parameters",
        PARAMETERS,
        (Parameter(b"prioWorkers", Arm(2, 2)),),
        "000000010000000b7072696f576f726b657273000000000200000002",
    ),
]


@pytest.mark.parametrize(
    ("kind", "value", "data"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_values_are_written_as_the_standard_says(kind: XDRType[Any], value: Any, data: str) -> None:
    """What is written is what other implementations read, and the reverse."""
    assert encode(kind, value).hex() == data
    assert decode(kind, bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    ("kind", "data"), [(e[1], e[3]) for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
@pytest.mark.parametrize("read", [decode, decode_leniently])
def test_bytes_that_end_too_early_are_told_by_name(
    kind: XDRType[Any], data: str, read: Callable[..., Any]
) -> None:
    """A payload cut anywhere is refused, by the lenient reader too."""
    whole = bytes.fromhex(data)
    for length in range(len(whole)):
        with pytest.raises(ShortPayload):
            read(kind, whole[:length])


@pytest.mark.parametrize(
    ("kind", "data", "error"),
    [
        (String(8), "00000009616161616161616161000000", TooLong),
        (String(8), "ffffffff", TooLong),
        (Path(8), "00000009616161616161616161000000", TooLong),
        (Array(INT, 3), "0000000400000000" * 5, TooLong),
        (VALUE, "0000000800000000", UnknownArm),
        (VALUE, "ffffffff00000000", UnknownArm),
    ],
)
@pytest.mark.parametrize("read", [decode, decode_leniently])
def test_limits_hold_for_every_reader(
    kind: XDRType[Any], data: str, error: type[XDRError], read: Callable[..., Any]
) -> None:
    """Leniency is about padding and the like, never about sizes or unknown types."""
    with pytest.raises(error):
        read(kind, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("kind", "data", "error", "lenient_value"),
    [
        (String(8), "0000000161000001", BadPadding, b"a"),
        (FixedOpaque(1), "61010000", BadPadding, b"a"),
        (Optional(INT), "0000000200000005", BadFlag, 5),
        (INT, "0000000500", SurplusBytes, 5),
        (INT, "0000000500000000", SurplusBytes, 5),
    ],
)
def test_a_lenient_reader_takes_what_virtlogd_takes(
    kind: XDRType[Any], data: str, error: type[XDRError], lenient_value: Any
) -> None:
    """Bad padding, flags over 1 and surplus bytes are errors only to a strict reader."""
    with pytest.raises(error):
        decode(kind, bytes.fromhex(data))
    assert decode_leniently(kind, bytes.fromhex(data)) == lenient_value


def test_a_nul_cuts_a_string_for_a_lenient_reader() -> None:
    """A path /a, NUL, junk is /a to virtlogd, which keeps strings as C does."""
    data = encode(POINT, Point(b"/a\0junk", 9))
    assert decode(POINT, data) == Point(b"/a\0junk", 9)
    assert decode_leniently(POINT, data) == Point(b"/a", 9)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (INT, 2**31),
        (INT, "1"),
        (UINT, -1),
        (UHYPER, 2**64),
        (String(8), b"123456789"),
        (FixedOpaque(2), b"1"),
        (Array(INT, 3), (1, 2, 3, 4)),
        (VALUE, Arm(8, 0)),
        (POINT, Point(b"a", 2**40)),
    ],
)
def test_values_that_do_not_fit_are_told_by_name(kind: XDRType[Any], value: Any) -> None:
    """Nothing is written that its reader would refuse."""
    with pytest.raises(NotEncodable):
        encode(kind, value)


def test_an_error_names_field_and_place() -> None:
    """Who reads the daemon's log finds what was wrong, and where."""
    outer = Record(Parameter, field=INT, value=POINT)
    data = bytes.fromhex("0000000100000009")
    with pytest.raises(TooLong) as caught:
        decode(outer, data)
    told = "value.name at byte 4: a string of 9 bytes; at most 8 are allowed"
    assert str(caught.value) == told
    with pytest.raises(NotEncodable) as caught_writing:
        encode(outer, Parameter(1, Point(b"", 2**31)))  # type: ignore[arg-type]
    assert str(caught_writing.value) == "value.at: 2147483648 is not of type int"


VALUES = st.one_of(
    st.tuples(st.just(1), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(4), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(5), st.floats(allow_nan=False)),
    st.tuples(st.just(7), st.binary(max_size=16)),
)
PARAMETER_LISTS = st.lists(
    st.builds(lambda field, arm: Parameter(field, Arm(*arm)), st.binary(max_size=80), VALUES),
    max_size=5,
).map(tuple)


@given(PARAMETER_LISTS)
def test_decoding_undoes_encoding(parameters: tuple[Parameter, ...]) -> None:
    """Any value comes back as it was."""
    assert decode(PARAMETERS, encode(PARAMETERS, parameters)) == parameters


@given(st.binary(max_size=64), st.booleans())
def test_any_bytes_give_a_value_or_a_named_error(data: bytes, lenient: bool) -> None:
    """Nothing that is sent can raise anything else; what a strict reader takes is canonical."""
    kinds: list[XDRType[Any]] = [PARAMETERS, Optional(POINT), Array(VALUE, 4)]
    for kind in kinds:
        try:
            value = (decode_leniently if lenient else decode)(kind, data)
        except XDRError:
            continue
        if not lenient and "nan" not in repr(value):
            assert encode(kind, value) == data
