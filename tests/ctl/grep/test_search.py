"""A search names the lines that a loop over all lines would, whatever finds them."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from twisted_virtlog.ctl.grep.finders import EveryLine, Finder, re_finder
from twisted_virtlog.ctl.grep.pattern import BadPattern, compile_pattern
from twisted_virtlog.ctl.grep.search import Search, make_search
from twisted_virtlog.ctl.grep.widening import widened

_ATOMS = [
    *["a", "b", "B", "1", "_", "-", " ", r"\.", ".", r"\r", r"\n", r"\t", r"\x00", r"\xff", "é"],
    *["[ab]", "[^a]", "[^A-Z]", r"[\w-]", r"[^\s]", r"[\n]", r"[\s\S]", r"[\x80-\xff]"],
    *[r"\d", r"\D", r"\w", r"\W", r"\s", r"\S"],
    *["^", "$", r"\A", r"\Z", r"\b", r"\B"],
]
_QUANTIFIERS = ["", "?", "*", "+", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{,3}", "{2,5}?"]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.sampled_from(
        [
            *["(?:%s)", "(%s)", "(?i:%s)", "(?-i:%s)", "(?s:%s)", "(?m:%s)", "(?=%s)", "(?!%s)"],
            *["(?<=%s)", "(?<!%s)", "(?:%s|b)", "(%s)?(?(1)a|b)", r"(%s)\1", "(?P<n>%s)(?P=n)"],
        ]
    )
    grouped = st.builds(lambda group, text: group % text, groups, inner)
    repeated = st.builds(
        lambda text, quantifier: f"(?:{text}){quantifier}", inner, st.sampled_from(_QUANTIFIERS)
    )
    return st.one_of(
        grouped,
        repeated,
        st.builds("".join, st.lists(inner, min_size=1, max_size=4)),
        st.builds("|".join, st.lists(inner, min_size=2, max_size=3)),
    )


EXPRESSIONS = st.builds(
    lambda flags, text: f"(?{flags}){text}" if flags else text,
    st.sampled_from(["", "i", "s", "m", "x", "ims"]),
    st.recursive(st.sampled_from(_ATOMS), _grown, max_leaves=8),
)

LINES = st.lists(
    st.builds(
        lambda parts, end: b"".join(parts) + end,
        st.lists(
            st.sampled_from(
                [
                    *[b"a", b"b", b"A", b"B", b"1", b"_", b"-", b" ", b".", b"\t", b"\r", b"\0"],
                    *[b"\xff", "é".encode(), b"ab", b"aaa"],
                ]
            ),
            max_size=8,
        ),
        st.sampled_from([b"\n", b"\n", b"\r\n", b"\r\r\n"]),
    ),
    min_size=1,
    max_size=12,
)


#: In CI it is there: what is skipped shows nothing.
_HAS_HYPERSCAN = bool(os.environ.get("CI")) or importlib.util.find_spec("hyperscan") is not None


def finders(pattern: re.Pattern[bytes]) -> Iterator[Finder]:
    """Yield all that may find lines of a pattern."""
    yield EveryLine()
    yield re_finder(pattern)
    if _HAS_HYPERSCAN:
        from twisted_virtlog.ctl.grep.by_hyperscan import hyperscan_finder

        if (finder := hyperscan_finder(pattern)) is not None:
            yield finder


def reference(pattern: re.Pattern[bytes], block: bytes) -> list[bytes]:
    """Return the lines that match, one by one."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", block)
    return [line for line in lines if pattern.search(line.rstrip(b"\n").rstrip(b"\r"))]


def found(search: Search, block: bytes) -> list[bytes]:
    """Return the lines that a search names."""
    return [block[start:end] for start, end in search.lines(block)]


