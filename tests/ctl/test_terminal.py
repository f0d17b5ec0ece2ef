"""What guests print is harmless on a terminal, and can be read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ctl.terminal import TerminalFilter

#: What a guest may do on purpose: sequences, their parts, and bytes that some terminals obey.
PIECES = [
    *(
        b"\x1b",
        b"\x1b[",
        b"\x1b]0;",
        b"\x1bP",
        b"\x9b",
        b"\xc2\x9b",
        b"\xe2\x80\xae",
        b"\xf0\x9f\x98",
    ),
    *(b"\x1b[0;31m", b"\x1b[m", b"\x1b[8m", b"\x1b[38;5;8m", b"\x1b[1;38:2::1:2:3m", b"\x1b[2J"),
    *(b"0", b";", b":", b"?", b"m", b"J", b"(", b" ", b"\\", b"a", b"\xc3\xa4", b"\xff", b"\x80"),
    *(b"\r", b"\n", b"\r\n", b"\t", b"\0", b"\x07", b"\x08", b"\x7f", b"5" * 70, b"1;" * 31),
]
WHATEVER = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3)).map(b"".join)

COLOURS = re.compile(r"\x1b\[[0-9;:]{0,64}m")


def shown(data: bytes, colours: bool = True, utf8: bool = True) -> str:
    one = TerminalFilter(colours, utf8)
    return (one.feed(data) + one.end()).decode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain text\n\ttab\n", "plain text\n\ttab\n"),
        ("ä, 日本語, 😀\n".encode(), "ä, 日本語, 😀\n"),
        # Line ends of all kinds, and a return within a line.
        (b"a\r\nb\r\r\nc\n\rd\r", "a\nb\nc\nd"),
        (b"10%\r20%\r\r30%\n", "10%\\r20%\\r30%\n"),
        (b"\ra\r\x1b[K\n", "a\n"),
        (b"a\r\x1b[0m\x1b[Kb", "a\x1b[0m\\rb"),
        # Colours end with their line.
        (b"\x1b[0;32m  OK  \x1b[0m] done\r\n", "\x1b[0;32m  OK  \x1b[0m] done\n"),
        (b"\x1b[1;31mred\r\nnext\n", "\x1b[1;31mred\x1b[0m\nnext\n"),
        (b"\x1b[01;38;5;8;48;2;1;22;255mx\x1b[m\n", "\x1b[01;38;5;8;48;2;1;22;255mx\x1b[m\n"),
        (b"\x1b[38:2::1:2:3m\x1b[4:3mx", "\x1b[38:2::1:2:3m\x1b[4:3mx\x1b[0m"),
        # What hides or blinks is no colour.
        (b"\x1b[8mhidden\x1b[0;8mhidden\x1b[5mblinks", "hiddenhiddenblinks"),
        (b"\x1b[38;5;1;8mhidden\x1b[1000mx\x1b[?1mx\x1b[1$mx", "hiddenxxx"),
        # SeaBIOS, UEFI, Linux.
        (b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS", "\x1b[0mSeaBIOS"),
        (b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[08;00HBdsDxe", "BdsDxe"),
        (b"\x1b7\x1b(B\x1b)0\x1b=\x1b>\x1b#8\x1b\\x", "x"),
        # What comes with a text shows it, so that nothing is swallowed if it does not end.
        (b"\x1b]0;title\x07x\x1b]52;c;aGk=\x1b\\y", "\\x1b]0;title\\x07x\\x1b]52;c;aGk=y"),
        (b"\x1bPq\x1b_a\x1b^b\x1bXc", "\\x1bPq\\x1b_a\\x1b^b\\x1bXc"),
        (b"\x1b[3\x1b[31mx\x1b[3\n1m", "\\x1b[3\x1b[31mx\\x1b[3\x1b[0m\n1m"),
        (b"\x1b[" + b"1" * 65 + b"mx", "\\x1b[" + "1" * 65 + "mx"),
        (b"\x1b\x1b[2Jx\x1b", "\\x1bx\\x1b"),
        (b"\x1b[", "\\x1b["),
        # Control characters, those of 8 bits too, and what changes the direction of a text.
        (b"a\x08\x07\0\x0b\x0c\x0e\x7fb", "a\\x08\\x07\\x00\\x0b\\x0c\\x0e\\x7fb"),
        (b"\x9b31m\xc2\x9b31m\xff", "\\x9b31m\\x9b31m\\xff"),
        ("\u202egol.\u2066\u2028".encode(), "\\u202egol.\\u2066\\u2028"),
        (b"\xf0\x9f\x98", "\\xf0\\x9f\\x98"),
    ],
)
def test_what_is_shown(data: bytes, text: str) -> None:
    """Text stays as it is; what a terminal would obey is shown, or does nothing."""
    assert shown(data) == text


def test_without_colours() -> None:
    """They are left out like all else that is set."""
    assert shown(b"\x1b[1;31mred\x1b[0m\n\x1b[32mgreen", colours=False) == "red\ngreen"


def test_a_terminal_without_utf8() -> None:
    """Some bytes of UTF-8 begin sequences there."""
    assert shown("\u06db ä\n".encode(), utf8=False) == "\\u06db \\xe4\n"


def test_a_prompt_is_shown_at_once() -> None:
    """Only what may be part of a sequence is kept."""
    one = TerminalFilter()
    assert one.feed(b"\x1b[32mlogin: ") == b"\x1b[32mlogin: "
    assert one.feed(b"root\r\n") == b"root\x1b[0m\n"
    assert one.feed(b"\x1b") == b""
    assert one.feed(b"[") == b""
    assert one.feed(b"2") == b""
    assert one.feed(b"Kx") == b"x"
    assert one.end() == b""


@given(WHATEVER, st.booleans(), st.booleans())
def test_nothing_is_obeyed_but_colours(data: bytes, colours: bool, utf8: bool) -> None:
    """Whatever comes."""
    found = shown(data, colours, utf8)
    text = COLOURS.sub("", found) if colours else found
    assert text.replace("\n", "").replace("\t", "").isprintable()
    assert utf8 or text.isascii()


@given(WHATEVER)
def test_lines_stay_lines(data: bytes) -> None:
    """As many as there were, each without the colours of the one before."""
    lines = shown(data).split("\n")
    assert len(lines) == data.count(b"\n") + 1
    for line in lines:
        assert (COLOURS.findall(line) or ["\x1b[m"])[-1] in {"\x1b[m", "\x1b[0m"}


@given(WHATEVER, st.lists(st.integers(0, 200), max_size=10))
def test_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    """The same is shown."""
    one, parts = TerminalFilter(), []
    ends = sorted(min(cut, len(data)) for cut in cuts)
    for begin, end in zip([0, *ends], [*ends, len(data)], strict=True):
        parts.append(one.feed(data[begin:end]))
    assert b"".join([*parts, one.end()]).decode() == shown(data)


@given(WHATEVER)
def test_byte_by_byte(data: bytes) -> None:
    """The same is shown."""
    one = TerminalFilter()
    parts = [one.feed(data[at : at + 1]) for at in range(len(data))]
    assert b"".join([*parts, one.end()]).decode() == shown(data)


@given(st.text(st.characters(codec="utf-8").filter(str.isprintable)))
def test_text_is_not_changed(text: str) -> None:
    """Whatever its language."""
    assert shown(text.encode()) == text
