"""Frames come out whole however their bytes were split, and nothing is kept beyond what came."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.libvirt.framing import (
    MAX_FRAME_BYTES,
    FrameStream,
    FrameTooLong,
    FrameTooShort,
)


def make_frame(size: int, fill: bytes = b"x") -> bytes:
    """Make a frame of this size."""
    return size.to_bytes(4, "big") + fill * (size - 4)


def frames_of(stream: FrameStream) -> list[bytes]:
    """Take out all frames there are."""
    return [bytes(frame) for frame in iter(stream.next_frame, None)]


@given(
    sizes=st.lists(st.integers(28, 60), max_size=6),
    cuts=st.lists(st.integers(0, 400)),
    drains=st.lists(st.booleans(), min_size=1),
)
def test_frames_come_out_whole_in_any_split(
    sizes: list[int], cuts: list[int], drains: list[bool]
) -> None:
    """It makes no difference how the kernel cut a client's calls, or when they are taken out."""
    frames = [make_frame(size, bytes([65 + index])) for index, size in enumerate(sizes)]
    data = b"".join(frames)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    stream = FrameStream()
    got = []
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        stream.feed(data[start:end])
        if drains[index % len(drains)]:
            got += frames_of(stream)
    got += frames_of(stream)
    assert got == frames


def test_byte_by_byte() -> None:
    """A client may send its call one byte at a time."""
    data = make_frame(28) + make_frame(33, b"y")
    stream = FrameStream()
    got = []
    for index in range(len(data)):
        stream.feed(data[index : index + 1])
        got += frames_of(stream)
    assert got == [make_frame(28), make_frame(33, b"y")]


@pytest.mark.parametrize("length", range(5))
def test_a_length_that_cannot_be_is_told_at_once(length: int) -> None:
    """A length word that does not even count itself, or nothing else, needs no more bytes."""
    stream = FrameStream()
    stream.feed(length.to_bytes(4, "big"))
    with pytest.raises(FrameTooShort, match=f"a frame of {length} bytes; the shortest has 28"):
        stream.next_frame()


@pytest.mark.parametrize("length", [5, 27])
def test_a_length_without_room_for_a_header_is_told_when_it_is_there(length: int) -> None:
    """As virtlogd does, which reads so many bytes before it looks at them."""
    stream = FrameStream()
    stream.feed(make_frame(length)[:-1])
    assert stream.next_frame() is None
    stream.feed(b"x")
    with pytest.raises(FrameTooShort):
        stream.next_frame()


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 0xFFFFFFFF])
def test_a_length_over_the_limit_is_told_at_once(length: int) -> None:
    """No more bytes are waited for than the 33,554,436 that libvirt allows."""
    assert MAX_FRAME_BYTES == 33554436
    stream = FrameStream()
    stream.feed(length.to_bytes(4, "big"))
    with pytest.raises(FrameTooLong, match=str(length)):
        stream.next_frame()


def test_bytes_between_frames_are_dropped_once_they_are_there() -> None:
    """The bytes that carry descriptors follow a frame and belong to none."""
    stream = FrameStream()
    stream.feed(make_frame(28) + b"\0")
    assert stream.next_frame() == make_frame(28)
    assert not stream.take(2)
    stream.feed(b"\0" + make_frame(29))
    assert stream.take(2)
    assert stream.next_frame() == make_frame(29)


def test_a_large_announcement_costs_nothing() -> None:
    """A client that announces 32 MiB and sends nothing takes no memory."""
    stream = FrameStream()
    tracemalloc.start()
    try:
        stream.feed(MAX_FRAME_BYTES.to_bytes(4, "big"))
        assert stream.next_frame() is None
        stream.feed(b"x" * 24)
        assert stream.next_frame() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_the_largest_frame_arrives_and_is_let_go() -> None:
    """32 MiB in pieces as the connection reads them; afterwards nothing is kept."""
    stream = FrameStream()
    head = MAX_FRAME_BYTES.to_bytes(4, "big")
    piece = bytes(64 * 1024)
    tracemalloc.start()
    try:
        stream.feed(head)
        for _ in range((MAX_FRAME_BYTES - 4) // len(piece)):
            assert stream.next_frame() is None
            stream.feed(piece)
        frame = stream.next_frame()
        assert frame is not None
        assert len(frame) == MAX_FRAME_BYTES
        assert frame[:5] == head + b"\0"
        del frame
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1024 * 1024
    # (a buffer that grows is moved now and then, and the frame is no copy of it)
    assert peak < 2 * MAX_FRAME_BYTES


def test_what_follows_a_long_frame_comes_after_it() -> None:
    """While the long one is still in use."""
    long, other = make_frame(1024 * 1024), make_frame(40, b"o")
    sent = long + other + other[:30]
    stream = FrameStream()
    for start in range(0, len(sent), 65536):
        stream.feed(sent[start : start + 65536])
    first = stream.next_frame()
    assert stream.next_frame() == other
    assert stream.next_frame() is None
    stream.feed(other[30:])
    assert stream.next_frame() == other
    assert first == long
    assert stream.held_bytes == 0


def test_many_small_pieces_do_not_add_up() -> None:
    """Half a million pieces of one frame are taken as they come; were each to copy what was there
    before, half a TiB would be moved and this would not end.
    """
    size = 4 * 1024 * 1024
    stream = FrameStream()
    stream.feed(size.to_bytes(4, "big"))
    for _ in range((size - 8) // 8):
        stream.feed(b"12345678")
        assert stream.next_frame() is None
    stream.feed(b"last")
    frame = stream.next_frame()
    assert frame is not None
    assert frame[-8:] == b"5678last"
    assert len(frame) == size
