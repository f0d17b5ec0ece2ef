"""Where what a search finds is printed, and in which of its forms."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from typing import BinaryIO

from twisted_virtlog.ctl.grep.output import (
    CountOutput,
    Filter,
    LinesOutput,
    ObjectOutput,
    Output,
    PlainOutput,
)
from twisted_virtlog.ctl.grep.search import Search
from twisted_virtlog.ctl.outcomes import json_of
from twisted_virtlog.ctl.progress import Progress
from twisted_virtlog.escaping import visible


class Printer:
    """Standard output, whose lines are not those that show the progress."""

    def __init__(self, stream: BinaryIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress
        self.is_terminal = stream.isatty()

    def write(self, data: bytes) -> int:
        """Write bytes."""
        self._progress.erase()
        return self._stream.write(data)

    def flush(self) -> None:
        """Let what was written be seen, where somebody looks."""
        if self.is_terminal:
            self._stream.flush()


Members = Callable[[str], dict[str, object]]


def _path_alone(path: str) -> dict[str, object]:
    return {"path": path}


def make_output(
    stream: Printer,
    search: Search,
    as_json: bool,
    with_path: bool,
    context: int,
    count: bool,
    raw: bool,
    members: Members = _path_alone,
) -> Output:
    """Return what writes what is found, as it was asked for and as the stream takes it.

    :param members: what is said of a log in JSON, by what stands before its lines otherwise.
    """
    if count:
        return CountOutput(_count_writer(as_json, stream, with_path, members))
    if as_json:

        def write(line: dict[str, object]) -> None:
            stream.write(_json_line({**line, **members(str(line["path"]))}))

        return ObjectOutput(write, search, context)
    if not context and not stream.is_terminal:
        return PlainOutput(stream, with_path)
    make_filter = _filter_maker() if stream.is_terminal and not raw else None
    colour = stream.is_terminal and _has_colours()
    return LinesOutput(stream, search, with_path, context, colour, make_filter)


def _filter_maker() -> Callable[[], Filter]:
    from twisted_virtlog.ctl.terminal import TerminalFilter  # noqa: PLC0415

    utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    colours = _has_colours()
    return lambda: TerminalFilter(colours, utf8)


def _has_colours() -> bool:
    """Return whether the terminal is to show colours; see no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _count_writer(
    as_json: bool, stream: Printer, with_path: bool, members: Members
) -> Callable[[str, int], object]:
    def write(path: str, count: int) -> None:
        if as_json:
            stream.write(_json_line({**members(path), "count": count}))
        elif not with_path:
            stream.write(b"%d\n" % count)
        else:
            name = visible(path) if stream.is_terminal else path
            stream.write(b"%b:%d\n" % (name.encode("utf-8", "surrogateescape"), count))
        stream.flush()

    return write


def _json_line(value: object) -> bytes:
    return json_of(value).encode() + b"\n"
