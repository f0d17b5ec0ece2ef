"""Parts of a log: from the start of a line, and nothing passed over where bytes are missing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from twisted_virtlog.client import Chunk, LogFile, LogFiles, Position
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.files import Files
from twisted_virtlog.web.windows import Window, window_before, window_from

PATH = "/a"


@dataclass
class FakeDaemon:
    """Has the files of one log.

    :ivar kept: their numbers, the oldest first, and what they have. Between two whose numbers do
        not follow on each other bytes are missing.
    :ivar rotated: how many of the oldest go once somebody knows which there are.
    """

    kept: dict[int, bytes]
    rotated: int = 0
    asked: list[int] = field(default_factory=list)

    async def of(self, _client: Client, _path: str, start: Position | None) -> LogFiles:
        assert start is None
        files = [
            LogFile(
                number,
                f"h.{number}",
                len(data),
                False,
                os.open(os.devnull, os.O_RDONLY),
                number > min(self.kept) and number - 1 not in self.kept,
            )
            for number, data in self.kept.items()
        ]
        for number in list(self.kept)[: self.rotated]:
            del self.kept[number]
        return LogFiles(files, more=False)

    async def read(self, _path: str, position: Position, most: int) -> Chunk:
        self.asked.append(most)
        assert most > 0
        number, offset = position.inode, position.offset
        gap = number not in self.kept
        if gap:
            newer = [one for one in self.kept if one > number]
            number, offset = min(newer), 0
        if offset == len(self.kept[number]) and number != max(self.kept):
            after = min(one for one in self.kept if one > number)
            gap, number, offset = gap or after > number + 1, after, 0
        start, data = Position(number, offset, f"h.{number}"), b""
        while True:
            piece = self.kept[number][offset:][: most - len(data)]
            data, offset = data + piece, offset + len(piece)
            if len(data) == most or number + 1 not in self.kept:
                return Chunk(data, start, Position(number, offset, f"h.{number}"), gap)
            number, offset = number + 1, 0


def window(daemon: FakeDaemon, position: Position | None, count: int, is_before: bool) -> Window:
    """Return a part of the log."""
    read = window_before if is_before else window_from
    found: list[Window] = []
    asked = read(cast(Client, daemon), cast(Files, daemon), PATH, position, count)
    Deferred.fromCoroutine(asked).addCallback(found.append)
    return found[0]


def lines(first: int, count: int) -> bytes:
    """Return lines that are all different."""
    return b"".join(b"line %04d\n" % number for number in range(first, first + count))


#: Numbers and sizes of files in lines, with some missing between.
FILES = st.dictionaries(st.integers(1, 9), st.integers(1, 30), min_size=1, max_size=5).map(
    lambda sizes: {number: lines(100 * number, sizes[number]) for number in sorted(sizes)}
)


@given(FILES, st.integers(10, 300))
def test_windows_forward_pass_over_nothing(kept: dict[int, bytes], count: int) -> None:
    """And say where bytes are missing, each time that they are."""
    daemon = FakeDaemon(kept)
    seen, gaps = b"", 0
    at = Position(min(kept), 0, f"h.{min(kept)}")
    while True:
        found = window(daemon, at, count, is_before=False)
        if not found.data:
            break
        assert found.start is not None
        assert found.end is not None
        assert found.data.startswith(b"line ")
        # (it begins with the line that the one before it has cut)
        seen = seen[: found.before] + found.data
        gaps += found.gap and found.before > 0
        assert found.end != at
        at = found.end
    assert seen == b"".join(kept.values())
    assert gaps == sum(number - 1 not in kept for number in kept) - 1


@given(FILES, st.integers(10, 300))
def test_windows_backward_pass_over_nothing(kept: dict[int, bytes], count: int) -> None:
    daemon = FakeDaemon(kept)
    seen, gaps, at = b"", 0, None
    while True:
        found = window(daemon, at, count, is_before=True)
        assert found.start != at
        seen = found.data + seen
        gaps += found.gap
        at = found.start
        if found.is_first:
            break
    assert seen == b"".join(kept.values())
    assert gaps == sum(number - 1 not in kept for number in kept) - 1


def test_at_the_end_before_a_gap_comes_what_is_after_it() -> None:
    daemon = FakeDaemon({1: lines(0, 5), 3: lines(50, 5)})
    first = window(daemon, None, 1000, is_before=False)
    assert (first.data, first.gap) == (lines(0, 5), False)
    then = window(daemon, first.end, 1000, is_before=False)
    assert (then.data, then.gap, then.before) == (lines(50, 5), True, 50)
    assert (then.start, then.end) == (Position(3, 0, "h.3"), Position(3, 50, "h.3"))
    # Nothing is said where the line that is asked for is whole.
    inside = window(daemon, Position(3, 15, "h.3"), 1000, is_before=False)
    assert (inside.data, inside.gap) == (lines(51, 4), False)


def test_before_a_position_is_what_ends_there_and_nothing_from_before_a_gap() -> None:
    daemon = FakeDaemon({1: lines(0, 5), 3: lines(50, 5)})
    found = window(daemon, Position(3, 20, "h.3"), 60, is_before=True)
    assert (found.data, found.gap, found.before) == (lines(50, 2), True, 50)
    older = window(daemon, found.start, 60, is_before=True)
    assert (older.data, older.gap, older.is_first) == (lines(0, 5), False, True)


@pytest.mark.parametrize(
    ("position", "is_before", "data"),
    [
        # (what was asked for has gone meanwhile; then the oldest that is kept comes)
        (Position(1, 25, "h.1"), False, lines(30, 9)),
        (Position(2, 25, "h.2"), False, lines(30, 9)),
        (Position(3, 25, "h.3"), False, lines(32, 8)),
        (Position(3, 0, "h.3"), False, lines(30, 9)),
        (Position(1, 25, "h.1"), True, b""),
        (Position(3, 20, "h.3"), True, lines(30, 2)),
        (None, True, lines(30, 10)),
    ],
)
def test_what_is_rotated_away_before_it_is_read_moves_nothing(
    position: Position | None, is_before: bool, data: bytes
) -> None:
    kept = {number: lines(10 * number, 10) for number in (1, 2, 3)}
    found = window(FakeDaemon(kept, 2), position, 270 if is_before else 90, is_before)
    assert found.data == data
    assert found.gap == (found.start == Position(3, 0, "h.3"))
