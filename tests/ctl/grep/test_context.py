"""The lines around those that match, against a list of all lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.grep.blocks import Block
from twisted_virtlog.ctl.grep.context import Context, Line

#: Blocks of lines, and which of these match; and whether the block follows the one before.
BLOCKS = st.lists(
    st.tuples(st.lists(st.booleans(), min_size=1, max_size=6), st.booleans()), max_size=5
)


def shown(texts: list[tuple[list[bool], bool]], count: int) -> list[Line]:
    """Return what is shown of lines that are their number."""
    context, number, lines = Context(count), 0, []
    for matches, parted in texts:
        data, matching = b"", []
        place = Position(1, number * 3)
        for matched in matches:
            line = b"%02d\n" % number
            if matched:
                matching.append((len(data), len(data) + len(line)))
            data += line
            number += 1
        lines += context.lines(Block(data, [(0, place)], parted), matching)
    return lines


def reference(texts: list[tuple[list[bool], bool]], count: int) -> list[Line]:
    """Return the same, from the whole text."""
    matches = [matched for block, _ in texts for matched in block]
    run, runs = 0, []
    for block, parted in texts:
        run += parted
        runs += [run] * len(block)
    lines: list[Line] = []
    last = -1
    for number, matched in enumerate(matches):
        near = range(max(0, number - count), min(len(matches), number + count + 1))
        if any(matches[other] and runs[other] == runs[number] for other in near):
            apart = last >= 0 and (last + 1 != number or runs[last] != runs[number])
            place = Position(1, number * 3)
            lines.append(Line(b"%02d\n" % number, place, matched, apart))
            last = number
    return lines


@given(BLOCKS, st.integers(0, 3))
def test_context(texts: list[tuple[list[bool], bool]], count: int) -> None:
    """However the text is divided into blocks; no line is shown twice, and none in between."""
    assert shown(texts, count) == reference(texts, count)


def test_the_last_line_may_have_no_newline() -> None:
    """It is shown as it is, as a match or beside one."""
    block = Block(b"a\nb", [(0, None)], parted=True)
    assert [line.data for line in Context(1).lines(block, [(0, 2)])] == [b"a\n", b"b"]
    assert [line.data for line in Context(1).lines(block, [(2, 3)])] == [b"a\n", b"b"]
