"""Names of stored descriptors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.systemd.names import (
    JOURNALS,
    MOST_BYTES,
    Room,
    dropping_inode,
    dropping_name,
    is_lane,
    lane_name,
    pipe_inode,
    pipe_name,
    staging_inode,
    staging_name,
)


@given(st.integers(0, 2**64 - 1))
def test_a_name_tells_the_inode(inode: int) -> None:
    """What was stored is known again by its name alone, which systemd and LISTEN_FDNAMES take."""
    name = pipe_name(inode)
    assert pipe_inode(name) == inode
    assert name.isascii()
    assert name.isalnum()


@given(st.integers(0, 2**64 - 1))
def test_what_is_a_lanes_is_not_taken_for_a_guests(inode: int) -> None:
    """Nor the one for the other."""
    staging, lane = staging_name(inode), lane_name(inode)
    assert (staging_inode(staging), staging_inode(lane)) == (inode, None)
    assert (is_lane(lane), is_lane(staging)) == (True, False)
    assert pipe_inode(staging) is None
    assert pipe_inode(lane) is None
    assert staging_inode(pipe_name(inode)) is None
    dropping = dropping_name(inode)
    assert (dropping_inode(dropping), dropping_inode(staging)) == (inode, None)
    assert (pipe_inode(dropping), staging_inode(dropping)) == (None, None)
    assert not is_lane(dropping)
    assert not is_lane("lane-")
    assert not is_lane("lane-a-b")


@given(st.text(max_size=14))
def test_no_other_text_means_a_pipe(text: str) -> None:
    """A text is the name of one pipe or of none."""
    inode = pipe_inode(text)
    assert inode is None or pipe_name(inode) == text


@pytest.mark.parametrize("name", [*JOURNALS, "virtlogd.socket", "", "00", "a" * 12, "\u0663"])
def test_other_names_are_no_pipes(name: str) -> None:
    """Sockets and journals are never taken for pipes."""
    assert pipe_inode(name) is None


def test_the_names_of_16384_logs_fit() -> None:
    """As many as the unit allows, and with the largest inode numbers that pipes have."""
    room = Room(16384)
    assert all(room.add(pipe_name(2**32 - 1 - number)) for number in range(16384))
    assert not room.add("more")


def test_lanes_have_room_that_logs_do_not_take() -> None:
    """Of descriptors and of bytes; and lanes may take what logs leave."""
    room = Room(10, for_lanes=4)
    assert [room.add(str(number)) for number in range(7)] == [True] * 6 + [False]
    lanes = [staging_name(number) for number in range(5)]
    assert [room.add(name, of_lane=True) for name in lanes] == [True] * 4 + [False]
    assert not room.add("7")
    room.remove(lanes[0])
    assert not room.add("7")
    room.remove("0")
    assert room.add(lanes[0], of_lane=True)
    assert room.add(lanes[4], of_lane=True)
    assert len(room) == 10

    room = Room(10, for_lanes=4)
    assert all(room.add(name, of_lane=True) for name in lanes[:4])
    assert [room.add(str(number)) for number in range(7)] == [True] * 6 + [False]

    room = Room(None, for_lanes=96)
    number = 0
    while room.add(f"{number:06}"):
        number += 1
    staged = [staging_name(2**32 - 1 - number) for number in range(96)]
    assert all(room.add(name, of_lane=True) for name in staged)


def test_names_never_outgrow_the_environment() -> None:
    """More bytes of names would keep the daemon from being started again."""
    room = Room(None)
    names = [f"{number:06}" for number in range(MOST_BYTES // 7)]
    assert all(room.add(name) for name in names)
    assert not room.add("1000000")
    assert len(":".join(names)) < MOST_BYTES
    room.remove(names[0])
    assert room.add("100000")


def test_room_is_given_back_once() -> None:
    """A name that is not stored takes no room, and stored twice it takes it once."""
    room = Room(1)
    room.remove("a")
    assert room.add("a")
    assert room.add("a")
    assert "a" in room
    assert len(room) == 1
    assert not room.add("b")
    room.remove("a")
    room.remove("a")
    assert room.add("b")
    assert "a" not in room
