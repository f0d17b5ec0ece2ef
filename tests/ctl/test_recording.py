"""The last lines are the last lines, and little of a log is in memory at once."""

from __future__ import annotations

import base64
import io
import tracemalloc
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from twisted_virtlog.client import Chunk, Position
from twisted_virtlog.ctl.progress import shown
from twisted_virtlog.ctl.recording import Recording, base64_pieces, is_utf8, utf8_pieces


class Log:
    """A log of one file; it gives at most some bytes at once.

    :ivar oldest: what is below is rotated away.
    """

    def __init__(self, content: bytes, at_once: int) -> None:
        self.content = content
        self.at_once = at_once
        self.oldest = 0

    def read(self, position: Position, length: int) -> Chunk:
        """Read on from a position."""
        start = max(position.offset, self.oldest)
        data = self.content[start : start + min(length, self.at_once)]
        gap = start > position.offset
        return Chunk(data, Position(1, start), Position(1, start + len(data)), gap)

    def chunks(self) -> Iterator[Chunk]:
        """Read all of it."""
        position = Position(1, 0)
        while (chunk := self.read(position, 1 << 30)).data:
            yield chunk
            position = chunk.end


def recorded(log: Log, lines: int | None, kept_bytes: int) -> Recording:
    """Read all of a log."""
    recording = Recording(lines, kept_bytes)
    for chunk in log.chunks():
        recording.add(chunk)
    return recording


@given(st.text("a\n", max_size=30), st.integers(1, 9), st.integers(0, 8), st.integers(0, 20))
@example("a\na", 2, 1, 0)
@example("a\na\n", 2, 1, 0)
@example("\n\n\n", 3, 2, 0)
def test_the_last_lines_are_kept(text: str, at_once: int, lines: int, kept_bytes: int) -> None:
    """In whatever pieces a log comes and is read again, its last lines are those of its text."""
    log = Log(text.encode(), at_once)
    recording = recorded(log, lines, kept_bytes)
    all_lines = text.splitlines(keepends=True)
    last_lines = "".join(all_lines[max(0, len(all_lines) - lines) :])
    for _time in range(2):
        assert b"".join(recording.content(log.read)).decode() == last_lines
    whole = recorded(log, None, kept_bytes)
    assert b"".join(whole.content(log.read)) == log.content
    assert not whole.gap


def test_a_long_log_does_not_fill_the_memory() -> None:
    """Neither lines that are not wanted nor one line without an end are kept."""
    log = Log(b"x" * 20_000_000, 100_000)
    tracemalloc.start()
    for lines in (None, 1):
        recording = recorded(log, lines, 500_000)
        assert sum(map(len, recording.content(log.read))) == len(log.content)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000


def test_what_was_rotated_away_meanwhile_is_a_gap() -> None:
    """No byte is passed on twice, or as that of another place."""
    log = Log(b"0123456789", 2)
    recording = recorded(log, None, 2)
    log.oldest = 5
    assert b"".join(recording.content(log.read)) == b"6789"
    assert recording.gap


@given(st.lists(st.binary(max_size=7)))
def test_pieces_make_one_text(pieces: list[bytes]) -> None:
    """Characters and groups of three bytes may lie across pieces."""
    data = b"".join(pieces)
    assert base64.b64decode("".join(base64_pieces(pieces)), validate=True) == data
    text = data.decode(errors="replace")
    assert "".join(utf8_pieces(pieces)) == text
    assert is_utf8(pieces) == (text.encode() == data)


class Terminal(io.StringIO):
    """What stands on a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_long_read_shows_how_far_it_is() -> None:
    """On a terminal, when it takes long, and nothing is left of it; elsewhere never."""
    chunks = list(Log(b"x" * 4_000_000, 1_000_000).chunks())
    terminal, elsewhere = Terminal(), io.StringIO()
    times = iter([0.0, 0.5, 1.0, 1.0, 1.1, 2.0, 2.0])
    assert list(shown(chunks, terminal, lambda: next(times))) == chunks
    written = terminal.getvalue().split("\r\x1b[K")
    assert written == ["", "virtlogctl: 2 MB read", "virtlogctl: 4 MB read", ""]
    assert list(shown(chunks, elsewhere, lambda: next(iter([99.0])))) == chunks
    assert elsewhere.getvalue() == ""
