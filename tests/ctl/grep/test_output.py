"""What a search writes: for pipes, for terminals and for programs."""

from __future__ import annotations

import io
from collections.abc import Sequence

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.grep.blocks import Block
from twisted_virtlog.ctl.grep.output import (
    CountOutput,
    LinesOutput,
    ObjectOutput,
    Output,
    PlainOutput,
)
from twisted_virtlog.ctl.grep.pattern import compile_pattern
from twisted_virtlog.ctl.grep.search import Search, make_search


def fill(output: Output, search: Search, logs: Sequence[tuple[str, Sequence[bytes]]]) -> None:
    """Search in logs, each of some blocks."""
    for path, texts in logs:
        output.begin(path)
        offset = 0
        for number, text in enumerate(texts):
            block = Block(text, [(0, Position(7, offset))], parted=number == 0)
            output.add(block, search.lines(text))
            offset += len(text)
        output.end()


LOGS = [("/a", [b"one\r\ntwo\none\n", b"three\none"]), ("/b/\udcff", [b"two\nthree\n", b"one\n"])]
ONE = make_search(compile_pattern("n"))


def test_a_pipe_gets_the_exact_lines() -> None:
    """With their line ends; only the last one may get a newline that it lacks."""
    stream = io.BytesIO()
    fill(PlainOutput(stream, with_path=False), ONE, LOGS)
    assert stream.getvalue() == b"one\r\none\none\none\n"
    stream = io.BytesIO()
    fill(PlainOutput(stream, with_path=True), ONE, LOGS)
    assert stream.getvalue() == b"/a:one\r\n/a:one\n/a:one\n/b/\xff:one\n"


def test_lines_have_others_around_them() -> None:
    """What is not next to one another is set apart, and so are logs."""
    stream = io.BytesIO()
    search = make_search(compile_pattern("tw|ree"))
    logs = [("/a", [b"1\ntwo\n2\n3\n", b"4\n5\nthree"]), ("/b", [b"two\n1\n2\ntwo\n"])]
    fill(LinesOutput(stream, search, with_path=False, context=1), search, logs)
    assert stream.getvalue() == b"1\ntwo\n2\n--\n5\nthree\n--\ntwo\n1\n2\ntwo\n"
    stream = io.BytesIO()
    fill(LinesOutput(stream, search, with_path=True, context=1), search, logs[1:])
    assert stream.getvalue() == b"/b:two\n/b-1\n/b-2\n/b:two\n"


def test_colours_show_what_matches() -> None:
    """And what the guest or a path says is made harmless piece by piece."""

    class Harmless:
        def feed(self, data: bytes) -> bytes:
            return data.replace(b"\x1b", b"?")

        def end(self) -> bytes:
            return b"<"

    stream = io.BytesIO()
    search = make_search(compile_pattern("t.|e+"))
    output = LinesOutput(
        stream, search, with_path=True, context=1, colour=True, make_filter=Harmless
    )
    fill(output, search, [("/\x1b", [b"a\x1bt\x1bee\r\n", b"1\x1b\n2\n3\n4\ne\n"])])
    path = b"\x1b[35m/\\x1b\x1b[m"
    assert stream.getvalue() == (
        path + b"\x1b[36m:\x1b[ma?\x1b[01;31mt?\x1b[m\x1b[01;31mee\x1b[m\r<\n"
        + path + b"\x1b[36m-\x1b[m1?<\n"
        + b"\x1b[36m--\x1b[m\n"
        + path + b"\x1b[36m-\x1b[m4<\n"
        + path + b"\x1b[36m:\x1b[m\x1b[01;31me\x1b[m<\n"
    )  # fmt: skip


def test_counts_are_of_each_log() -> None:
    """Also where nothing matches."""
    counts: list[tuple[str, int]] = []
    search = make_search(compile_pattern("two|re$"))
    fill(CountOutput(lambda path, count: counts.append((path, count))), search, LOGS[:1])
    fill(CountOutput(lambda path, count: counts.append((path, count))), search, [("/c", [b"x"])])
    assert counts == [("/a", 1), ("/c", 0)]


def test_objects_say_where_lines_are() -> None:
    """With the bytes exactly as they are in the log, and where in them something matches."""
    found: list[dict[str, object]] = []
    search = make_search(
        compile_pattern("n|\xff".encode("latin-1").decode("utf-8", "surrogateescape"))
    )
    fill(ObjectOutput(found.append, search, 1), search, [("/a", [b"1\n2\none\r\n", b"a\xff"])])
    assert found == [
        {
            "path": "/a",
            "position": Position(7, 2),
            "data": "2\n",
            "encoding": "utf-8",
            "matched": False,
            "matches": [],
        },
        {
            "path": "/a",
            "position": Position(7, 4),
            "data": "one\r\n",
            "encoding": "utf-8",
            "matched": True,
            "matches": [(1, 2)],
        },
        {
            "path": "/a",
            "position": Position(7, 9),
            "data": "Yf8=",
            "encoding": "base64",
            "matched": True,
            "matches": [(1, 2)],
        },
    ]
