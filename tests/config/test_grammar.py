"""The grammar of the configuration file: any bytes give statements or a named mistake."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twisted_virtlog.config.grammar import (
    GrammarError,
    Integer,
    List,
    Statement,
    String,
    Value,
    parse,
)

#: What the grammar gives a meaning to, and some that it does not.
_ALPHABET = b"a_Z09 \t\r\n#;='\"[],+-\\\x00\x0c\xff"

_soup = st.lists(st.sampled_from([bytes([one]) for one in _ALPHABET] + [b'"""'])).map(b"".join)


def _outcome(text: bytes) -> list[Statement] | GrammarError:
    try:
        return parse(text)
    except GrammarError as error:
        return error


@given(st.one_of(st.binary(max_size=200), _soup))
@example(b'a="""')
@example(b'a=""""')
@example(b"a=[")
@example(b"a=[1,")
@example(b"a=-")
def test_any_bytes_are_parsed_or_told_with_their_line(text: bytes) -> None:
    """Nothing but a mistake with a line of the file comes out."""
    outcome = _outcome(text)
    if isinstance(outcome, GrammarError):
        assert 1 <= outcome.line <= text.count(b"\n") + 1
        assert str(outcome) == f"line {outcome.line}: {outcome.problem}"
    else:
        lines = [statement.line for statement in outcome]
        assert lines == sorted(lines)


_blanks = st.text("\t ", max_size=3).map(str.encode)
_gap = st.text("\t \r\n", max_size=4).map(str.encode)
_comment = st.binary(max_size=10).map(lambda text: b"#" + text.translate(None, b"\r\n"))
_ending = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n \t\n", b";", b"; \n"])
_name = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)

_number = st.integers(0, 2**64 - 1)
_integers = st.one_of(
    st.tuples(st.sampled_from(["", "+", "000"]), _number).map(
        lambda pair: (Integer(pair[1]), f"{pair[0]}{pair[1]}".encode())
    ),
    _number.map(lambda number: (Integer(number, signed=True), f"-{number}".encode())),
)


def _quoted(quote: bytes, forbidden: bytes) -> st.SearchStrategy[tuple[Value, bytes]]:
    texts = st.binary(max_size=20).map(lambda text: text.translate(None, forbidden))
    return texts.map(lambda text: (String(text), quote + text + quote))


_strings = st.one_of(
    _quoted(b"'", b"'\r\n"),
    _quoted(b'"', b'"\r\n'),
    st.binary(max_size=20)
    .map(lambda text: text.replace(b'"""', b"").rstrip(b'"'))
    # At the end of a file libvirt does not know an empty one.
    .map(lambda text: (String(text or b"x"), b'"""' + (text or b"x") + b'"""')),
)


def _lists(
    items: st.SearchStrategy[tuple[Value, bytes]],
) -> st.SearchStrategy[tuple[Value, bytes]]:
    def written(drawn: tuple[list[tuple[Value, bytes]], list[bytes], bool]) -> tuple[Value, bytes]:
        pairs, gaps, trailing = drawn
        text = b",".join(gaps[0] + one + gaps[1] for _, one in pairs)
        comma = b"," if pairs and trailing else b""
        return List(tuple(value for value, _ in pairs)), b"[" + text + comma + gaps[2] + b"]"

    gaps = st.lists(_gap, min_size=3, max_size=3)
    return st.tuples(st.lists(items, max_size=4), gaps, st.booleans()).map(written)


_values = st.recursive(st.one_of(_integers, _strings), _lists, max_leaves=6)

_statements = st.tuples(_name, _values, st.tuples(_blanks, _blanks, _blanks, _blanks), _ending)


@pytest.mark.lengthy
@given(st.lists(_statements, max_size=8), st.one_of(st.just(b""), _comment))
def test_what_is_written_by_the_grammar_is_read_back(
    drawn: list[tuple[str, tuple[Value, bytes], tuple[bytes, ...], bytes]], comment: bytes
) -> None:
    """Names, values and lines survive any blanks, separators, quotes and comments."""
    text = b""
    expected = []
    for name, (value, written), (before, left, right, after), ending in drawn:
        text += before
        expected.append(Statement(name, value, text.count(b"\n") + 1))
        # A comment after a value ends with the line.
        note = comment if ending not in {b";", b"; \n"} else b""
        text += name.encode() + left + b"=" + right + written + after + note + ending
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", 0),
        (b"18446744073709551617", 1),
        (b"010", 10),
        (b"9" * 10_000, (10**10_000 - 1) % 2**64),
    ],
)
def test_numbers_wrap_as_in_libvirt(text: bytes, number: int) -> None:
    """Digits beyond 64 bits are lost silently, and a leading zero means nothing."""
    assert parse(b"a = " + text) == [Statement("a", Integer(number), 1)]


@pytest.mark.parametrize("depth", [100, 101, 100_000])
def test_deep_lists_are_refused_not_fatal(depth: int) -> None:
    """A file of brackets does not exhaust the stack."""
    text = b"a=" + b"[" * depth + b"]" * depth
    if depth == 100:
        assert len(parse(text)) == 1
    else:
        with pytest.raises(GrammarError, match="expecting a value"):
            parse(text)


@pytest.mark.parametrize(
    "text",
    [
        b"a=1\n" * 50_000,
        b"#\n" * 100_000 + b"a=1",
        b"a=[" + b"1," * 100_000 + b"]",
        b"a=[" + b"'" * 1_000_001,
        b"a=[" + b'"x",\n' * 50_000 + b'"""',
        b"a=" + b"9" * 1_000_000,
        b"a=" + b" " * 1_000_000,
        b'a="""' + b'""\n' * 300_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_long_files_take_no_longer_than_their_length(text: bytes) -> None:
    """Where each byte were looked at for each other, this would not end in time."""
    assert _outcome(text)


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        (b"\n\n\n a", "expecting an assignment", 4),
        (b"a=1\r\nb=2\r\nc", "expecting an assignment", 3),
        (b"a=1\rb=2\rc", "expecting an assignment", 1),
        (b'a="""\n\n"""\nb', "expecting an assignment", 4),
        (b'a="""\n\n\n??', "unterminated string", 4),
        (b'a="""\n\n\n\n', "unterminated string", 3),
        (b'a="""\n\n\n', "expecting a separator", 1),
        (b'a=""""""', "expecting a separator", 1),
        (b"a=[\n1,\n\n2 3]", "expecting a separator in list", 4),
        (b"a=[1\n\n", "list is not closed with ]", 3),
        (b"a=[1,\n\n", "expecting a value", 3),
        (b"a=1\n\n=", "expecting a name", 3),
    ],
)
def test_a_mistake_is_told_with_its_line(text: bytes, problem: str, line: int) -> None:
    """Lines are counted by LF up to the place where it fails."""
    with pytest.raises(GrammarError) as caught:
        parse(text)
    assert (caught.value.problem, caught.value.line) == (problem, line)
