"""What is printed of several logs: names, times, and lines that come in pieces."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.tail_output import Output, Piece
from twisted_virtlog.ctl.tailing import short_names

_END = Position(7, 9, "b")


class Stream(io.BytesIO):
    """Standard output.

    :ivar is_terminal: whether it seems to be one.
    """

    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal


class Printed:
    """An output, and what came of it."""

    def __init__(self, *, is_terminal: bool = False, **how: Any) -> None:
        self.stream = Stream()
        self.stream.is_terminal = is_terminal
        self.warnings: list[str] = []
        options: dict[str, Any] = {
            "names": False,
            "timestamps": False,
            "as_json": False,
            "raw": False,
            **how,
        }
        self.output = Output(self.stream, warn=self.warnings.append, **options)

    @property
    def text(self) -> bytes:
        """What was printed."""
        return self.stream.getvalue()


def _piece(data: bytes, **more: Any) -> Piece:
    return Piece(data, None, _END, **more)


def test_a_pipe_gets_the_exact_bytes_of_one_log() -> None:
    """Whatever they are."""
    printed = Printed()
    source = printed.output.source("/a.log", "a.log")
    for data in (b"\x1b[2J\xff", b"\r\n\0"):
        printed.output.print(source, _piece(data))
    printed.output.end(source)
    assert printed.text == b"\x1b[2J\xff\r\n\0"


def test_a_terminal_obeys_no_guest() -> None:
    """Unless that is wanted; colours may stay, and end with the output."""
    printed = Printed(is_terminal=True)
    source = printed.output.source("/a.log", "a.log")
    printed.output.print(source, _piece(b"\x1b]0;x\x07\x1b[31mred"))
    printed.output.end(source)
    assert b"\x1b]" not in printed.text
    assert printed.text.endswith(b"\x1b[31mred\x1b[0m")
    printed = Printed(is_terminal=True, raw=True)
    printed.output.print(printed.output.source("/a.log", "a.log"), _piece(b"\x1b]0;x\x07"))
    assert printed.text == b"\x1b]0;x\x07"


def test_lines_stay_together() -> None:
    """One that comes in pieces is printed when it has come, after its name."""
    printed = Printed(names=True)
    one, other = (printed.output.source(f"/{name}", name) for name in ("a", "long"))
    printed.output.print(one, _piece(b"be"))
    printed.output.print(other, _piece(b"other\n"))
    printed.output.print(one, _piece(b"gin\nnext"))
    assert printed.text == b"long | other\na    | begin\n"
    printed.output.end(one)
    assert printed.text.endswith(b"a    | next")


def test_a_prompt_is_printed_when_its_log_is_quiet() -> None:
    """What another log prints then begins a new line; its own goes on."""
    printed = Printed(names=True)
    one, other = (printed.output.source(f"/{name}", name) for name in "ab")
    printed.output.print(one, _piece(b"login: "))
    printed.output.rest(one)
    assert printed.text == b"a | login: "
    printed.output.print(one, _piece(b"root\n"))
    assert printed.text == b"a | login: root\n"
    printed.output.print(one, _piece(b"$ "))
    printed.output.rest(one)
    printed.output.print(other, _piece(b"hello\n"))
    printed.output.print(one, _piece(b"ls\n"))
    assert printed.text.endswith(b"a | $ \nb | hello\na | ls\n")


def test_times_stand_before_lines() -> None:
    """That of the first byte of each."""
    printed = Printed(timestamps=True)
    source = printed.output.source("/a", "a")
    begin = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
    piece = _piece(b"one\ntwo\n", times=lambda offset: begin + timedelta(seconds=offset))
    printed.output.print(source, piece)
    times, words = zip(*(line.split() for line in printed.text.splitlines()), strict=True)
    assert words == (b"one", b"two")
    found = [datetime.fromisoformat(time.decode()) for time in times]
    assert found == [begin, begin + timedelta(seconds=4)]


def test_json() -> None:
    """An object for each piece; bytes that are no text are told as they are."""
    printed = Printed(as_json=True)
    source = printed.output.source("/a", "a")
    printed.output.print(source, _piece(b"text\n"))
    printed.output.print(source, _piece(b"\xff", gap=True, missed=5))
    first, second = map(json.loads, printed.text.splitlines())
    assert (first["path"], first["data"], first["encoding"]) == ("/a", "text\n", "utf-8")
    assert first["end"] == {"inode": 7, "offset": 9, "birth": "b"}
    assert (second["encoding"], second["gap"], second["missed"]) == ("base64", True, 5)


def test_a_gap_is_told_to_people() -> None:
    """With how many bytes are missing, if that is known."""
    printed = Printed()
    source = printed.output.source("/a", "a")
    printed.output.print(source, _piece(b"x", gap=True, missed=5))
    printed.output.print(source, _piece(b"y", gap=True))
    assert printed.warnings[0].startswith("/a: 5 bytes are missing")
    assert printed.warnings[1].startswith("/a: bytes are missing")
    assert printed.text == b"xy"


def test_names_tell_logs_apart() -> None:
    """They are no longer than need be."""
    assert short_names(["/l/a.log"]) == {"/l/a.log": "a.log"}
    paths = ["/l/web/console.log", "/l/db/console.log", "/l/other.log"]
    assert list(short_names(paths).values()) == ["web/console.log", "db/console.log", "other.log"]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([b"x", b"\n", b"yy\nz", b"\n\n"])),
        max_size=30,
    )
)
def test_no_line_is_lost(pieces: list[tuple[str, bytes]]) -> None:
    """However lines of two logs come."""
    printed = Printed(names=True)
    sources = {name: printed.output.source(f"/{name}", name) for name in "ab"}
    for name, data in pieces:
        printed.output.print(sources[name], _piece(data))
    for source in sources.values():
        printed.output.end(source)
    lines = printed.text.split(b"\n")
    for name in "ab":
        text = b"".join(data for one, data in pieces if one == name)
        before = f"{name} | ".encode()
        found = [line[len(before) :] for line in lines if line.startswith(before)]
        assert b"\n".join(found).rstrip(b"\n") == text.rstrip(b"\n")
