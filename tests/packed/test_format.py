"""What a packed file looks like, without packing anything."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.packed.format import (
    FOOTER_BYTES,
    FRAME_BYTES,
    ORIGIN_BYTES,
    Frame,
    NotPacked,
    Origin,
    frame_sizes,
    origin_frame,
    parse_origin,
    parse_table,
    table_bytes,
    table_frame,
)

_ORIGIN = Origin(7, "h1.abc", FRAME_BYTES + 5)

_BIRTHS = st.text("abcdefh.0123456789-_", max_size=60)
_NUMBERS = st.integers(0, 2**64 - 1)


@given(_NUMBERS, _BIRTHS, _NUMBERS, st.binary(max_size=20))
def test_an_origin_is_read_as_it_was_written(
    inode: int, birth: str, size: int, rest: bytes
) -> None:
    origin = Origin(inode, birth, size)
    frame = origin_frame(origin)
    assert parse_origin(frame + rest) == (origin, len(frame))
    assert len(frame) <= ORIGIN_BYTES


def test_a_birth_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a birth of 1000 bytes"):
        origin_frame(Origin(1, "x" * 1000, 1))


@given(st.integers(0, len(origin_frame(_ORIGIN)) - 1))
def test_a_cut_origin_is_none(length: int) -> None:
    with pytest.raises(NotPacked):
        parse_origin(origin_frame(_ORIGIN)[:length])


@given(st.binary(max_size=100))
def test_whatever_a_file_begins_with_is_no_origin(begin: bytes) -> None:
    with pytest.raises(NotPacked):
        parse_origin(begin)


@given(st.integers(0, 10 * FRAME_BYTES))
def test_frames_hold_all_bytes(size: int) -> None:
    sizes = frame_sizes(size)
    assert sum(sizes) == size
    assert all(one == FRAME_BYTES for one in sizes[:-1])
    assert 0 not in sizes


def _packed(size: int, lengths: list[int]) -> tuple[Origin, bytes, bytes, int]:
    origin = Origin(3, "t.1", size)
    begin = origin_frame(origin)
    table = table_frame(len(begin), lengths, size)
    return origin, begin, table, len(begin) + sum(lengths) + len(table)


@given(st.data())
def test_a_table_is_read_as_it_was_written(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 5 * FRAME_BYTES))
    count = len(frame_sizes(size))
    lengths = data.draw(st.lists(st.integers(1, FRAME_BYTES), min_size=count, max_size=count))
    origin, begin, table, file_size = _packed(size, lengths)
    assert table_bytes(table[-FOOTER_BYTES:], file_size) == len(table)
    frames = parse_table(table, origin, len(begin), file_size)
    assert [frame.packed for frame in frames] == lengths
    assert [frame.size for frame in frames] == frame_sizes(size)
    at, start = len(begin), 0
    for frame in frames:
        assert frame == Frame(start, frame.size, at, frame.packed)
        at += frame.packed
        start += frame.size


@pytest.mark.parametrize(
    ("footer", "problem"),
    [
        pytest.param(b"\0" * 8, "too short", id="short"),
        pytest.param(struct.pack("<IBI", 1, 0, 1), "no seek table", id="other magic"),
        pytest.param(struct.pack("<IBI", 1, 4, 0x8F92EAB1), "no seek table", id="reserved bits"),
        pytest.param(struct.pack("<IBI", 2**32 - 1, 0, 0x8F92EAB1), "longer", id="many frames"),
    ],
)
def test_what_is_no_table_is_refused(footer: bytes, problem: str) -> None:
    with pytest.raises(NotPacked, match=problem):
        table_bytes(footer, 1000)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda table: b"\1" + table[1:], "begin where", id="magic"),
        pytest.param(lambda table: table[:8] + b"\1" + table[9:], "which file", id="origin"),
        pytest.param(
            lambda table: table[:20] + b"\1\0\0\0" + table[24:], "usual size", id="frame's size"
        ),
        pytest.param(
            lambda table: table[:16] + b"\1\0\0\0" + table[20:], "not all", id="frame's length"
        ),
        pytest.param(
            lambda table: table[:16] + b"\xff" * 4 + table[20:], "usual size", id="too long"
        ),
    ],
)
def test_a_changed_table_is_refused(change: object, problem: str) -> None:
    origin, begin, table, size = _packed(_ORIGIN.size, [100, 9])
    with pytest.raises(NotPacked, match=problem):
        parse_table(change(table), origin, len(begin), size)  # type: ignore[operator]


@given(st.binary(min_size=FOOTER_BYTES, max_size=200), st.integers(0, 200))
def test_any_bytes_are_a_table_or_refused(table: bytes, more: int) -> None:
    size = len(table) + more
    with pytest.raises(NotPacked):
        parse_table(table, _ORIGIN, 10, size)
