"""Search in the logs of a daemon, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.grep.blocks import Block, blocks
from twisted_virtlog.ctl.grep.output import Output
from twisted_virtlog.ctl.grep.pieces import Piece, is_in
from twisted_virtlog.ctl.grep.search import Search
from twisted_virtlog.ctl.ranges import Range


class Source(Protocol):
    """Reads logs."""

    def pieces(self, path: str, wanted: Range) -> Iterator[Piece]:
        """Yield a part of a log, as whole lines."""


class LogSearch:
    """A search in logs.

    :ivar has_found: whether a line has matched.
    """

    def __init__(
        self,
        source: Source,
        search: Search,
        output: Output,
        progress: Callable[[int], object],
        written: Callable[[], object],
    ) -> None:
        """Search nothing yet.

        :param progress: called with how many bytes were read.
        :param written: called when some may have been written to the output.
        """
        self.has_found = False
        self._source = source
        self._search = search
        self._output = output
        self._progress = progress
        self._written = written

    def search(self, path: str, ranges: Sequence[Range]) -> None:
        """Search in parts of a log, the oldest first.

        :raises RemoteError: the daemon cannot give it.
        """
        output = self._output
        output.begin(path)
        for block in self._blocks(path, ranges):
            matching = self._search.lines(block.data)
            self.has_found |= bool(matching)
            output.add(block, matching)
            if matching:
                self._written()
        output.end()

    def _blocks(self, path: str, ranges: Sequence[Range]) -> Iterator[Block]:
        end: Position | None = None
        for wanted in ranges:
            for block in blocks(self._counted(self._source.pieces(path, _after(end, wanted)))):
                yield block
                end = block.position(len(block.data))

    def _counted(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self._progress(len(piece.data))
            yield piece


def _after(end: Position | None, wanted: Range) -> Range:
    """Return a range without what was searched already: the rest of the former one's last line."""
    start = wanted.start
    if end is None or start is None or not is_in(start, end) or start.offset >= end.offset:
        return wanted
    return Range(end, wanted.end)
