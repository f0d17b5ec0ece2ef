"""Which lines of a block match: what a finder names is looked at line by line."""

from __future__ import annotations

import re

from twisted_virtlog.ctl.grep.finders import Finder, re_finder

_CARRIAGE_RETURN = ord("\r")

#: Where more than this part of the lines is to be looked at, each is, for some blocks: to look at
#: one by itself costs twice as much.
_DENSE_PART = 4
_DENSE_BLOCKS = 16


class Search:
    """Searches for a regular expression, each line by itself.

    The newline is not part of the line, nor are carriage returns before it: ``$`` matches there.
    """

    def __init__(self, pattern: re.Pattern[bytes], finder: Finder) -> None:
        """Search for a pattern.

        :param finder: made for this pattern.
        """
        self._search = pattern.search
        self._spans = pattern.finditer
        self._line_ends = finder.line_ends
        self._is_exact = finder.is_exact
        # How many blocks to come are searched line by line.
        self._dense_blocks = 0

    def lines(self, block: bytes) -> list[tuple[int, int]]:
        """Return where lines that match begin and end; the newline is within.

        :param block: whole lines, at least one.
        """
        if self._dense_blocks:
            self._dense_blocks -= 1
            return self._each_line(block)
        search, is_exact = self._search, self._is_exact
        line_ends = self._line_ends(block)
        if not is_exact and len(line_ends) * _DENSE_PART > block.count(b"\n"):
            self._dense_blocks = _DENSE_BLOCKS
            return self._each_line(block)
        matching = []
        begin = 0
        for line_end in line_ends:
            if line_end < begin:
                continue
            start, end = block.rfind(b"\n", begin, line_end) + 1 or begin, line_end
            begin = end + 1
            while not is_exact and end > start and block[end - 1] == _CARRIAGE_RETURN:
                end -= 1
            if is_exact or search(block[start:end]):
                matching.append((start, begin))
        return _within(matching, block)

    def _each_line(self, block: bytes) -> list[tuple[int, int]]:
        """Return the same, for a block of which most lines have to be looked at."""
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        texts = [line.rstrip(b"\r") for line in lines] if b"\r" in block else lines
        matching = []
        begin = 0
        for line, match in zip(lines, map(self._search, texts), strict=True):
            end = begin + len(line) + 1
            if match is not None:
                matching.append((begin, end))
            begin = end
        return _within(matching, block)

    def matches(self, line: bytes) -> list[tuple[int, int]]:
        """Return where in a line something matches; what is empty is left out.

        :param line: with or without its newline.
        """
        text = line.removesuffix(b"\n").rstrip(b"\r")
        spans = (match.span() for match in self._spans(text))
        return [(start, end) for start, end in spans if end > start]


def _within(matching: list[tuple[int, int]], block: bytes) -> list[tuple[int, int]]:
    """Return lines of a block, of which the last one may lack its newline."""
    if matching and matching[-1][1] > len(block):
        matching[-1] = (matching[-1][0], len(block))
    return matching


def make_search(pattern: re.Pattern[bytes]) -> Search:
    """Return a search, by the fastest way that is installed and can have the pattern."""
    try:
        from twisted_virtlog.ctl.grep.by_hyperscan import hyperscan_finder  # noqa: PLC0415
    except ImportError:
        return Search(pattern, re_finder(pattern))
    return Search(pattern, hyperscan_finder(pattern) or re_finder(pattern))
