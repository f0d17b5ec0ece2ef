"""Find the lines of a block that a regular expression may match in, by hyperscan.

Its block mode alone is used, with a bound on what comes back: one number for each line.
"""

from __future__ import annotations

import re
from typing import Any

import hyperscan

from twisted_virtlog.ctl.grep.widening import widened

_FLAGS = hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_ALLOWEMPTY | hyperscan.HS_FLAG_PREFILTER


class HyperscanFinder:
    """Searches for the simpler expression, a whole block at a time, at the memory's speed."""

    def __init__(self, simpler: bytes) -> None:
        """Compile.

        :raises hyperscan.error: it cannot have this expression.
        """
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        # (the rest of the line, so that a line is named once, by its end, however much matches)
        expression = b"(?:%b).*$" % simpler
        self._database.compile(expressions=[expression], ids=[0], flags=[_FLAGS])

    def line_ends(self, block: bytes) -> list[int]:
        ends: list[int] = []

        def found(_id: int, _start: int, end: int, _flags: int, _context: Any) -> None:
            ends.append(end)

        self._database.scan(block, found)
        ends.sort()
        if ends and ends[-1] == len(block) and block.endswith(b"\n"):
            # Something empty matches after the last line.
            ends.pop()
        return ends


def hyperscan_finder(pattern: re.Pattern[bytes]) -> HyperscanFinder | None:
    """Return a finder; None if hyperscan can have nothing that is made of the expression."""
    for plain in (False, True):
        simpler = widened(pattern, plain)
        if simpler is None:
            return None
        try:
            return HyperscanFinder(simpler)
        except hyperscan.error:
            continue
    return None
