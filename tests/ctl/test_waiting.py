"""What is waited for is found, in whatever pieces it comes, and in a line without an end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import Chunk, Position
from twisted_virtlog.ctl.grep.pattern import BadPattern
from twisted_virtlog.ctl.waiting import KEPT_BYTES, Found, LineWatch, watch_for

EXPRESSIONS = (
    *("a", "ab", "b+", "a.*c", "a.*?c", "^a", "^ab$", "c$", "^$", "a|bc", "[^a]", r"\bab", r"ab\b"),
    *("(a|b)*c", "", "^", "$", r"\Aa", r"a\Z", "(?i)B", "a{2}", r"b\Bb", "a c", r"\.", "(a)(b)\\2"),
)


class Log:
    """Cuts a text into pieces with positions in one file."""

    def __init__(self, offset: int = 1000) -> None:
        self.offset = offset

    def piece(self, data: bytes, gap: bool = False) -> Chunk:
        start = Position(7, self.offset, "b")
        self.offset += len(data)
        return Chunk(data=data, start=start, end=Position(7, self.offset, "b"), gap=gap)


def feed(watch: LineWatch, pieces: Sequence[bytes]) -> Found | None:
    log = Log()
    for data in pieces:
        if found := watch.feed(log.piece(data)):
            return found
    return None


def offset(found: Found | None) -> int:
    assert found is not None
    assert (found.end.inode, found.end.birth) == (7, "b")
    return found.end.offset - 1000


@pytest.mark.parametrize(
    ("wanted", "pieces", "line", "end"),
    [
        ("login:", [b"boot\nweb login: "], b"web login: ", 15),
        ("login:", [b"boot\nweb log", b"in: "], b"web login: ", 15),
        ("login:", [b"boot\r\nweb login: root\r\n$ "], b"web login: root", 16),
        ("^login", [b"no login\n", b"lo", b"gin"], b"login", 14),
        ("panic$", [b"panic at once\nKernel panic\r\n"], b"Kernel panic", 28),
        ("panic$", [b"Kernel panic", b"\r", b"\r", b"\n"], b"Kernel panic", 15),
        (r"panic\Z", [b"panic!\npanic\n"], b"panic", 13),
        ("^$", [b"a\n", b"\r", b"\n"], b"", 4),
        ("a.*b", [b"a\nb\nacb"], b"acb", 7),
        ("(?s)a.*b", [b"a\nb"], None, 0),
        ("(?:\u00e4)+", [b"\xc3", b"\xa4"], b"\xc3\xa4", 2),
        ("\udcff", [b"\xff"], b"\xff", 1),
        ("\0", [b"a", b"\0"], b"a\0", 2),
        ("", [b"", b"a"], b"a", 0),
    ],
)
def test_what_is_found(wanted: str, pieces: list[bytes], line: bytes | None, end: int) -> None:
    """The line as far as it has come, and the position just after what matches."""
    found = feed(watch_for(wanted), pieces)
    if line is None:
        assert found is None
    else:
        assert found is not None
        assert (found.wanted, found.line, offset(found)) == (True, line, end)


@pytest.mark.parametrize(
    ("wanted", "unwanted", "pieces", "is_wanted"),
    [
        ("login:", "panic", [b"login: panic\n"], True),
        ("login:", "panic", [b"panic\nlogin: "], False),
        # The one that is complete first, also if it begins later.
        ("a.*z", "m", [b"a m z\n"], False),
        ("a.*z", "m", [b"a z m\n"], True),
        ("^web ok$", "ok", [b"web ok\n"], False),
        # Both at the same byte.
        ("panic", "Kernel panic", [b"Kernel panic"], False),
        ("panic", "panic", [b"panic"], False),
        ("panic$", "panic$", [b"panic\n"], False),
    ],
)
def test_which_of_two(wanted: str, unwanted: str, pieces: list[bytes], is_wanted: bool) -> None:
    """The earlier in the text, however much came at once."""
    for cut in (pieces, [bytes([byte]) for data in pieces for byte in data]):
        found = feed(watch_for(wanted, unwanted), cut)
        assert found is not None
        assert found.wanted is is_wanted


def test_a_prompt_with_its_end() -> None:
    """As long as the line may go on, it does not end; when nothing comes any more, it does."""
    watch, log = watch_for(r"\$ $"), Log()
    assert watch.feed(log.piece(b"cost: 5$ a day\nroot$ ")) is None
    found = watch.rest()
    assert found is not None
    assert (found.wanted, found.line, offset(found)) == (True, b"root$ ", 21)
    assert watch_for("$").rest() is None


def test_the_next_wait_goes_on_behind_what_was_found() -> None:
    """Nothing of the line is missed, and nothing is found again."""
    data = b"web login: root\r\nPassword: "
    found = feed(watch_for("login:"), [data])
    rest = data[offset(found) :]
    assert rest == b" root\r\nPassword: "
    watch = watch_for("^root|Password", at_line_start=False)
    after = watch.feed(Log().piece(rest))
    assert after is not None
    assert after.line == b"Password: "


def test_where_the_watch_begins_in_a_line() -> None:
    """What is left of that line does not begin one."""
    assert feed(watch_for("^a", at_line_start=False), [b"a", b"a\n", b"ba\n"]) is None
    assert offset(feed(watch_for("^a", at_line_start=False), [b"a\na"])) == 3
    assert offset(feed(watch_for("a", at_line_start=False), [b"a"])) == 1


def test_a_gap_breaks_a_line() -> None:
    """What comes after it is another line, whose beginning is not known."""
    watch, log = watch_for("ab|^c"), Log()
    assert watch.feed(log.piece(b"a")) is None
    assert watch.feed(log.piece(b"bc", gap=True)) is None
    assert watch.feed(log.piece(b"c\nb", gap=True)) is None
    assert watch.feed(log.piece(b"\nc")) is not None


def test_a_piece_from_two_files() -> None:
    """A position is in the file in which it lies."""
    start, end = Position(7, 100, "old"), Position(8, 3, "new")
    for wanted, position in [
        ("a", Position(7, 101, "old")),
        ("-", Position(7, 103, "old")),
        ("b", Position(8, 0, "new")),
        ("c", Position(8, 1, "new")),
        ("c$", Position(8, 2, "new")),
        ("d", end),
    ]:
        found = watch_for(wanted).feed(
            Chunk(data=b"a\n-b" + b"c\nd", start=start, end=end, gap=False)
        )
        assert found is not None
        assert found.end == position


def test_a_line_that_began_in_another_file() -> None:
    """What is found where the piece does not reach, is said to be at its beginning."""
    watch = watch_for("a$")
    watch.feed(Chunk(data=b"a", start=Position(7, 100), end=Position(7, 101), gap=False))
    at = Position(8, 0)
    watch.feed(Chunk(data=b"", start=at, end=at, gap=False))
    found = watch.rest()
    assert found is not None
    assert found.end == at


def test_an_endless_line() -> None:
    """Its end is kept, in bounded memory; what was its beginning is none any more."""
    watch, log = watch_for("^y|xyz"), Log()
    for _ in range(40):
        assert watch.feed(log.piece(b"y" * 10_000 if log.offset > 1000 else b"x" * 10_000)) is None
        assert len(watch._line) <= 3 * KEPT_BYTES
    assert watch.feed(log.piece(b"z" * 10_000)) is None
    assert watch.feed(log.piece(b"x")) is None
    found = watch.feed(log.piece(b"yz")) or watch.rest()
    assert found is not None
    assert KEPT_BYTES < len(found.line) < 3 * KEPT_BYTES
    assert offset(found) == 410_003


class Counting:
    """Never matches, and counts the bytes that were looked at."""

    def __init__(self) -> None:
        self.looked_at = 0

    def search(self, text: bytes, begin: int = 0) -> None:
        self.looked_at += len(text) - begin


@pytest.mark.parametrize("step", [1, 7, 100, 5000])
def test_what_a_line_costs(step: int) -> None:
    """Each byte of a line in small pieces is looked at a limited number of times."""
    counting, log, count = Counting(), Log(), 400_000
    watch = LineWatch(re.compile(b"y"))
    watch._wanted = cast("re.Pattern[bytes]", counting)
    for _ in range(0, count, step):
        watch.feed(log.piece(b"x" * step))
    assert counting.looked_at < 20 * count + 1024 * 1024


@pytest.mark.parametrize(
    "expression", ["(", "[a", "a{2,1}", "*", "(?P<a", "\u00e4+", "a" + "(" * 5000]
)
def test_no_regular_expression(expression: str) -> None:
    """The error names it."""
    for wanted, unwanted in [(expression, None), ("a", expression)]:
        with pytest.raises(BadPattern) as refused:
            watch_for(wanted, unwanted)
        assert repr(expression) in str(refused.value)


@given(
    st.sampled_from(EXPRESSIONS),
    st.none() | st.sampled_from(EXPRESSIONS),
    st.text(st.sampled_from("ab c.\r\n")).map(str.encode),
    st.lists(st.integers(0, 30), max_size=6),
    st.booleans(),
)
def test_however_it_is_cut(
    wanted: str, unwanted: str | None, text: bytes, cuts: list[int], at_line_start: bool
) -> None:
    """The same is found, at the same place."""
    ends = sorted(min(cut, len(text)) for cut in cuts)
    cut = [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    each = [text[at : at + 1] for at in range(len(text))]
    whole, parts, bytewise = (
        feed(watch_for(wanted, unwanted, at_line_start), pieces) for pieces in ([text], cut, each)
    )
    for found in (parts, bytewise):
        assert (found is None) == (whole is None)
        if found is not None and whole is not None:
            assert (found.wanted, found.end) == (whole.wanted, whole.end)
            assert whole.line.startswith(found.line.rstrip(b"\r"))


@given(
    st.sampled_from(EXPRESSIONS),
    st.text(st.sampled_from("ab c.\r\n")).map(str.encode),
)
def test_the_first_line_with_a_match(wanted: str, text: bytes) -> None:
    """All lines before it have none."""
    pattern = re.compile(wanted.encode())
    lines = [line.rstrip(b"\r") for line in text.split(b"\n")[:-1]]
    matching = [line for line in lines if pattern.search(line)]
    found = feed(watch_for(wanted), [text.rpartition(b"\n")[0] + b"\n"] if lines else [])
    assert (found and found.line) == (matching[0] if matching else None)
