"""The frames of RELP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship.relp_frames import (
    LAST_NUMBER,
    OFFERS,
    Answer,
    Frame,
    FrameReader,
    WrongFrame,
    answer_of,
    next_number,
    takes_syslog,
)

_FRAMES = st.builds(
    Frame,
    st.integers(0, LAST_NUMBER),
    st.sampled_from([b"rsp", b"open", b"syslog", b"serverclose"]),
    st.binary(max_size=60),
)


def test_as_the_specification_writes_them() -> None:
    """A frame without data ends after its length."""
    assert Frame(1, b"open", b"relp_version=0").encode() == b"1 open 14 relp_version=0\n"
    assert Frame(2, b"close").encode() == b"2 close 0\n"
    assert FrameReader().feed(b"2 rsp 0 \n2 rsp 0\n") == [Frame(2, b"rsp"), Frame(2, b"rsp")]


@given(st.lists(_FRAMES, max_size=8), st.lists(st.integers(1, 30), min_size=1))
def test_in_whatever_parts_they_come(frames: list[Frame], sizes: list[int]) -> None:
    """They are found, in order."""
    data = b"".join(frame.encode() for frame in frames)
    reader, found, at, number = FrameReader(), [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        found += reader.feed(data[at : at + size])
        at += size
        number += 1
    assert found == frames


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n",
        b"1 rsp 99999999 ",
        b"1 rsp 3\nabc\n",
        b"1 rsp 3 abcd\n",
        b"1" * 70,
    ],
)
def test_what_is_no_frame(data: bytes) -> None:
    """It is told from one that is not whole yet."""
    with pytest.raises(WrongFrame):
        FrameReader().feed(data)


def test_answers() -> None:
    """A number, and more."""
    assert answer_of(Frame(1, b"rsp", b"200 OK")) == Answer(200, "OK")
    assert answer_of(Frame(1, b"rsp", b"500 no room")) == Answer(500, "no room")
    for frame in (Frame(1, b"rsp"), Frame(1, b"syslog", b"200 OK"), Frame(1, b"rsp", b"2000")):
        with pytest.raises(WrongFrame):
            answer_of(frame)


def test_offers() -> None:
    """A server has to take syslog."""
    assert takes_syslog(Answer(200, f"OK\n{OFFERS.decode()}\n"))
    assert takes_syslog(Answer(200, "OK\ncommands=other,syslog\nrelp_version=0"))
    assert not takes_syslog(Answer(200, "OK\ncommands=other"))
    assert not takes_syslog(Answer(200, "OK"))


def test_numbers_begin_again() -> None:
    """After the last one."""
    assert next_number(0) == 1
    assert next_number(LAST_NUMBER) == 1
