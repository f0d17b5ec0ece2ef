"""Protocol buffers, as far as OTLP needs them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship.protobuf import data, fields, fixed64, number, varint

_BITS = (1 << 64) - 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (150, "9601"),
        (300, "ac02"),
        (-1, "ffffffffffffffffff01"),
        (_BITS, "ffffffffffffffffff01"),
    ],
)
def test_numbers(value: int, written: str) -> None:
    """As the documentation of protocol buffers writes them."""
    assert varint(value).hex() == written


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2000),
            st.one_of(
                st.integers(-(1 << 63), _BITS),
                st.binary(max_size=300),
                st.tuples(st.integers(0, _BITS)),
            ),
        )
    )
)
def test_what_is_written_is_read(members: list[tuple[int, int | bytes | tuple[int]]]) -> None:
    """Field by field."""
    message, expected = b"", []
    for field, value in members:
        if isinstance(value, int):
            message += number(field, value)
            expected.append((field, value & _BITS))
        elif isinstance(value, bytes):
            message += data(field, value)
            expected.append((field, value))
        else:
            message += fixed64(field, value[0])
            expected.append((field, value[0]))
    assert list(fields(message)) == expected


@pytest.mark.parametrize("text", ["08", "0a05aa", "0980", "0b", "08" + "ff" * 11, "0d0000"])
def test_what_is_no_message(text: str) -> None:
    """It is cut off, or not one at all."""
    with pytest.raises(ValueError, match=r"the message is cut off|there is no type|too long"):
        list(fields(bytes.fromhex(text)))


@given(st.binary(max_size=40))
def test_nothing_else_happens(message: bytes) -> None:
    """Whatever comes is read, or is no message."""
    with contextlib.suppress(ValueError):
        list(fields(message))
