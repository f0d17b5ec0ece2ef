"""Find the lines of a block that a regular expression may match in, by ``re``."""

from __future__ import annotations

import re
from typing import Protocol

from twisted_virtlog.ctl.grep.widening import Widened, widened

_NEWLINE = re.compile(b"\n")


class Finder(Protocol):
    """Names lines that may match; it leaves out none that does."""

    @property
    def is_exact(self) -> bool:
        """Whether each line that it names does match."""

    def line_ends(self, block: bytes) -> list[int]:
        """Return where these lines end: at their newline, or at the end of the block.

        They ascend; one that may match in several ways may be there more than once.

        :param block: whole lines, at least one.
        """


class WideningFinder:
    """Searches for the simpler expression, a whole block at a time."""

    def __init__(self, simpler: Widened) -> None:
        self.is_exact = simpler.is_exact
        # (the rest of the line, so that there is one match in a line, which says where it ends)
        self._search = re.compile(b"(?:%b).*" % simpler.expression, re.MULTILINE).finditer

    def line_ends(self, block: bytes) -> list[int]:
        return [match.end() for match in self._search(block, 0, _last_end(block))]


class LowerCaseFinder(WideningFinder):
    """Searches in lower case: letters of both cases are what ``re`` is slowest at."""

    def line_ends(self, block: bytes) -> list[int]:
        return super().line_ends(block.lower())


class EveryLine:
    """Names each line."""

    is_exact = False

    def line_ends(self, block: bytes) -> list[int]:
        ends = [match.start() for match in _NEWLINE.finditer(block)]
        return ends if block.endswith(b"\n") else [*ends, len(block)]


def re_finder(pattern: re.Pattern[bytes]) -> Finder:
    """Return the finder that needs nothing but the standard library."""
    lower = bool(pattern.flags & re.IGNORECASE)
    simpler = widened(pattern, lower=lower)
    if simpler is None:
        return EveryLine()
    return LowerCaseFinder(simpler) if lower else WideningFinder(simpler)


def _last_end(block: bytes) -> int:
    """Return where the last line ends, so that an empty one after it is not found."""
    return len(block) - block.endswith(b"\n")
