"""Reading ends at what was there when it began."""

from __future__ import annotations

import pytest

from twisted_virtlog.client import Chunk, Position, RemoteError
from twisted_virtlog.ctl import reading
from twisted_virtlog.ctl.reading import read_to_end


class GrowingLog:
    """A log in some files, to whose last one the guest writes at every read.

    :ivar refusal: the code of the error that answers log.position, or 0.
    """

    def __init__(self, files: list[bytes], growth: bytes = b"", refusal: int = 0) -> None:
        self.files = files
        self.growth = growth
        self.refusal = refusal
        self.asked: list[int] = []

    def position(self, path: str) -> Position:
        """Return the live end."""
        if self.refusal:
            raise RemoteError(self.refusal, f"{path} is so")
        return Position(len(self.files) - 1, len(self.files[-1]))

    def read(self, path: str, position: Position | None, max_bytes: int) -> Chunk:
        """Read from one file at a time, as a daemon may."""
        assert path == "/a"
        self.asked.append(max_bytes)
        self.files[-1] += self.growth
        start = position or Position(0, 0)
        while start.offset == len(self.files[start.inode]) and start.inode + 1 < len(self.files):
            start = Position(start.inode + 1, 0)
        data = self.files[start.inode][start.offset :][:max_bytes]
        return Chunk(data, start, Position(start.inode, start.offset + len(data)), False)


def contents(chunks: list[Chunk]) -> bytes:
    """Put the chunks together."""
    return b"".join(chunk.data for chunk in chunks)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for little at once, so that much is asked."""
    monkeypatch.setattr(reading, "CHUNK_BYTES", 4)


def test_all_files_are_read() -> None:
    """The output has every byte, oldest first, whether the log is open or not."""
    for refusal in (0, 1002, 1006):
        log = GrowingLog([b"first", b"", b"second, longer"], refusal=refusal)
        assert contents(list(read_to_end(log, "/a", None, None))) == b"firstsecond, longer"


def test_a_guest_that_never_stops_is_not_followed() -> None:
    """What was written before the command is read, and then it ends."""
    log = GrowingLog([b"first", b"second"], growth=b"++++++")
    data = contents(list(read_to_end(log, "/a", None, None)))
    assert data == b"firstsecond"


def test_reading_begins_and_stops_where_it_is_told() -> None:
    """--from and --bytes cut out just this."""
    log = GrowingLog([b"first", b"second"])
    assert contents(list(read_to_end(log, "/a", Position(0, 2), 7))) == b"rstseco"
    assert max(log.asked) <= 4


@pytest.mark.parametrize("offset", [6, 60])
def test_a_position_at_the_live_end_is_asked_for_all_the_same(offset: int) -> None:
    """The daemon judges a position, even where nothing can be there."""
    log = GrowingLog([b"second"])
    assert contents(list(read_to_end(log, "/a", Position(0, offset), None))) == b""
    assert len(log.asked) == 1


def test_other_errors_are_told() -> None:
    """A daemon that is stopping is not asked on."""
    with pytest.raises(RemoteError):
        list(read_to_end(GrowingLog([b""], refusal=1005), "/a", None, None))