@given(EXPRESSIONS, st.booleans(), LINES, st.booleans())
@example("x*", False, [b"\n"], False)
@example("^$", False, [b"a\n", b"\r\n", b"\n"], False)
@example("a$", False, [b"a\r\n", b"a"], True)
@example(r"(?=.*a)(?=.*bb)", False, [b"bba\n", b"ba\n"], False)
@example(r"b\r", False, [b"b\r\n", b"b\rb\n"], False)
def test_lines_are_those_that_match_one_by_one(
    expression: str, ignore_case: bool, lines: list[bytes], is_open: bool
) -> None:
    """Whatever an expression says, and whether the last line has its newline or not."""
    block = b"".join(lines)
    if is_open:
        block = block.removesuffix(b"\n") or b"\n"
    try:
        pattern = compile_pattern(expression, ignore_case)
    except BadPattern:
        assume(False)
        raise
    expected = reference(pattern, block)
    for finder in finders(pattern):
        assert found(Search(pattern, finder), block) == expected


@pytest.mark.parametrize(
    ("expression", "simpler"),
    [
        ("Kernel panic", rb"Kernel\x20panic"),
        ("eth[0-9]+: up", rb"eth(?:[0-9])+\x3a\x20up"),
        # Ends need not be there oftener than they must.
        (r"\s*link\b.*", rb"link\b"),
        ("a+b{2,9}?", rb"(?:a)(?:b){2}"),
        # Nothing goes over the end of a line, which may have carriage returns.
        (r"[^a]$", rb"[\x00-\x09\x0b-\x60b-\xff]\r*$"),
        # All cases, and groups that have others.
        ("(?i)aB(?-i:c)1", rb"[Aa][Bb](?:c)1"),
        # What is seen ahead, where there is nothing else; and what may be anything.
        ("(?=.*up)(?=.*root:)", rb"root\x3a"),
        (r"(a|b)x\1y", rb"(?:[ab])x.*y"),
        ("(?P<q>['\"])(?(q)a|b)", rb"(?:[\x22\x27])(?:a|b)"),
        ("(?>a|b)(?!c)d", rb"(?:[ab])d"),
        ("(?x) a b # c", rb"ab"),
        # (of which Python says that it may mean something else one day)
        ("[[a]", rb"[\x5ba]"),
    ],
)
def test_the_simpler_expression(expression: str, simpler: bytes) -> None:
    """It keeps what makes a search fast."""
    if "(?>" in expression and sys.version_info < (3, 11):
        pytest.skip("Python has this since 3.11")
    found_simpler = widened(compile_pattern(expression))
    assert found_simpler is not None
    assert found_simpler.expression == simpler


def test_what_is_not_known_has_none() -> None:
    """Then each line is looked at."""
    pattern = re.compile(b"(?L)a", re.LOCALE)
    assert widened(pattern) is None
    assert isinstance(re_finder(pattern), EveryLine)
    assert found(make_search(pattern), b"a\nb\nba") == [b"a\n", b"ba"]


def test_long_repetitions() -> None:
    """Where hyperscan cannot have them, it gets shorter ones, and lines are the same."""
    pattern = compile_pattern("(?:ab?c{1,900}){2,700}d")
    block = b"acacd\n" + b"accd\n" + b"ac" * 701 + b"d\n"
    for finder in finders(pattern):
        assert found(Search(pattern, finder), block) == [b"acacd\n", b"ac" * 701 + b"d\n"]


def test_matches_in_a_line() -> None:
    """Where they are, for who shows them; the end of the line is not in it."""
    search = make_search(compile_pattern("a*$|b+"))
    assert search.matches(b"abbaa\r\n") == [(1, 3), (3, 5)]
    assert search.matches(b"b") == [(0, 1)]


def test_only_the_library_that_is_there_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, lines are found all the same."""
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    monkeypatch.delitem(sys.modules, "twisted_virtlog.ctl.grep.by_hyperscan", raising=False)
    search = make_search(compile_pattern("b$"))
    assert found(search, b"a\nab\r\nb") == [b"ab\r\n", b"b"]


@given(EXPRESSIONS, LINES, st.integers(1, 40))
def test_blocks_in_which_most_lines_may_match(
    expression: str, lines: list[bytes], count: int
) -> None:
    """They are looked at in another way for a while; what is found is the same."""
    try:
        pattern = compile_pattern(expression)
    except BadPattern:
        assume(False)
        raise
    last = b"".join(lines)
    blocks = [b"ab\r\n" * 3] * count + [last, last.removesuffix(b"\n") or b"\n"]
    for finder in finders(pattern):
        search = Search(pattern, finder)
        for block in blocks:
            assert found(search, block) == reference(pattern, block)
