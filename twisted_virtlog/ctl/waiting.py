"""Finds the line that is waited for in what comes in a log, however it is cut into pieces.

Each line is looked at by itself. Its end (a newline, and carriage returns before it) is not part of
it, so ``$`` matches there; and as long as it has not come, ``$`` does not match, as the line may go
on. ``^`` matches where a line is known to begin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import msgspec

from twisted_virtlog.ctl.grep.finders import re_finder
from twisted_virtlog.ctl.grep.pattern import BadPattern, compile_pattern
from twisted_virtlog.ctl.grep.search import Search
from twisted_virtlog.values import Position

#: As much of the end of a line is kept while the line has no end.
KEPT_BYTES = 64 * 1024
#: A line without an end is looked at whenever it has grown, up to this length; then when it has
#: grown by this part of its length. So the work is in proportion to what comes, even if it comes
#: byte by byte; what is found late is found when the log rests.
_ALWAYS_BYTES = 1024
_GROWN_PART = 8

#: What may follow decides whether ``$`` and ``\\b`` match. What matches before either of these, as
#: well as at the end, matches whatever comes.
_FOLLOWING = (b"", b"x", b"\0")
#: Stands for what precedes the first byte, if that does not begin a line.
_UNKNOWN = b"\0"


class Piece(Protocol):
    """What came in a log: :class:`.Chunk` or :class:`.FeedData`."""

    @property
    def data(self) -> bytes:
        """The bytes."""

    @property
    def start(self) -> Position:
        """Where they begin."""

    @property
    def end(self) -> Position:
        """Where the next piece begins."""

    @property
    def gap(self) -> bool:
        """Whether bytes before it are missing."""


@dataclass(frozen=True)
class Found:
    """One of the regular expressions matches.

    :ivar wanted: whether it is the one that is waited for.
    :ivar line: the line, as far as it has come, without its end.
    :ivar end: just behind what matches. Who waits from there on for something else does not miss
        it, be it in the same line.
    """

    wanted: bool
    line: bytes
    end: Position


def watch_for(wanted: str, unwanted: str | None = None, at_line_start: bool = True) -> LineWatch:
    """Return a watch for regular expressions, as they are on the command line.

    :raises BadPattern: one of them is none; the text names it.
    """
    other = None if unwanted is None else _compiled(unwanted)
    return LineWatch(_compiled(wanted), other, at_line_start)


class LineWatch:
    """Takes what comes in a log until one of two regular expressions matches.

    The one whose match is complete first is found; the unwanted one if both are at the same byte.
    Which one that is, and where, does not depend on how the text is cut into pieces. (It does for
    an expression that asks for what does *not* follow: that goes by what has come.)
    """

    def __init__(
        self,
        wanted: re.Pattern[bytes],
        unwanted: re.Pattern[bytes] | None = None,
        at_line_start: bool = True,
    ) -> None:
        """Begin.

        :param at_line_start: whether the first byte that comes begins a line.
        """
        self._wanted = wanted
        self._unwanted = unwanted
        both = (wanted,) if unwanted is None else (wanted, unwanted)
        self._searches = [Search(pattern, re_finder(pattern)) for pattern in both]
        #: The line that has not ended, and what precedes it if it did not begin with it.
        self._line = bytearray()
        self._before = b"" if at_line_start else _UNKNOWN
        #: How many of its bytes were not looked at yet.
        self._new_bytes = 0
        self._start = self._end = Position(0, 0)
        self._piece_bytes = 0

    def feed(self, piece: Piece) -> Found | None:
        """Take what came next. Once something was found, nothing more may be fed."""
        if piece.gap:
            self._begin_line(_UNKNOWN)
        data = piece.data
        self._start, self._end, self._piece_bytes = piece.start, piece.end, len(data)
        first, last = data.find(b"\n"), data.rfind(b"\n")
        if first < 0:
            return self._go_on(data)
        line = self._before + self._line + data[:first]
        if found := self._look(line, True, len(data) - first):
            return found
        self._begin_line(b"")
        if first < last and (
            found := self._look_at_lines(data[first + 1 : last + 1], len(data) - last)
        ):
            return found
        return self._go_on(data[last + 1 :])

    def rest(self) -> Found | None:
        """Look at the line that has not ended as if it had.

        To be called when nothing has come for a while: a prompt has no end, and ``$`` may be meant
        for it.
        """
        return self._look(self._before + self._line, True, 0) if self._line else None

    def _begin_line(self, before: bytes) -> None:
        self._line.clear()
        self._before = before
        self._new_bytes = 0

    def _go_on(self, data: bytes) -> Found | None:
        """Take more of the line that has not ended."""
        line = self._line
        line += data
        self._new_bytes += len(data)
        if not data or len(line) > max(_ALWAYS_BYTES, _GROWN_PART * self._new_bytes):
            return None
        self._new_bytes = 0
        found = self._look(self._before + line, False, 0)
        if len(line) > 2 * KEPT_BYTES:
            cut = len(line) - KEPT_BYTES
            self._before = bytes(line[cut - 1 : cut])
            del line[:cut]
        return found

    def _look_at_lines(self, block: bytes, following: int) -> Found | None:
        """Look at whole lines.

        :param following: the bytes after the last one in the piece, with its newline.
        """
        matching = [lines[0] for search in self._searches if (lines := search.lines(block))]
        if not matching:
            return None
        begin, end = min(matching)
        return self._look(block[begin : end - 1], True, following + len(block) - end)

    def _look(self, line: bytes, finished: bool, following: int) -> Found | None:
        """Look at a line.

        :param line: with what precedes it, and without its newline.
        :param finished: whether its end has come.
        :param following: the bytes after it in the piece, with the newline.
        """
        begin, text = len(self._before), line.rstrip(b"\r")
        wanted = _first_end(self._wanted, text, begin, finished)
        unwanted = None
        if self._unwanted is not None:
            unwanted = _first_end(self._unwanted, text, begin, finished)
        ends = [end for end in (wanted, unwanted) if end is not None]
        if not ends:
            return None
        end = min(ends)
        # (of a match that the end of the line completes, the end of the line is a part)
        left = following + len(line) - end if end <= len(text) else max(0, following - 1)
        return Found(end != unwanted, text[begin:], self._position(left))

    def _position(self, left: int) -> Position:
        """Return the position that has so many bytes after it in what came."""
        if left <= self._end.offset:
            return msgspec.structs.replace(self._end, offset=self._end.offset - left)
        # It is in the file before the one in which the piece ends.
        offset = self._start.offset + self._piece_bytes - left
        return msgspec.structs.replace(self._start, offset=max(0, offset))


def _compiled(expression: str) -> re.Pattern[bytes]:
    try:
        return compile_pattern(expression)
    except BadPattern as error:
        raise BadPattern(f"{expression!r} is not a regular expression: {error}") from error


def _first_end(pattern: re.Pattern[bytes], text: bytes, begin: int, finished: bool) -> int | None:
    """Return where the shortest part of a line, from its beginning on, ends that has a match.

    :param finished: whether the line ends with the text.
    :returns: one byte after the text if the end of the line belongs to it; None without a match.
    """
    if pattern.search(text, begin) is None:
        return None
    low, high = begin, len(text)
    if not _matches(pattern, text, begin):
        return high + 1 if finished else None
    while low < high:
        middle = (low + high) // 2
        if _matches(pattern, text[:middle], begin):
            high = middle
        else:
            low = middle + 1
    return high


def _matches(pattern: re.Pattern[bytes], text: bytes, begin: int) -> bool:
    """Return whether a match is in a text, whatever follows it."""
    return all(pattern.search(text + following, begin) for following in _FOLLOWING)
