"""How the lines that a search found are written: for people, for programs, or counted only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted_virtlog.ctl.encoding import json_bytes
from twisted_virtlog.ctl.grep.blocks import Block
from twisted_virtlog.ctl.grep.context import Context, Line
from twisted_virtlog.ctl.grep.search import Search
from twisted_virtlog.escaping import visible

Spans = Sequence[tuple[int, int]]

# As GNU grep has them.
_RESET = b"\x1b[m"
_MATCH, _PATH, _SEPARATOR = b"\x1b[01;31m", b"\x1b[35m", b"\x1b[36m"


class Stream(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Write bytes."""


class Filter(Protocol):
    """Makes one line harmless."""

    def feed(self, data: bytes) -> bytes:
        """Return what of the next part of it can be shown."""

    def end(self) -> bytes:
        """Return what is left of it."""


class Output(Protocol):
    """Takes what was found in one log after the other."""

    def begin(self, path: str) -> None:
        """Begin with a log."""

    def add(self, block: Block, matching: Spans) -> None:
        """Take the next block of the log.

        :param matching: where the lines that match begin and end.
        """

    def end(self) -> None:
        """End with the log."""


class PlainOutput:
    """The lines that match, exactly as they are in the log, but that the last one is ended."""

    def __init__(self, stream: Stream, with_path: bool) -> None:
        """Write to a stream.

        :param with_path: before each line.
        """
        self._write = stream.write
        self._with_path = with_path
        self._prefix = b""

    def begin(self, path: str) -> None:
        self._prefix = _bytes_of(path) + b":" if self._with_path else b""

    def add(self, block: Block, matching: Spans) -> None:
        if not matching:
            return
        data, prefix = block.data, self._prefix
        text = prefix + prefix.join([data[start:end] for start, end in matching])
        self._write(text if text.endswith(b"\n") else text + b"\n")

    def end(self) -> None:
        """Nothing is left to do."""


class _AsItIs:
    """Changes nothing."""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


_AS_IT_IS = _AsItIs()


class LinesOutput:
    """Lines with others around them, or for a terminal."""

    def __init__(
        self,
        stream: Stream,
        search: Search,
        with_path: bool,
        context: int = 0,
        colour: bool = False,
        make_filter: Callable[[], Filter] | None = None,
    ) -> None:
        """Write to a stream.

        :param context: lines around each that matches.
        :param colour: show where in a line something matches.
        :param make_filter: makes what each line goes through; None to write lines as they are.
        """
        self._write = stream.write
        self._matches = search.matches
        self._with_path = with_path
        self._count = context
        self._context = Context(context)
        self._colour = colour
        self._make_filter = make_filter
        self._path = b""
        self._has_written = False
        self._is_first = True

    def begin(self, path: str) -> None:
        self._context = Context(self._count)
        self._path = _bytes_of(path if self._make_filter is None else visible(path))
        self._is_first = True

    def add(self, block: Block, matching: Spans) -> None:
        if matching or self._count:
            for line in self._context.lines(block, matching):
                self._add_line(line)

    def end(self) -> None:
        """Nothing is left to do."""

    def _add_line(self, line: Line) -> None:
        if self._count and (line.apart or (self._is_first and self._has_written)):
            self._write(self._coloured(b"--", _SEPARATOR) + b"\n")
        self._is_first, self._has_written = False, True
        separator = b":" if line.matched else b"-"
        before = b""
        if self._with_path:
            before = self._coloured(self._path, _PATH) + self._coloured(separator, _SEPARATOR)
        text = line.data.removesuffix(b"\n")
        self._write(before + self._text(text, line.matched) + b"\n")

    def _text(self, text: bytes, matched: bool) -> bytes:
        line = _AS_IT_IS if self._make_filter is None else self._make_filter()
        parts = []
        begin = 0
        for start, end in self._matches(text) if self._colour and matched else ():
            parts.append(line.feed(text[begin:start]))
            parts.append(self._coloured(line.feed(text[start:end]), _MATCH))
            begin = end
        return b"".join([*parts, line.feed(text[begin:]), line.end()])

    def _coloured(self, text: bytes, colour: bytes) -> bytes:
        return colour + text + _RESET if self._colour else text


class CountOutput:
    """How many lines of each log match."""

    def __init__(self, write: Callable[[str, int], object]) -> None:
        """Count.

        :param write: writes the path of a log and its number.
        """
        self._write_count = write
        self._path = ""
        self._count = 0

    def begin(self, path: str) -> None:
        self._path, self._count = path, 0

    def add(self, block: Block, matching: Spans) -> None:
        self._count += len(matching)

    def end(self) -> None:
        self._write_count(self._path, self._count)


class ObjectOutput:
    """Each line as an object for programs."""

    def __init__(
        self, write: Callable[[dict[str, object]], object], search: Search, context: int
    ) -> None:
        """Make objects.

        :param write: writes one.
        :param context: lines around each that matches.
        """
        self._write_object = write
        self._matches = search.matches
        self._count = context
        self._context = Context(context)
        self._path = ""

    def begin(self, path: str) -> None:
        self._path, self._context = path, Context(self._count)

    def add(self, block: Block, matching: Spans) -> None:
        for line in self._context.lines(block, matching):
            self._write_object(
                {
                    "path": self._path,
                    "position": line.position,
                    **json_bytes(line.data),
                    "matched": line.matched,
                    "matches": self._matches(line.data) if line.matched else [],
                }
            )

    def end(self) -> None:
        """Nothing is left to do."""


def _bytes_of(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
