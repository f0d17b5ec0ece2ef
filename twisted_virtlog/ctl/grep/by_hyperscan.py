"""Find the lines of a block that a regular expression may match in, by hyperscan.

Its block mode alone is used, with a bound on what comes back: one number for each line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import hyperscan

from twisted_virtlog.ctl.grep.widening import Widened, widened

_FLAGS = hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_ALLOWEMPTY


class HyperscanFinder:
    """Searches for the simpler expression, a whole block at a time, at the memory's speed."""

    def __init__(self, simpler: Widened) -> None:
        """Compile.

        :raises hyperscan.error: it cannot have this expression.
        """
        self.is_exact = simpler.is_exact
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        # (the rest of the line, so that a line is named once, by its end, however much matches)
        expression = b"(?:%b).*$" % simpler.expression
        # It may make wider by itself what is too large for it, where that does no harm.
        flags = _FLAGS if simpler.is_exact else _FLAGS | hyperscan.HS_FLAG_PREFILTER
        self._database.compile(expressions=[expression], ids=[0], flags=[flags])

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
    for simpler in _choices(pattern):
        try:
            return HyperscanFinder(simpler)
        except hyperscan.error:
            continue
    return None


def _choices(pattern: re.Pattern[bytes]) -> Iterator[Widened]:
    """Yield what hyperscan may be able to have, the best first."""
    for simpler in (widened(pattern), widened(pattern, plain=True)):
        if simpler is not None:
            yield simpler
            if simpler.is_exact:
                yield replace(simpler, is_exact=False)
