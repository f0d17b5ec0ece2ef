"""What reaches the terminal in the browser, by the browser's own engine."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.web.browser import Look, modules_alone

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]

_FEED = """
async (cases) => {
  const { TerminalFilter } = await import("./filter.js");
  return cases.map((pieces) => {
    const filter = new TerminalFilter();
    return pieces.map((piece) => filter.feed(piece)).join("");
  });
}
"""
_PLAIN = """
async (texts) => {
  const { plainText } = await import("./filter.js");
  return texts.map(plainText);
}
"""


@pytest.fixture(scope="module")
def look() -> Iterator[Look]:
    """A page with the modules alone, which needs no program."""
    with modules_alone() as made:
        yield made


def fed(look: Look, *cases: list[str]) -> list[str]:
    """Return what comes out of a new filter for each list of pieces."""
    return list(look.page.evaluate(_FEED, list(cases)))


KEPT = [
    "red \x1b[31mgreen\x1b[0;38:5:9mand blue\x1b[m\n" * 2000,
    *("text", "caf\xe9 \u4e16\u754c \U0001f600", "a\r\nb\n", "a\bb", "a\tb"),
    *("\x1b[m", "\x1b[0m", "\x1b[1;31m", "\x1b[38;5;9m", "\x1b[38;2;1;2;3m", "\x1b[4:3m"),
    *("\x1b[A", "\x1b[9999B", "\x1b[2;3H", "\x1b[2J", "\x1b[K", "\x1b[1X", "\x1b[3P", "\x1b[4@"),
    *("\x1bD", "\x1bE", "\x1bM", "\x1b7", "\x1b8", "e\u0301", "a" + "\u0301" * 8),
]

CHANGED = {
    "a\x1b[2147483647b": "a",
    "a\x1b[10000b": "a",
    "\x1b[10000A": "",
    "\x1b[3J": "",
    "\x1b[03J": "",
    "\x1b[2;3J": "",
    "\x1b[?1049h": "",
    "\x1b[?1000h\x1b[?2026h": "",
    "\x1b[c\x1b[6n\x1b[>q": "",
    "\x1bc": "",
    "\x1b#8": "",
    "\x1b(B": "",
    "\x1b[!p": "",
    "\x1b[1 q": "",
    "a\0b\x07c\x0bd\x0ee\x7f": "abcde",
    "\x1b]0;title\x07a": "a",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1b]52;c;AAAA\x1b\\a": "a",
    "\x1b]0;never\r\nnext": "\r\nnext",
    "\x1bPq#0~~\nnext": "\nnext",
    "\x1b_x\x18a": "a",
    "\x1b^x\x1b[31ma": "\x1b[31ma",
    "\x9b31m\x9d0;t\x9c\x85a": "31m0;ta",
    "a" + "\u0301" * 1000: "a" + "\u0301" * 8,
    "a" + "\u0301" * 8 + "\x1b[31m\u0301": "a" + "\u0301" * 8 + "\x1b[31m",
    "a\x1b[31m" + "\u0301" * 9: "a\x1b[31m" + "\u0301" * 8,
    "a\x1b[?1mb\x1b[31111mc\x1b[>4;2md": "abcd",
    "a\u202eb\u2066c": "a\u27e8U+202E\u27e9b\u27e8U+2066\u27e9c",
    "\x1b[12\nline": "12\nline",
    "\x1b\x1b[31ma": "\x1b[31ma",
    "\x1b[" + "1;" * 40 + "m": "1;" * 40 + "m",
}


def test_what_is_harmless_passes_as_it_is(look: Look) -> None:
    assert fed(look, *([text] for text in KEPT)) == KEPT


def test_all_else_is_left_out(look: Look) -> None:
    assert dict(zip(CHANGED, fed(look, *([text] for text in CHANGED)), strict=True)) == CHANGED


def test_a_string_that_does_not_end_hides_little(look: Look) -> None:
    (shown,) = fed(look, ["\x1b]0;" + "x" * 10_000 + "\x1b[31mend"])
    assert shown.endswith("\x1b[31mend")
    assert len(shown) > 9_000


def cut(source: random.Random, text: str) -> list[str]:
    """Cut a text into pieces, most of them small."""
    pieces = []
    while text:
        count = source.choice([1, 1, 2, 3, 4097])
        pieces.append(text[:count])
        text = text[count:]
    return pieces


def test_however_it_is_cut_the_same_comes_out(look: Look) -> None:
    source = random.Random(7)
    alphabet = [
        *("\x1b", "[", "]", "P", "\\", "\x07", "\x9c", ";", "1", "9999", "m", "H", "J", "b", "?"),
        "\x1b[31m",
        *("\n", "\r", "a", "\u0301", "\u202e", "\U0001f600", " ", "(", "\0", "x" * 5000),
    ]
    texts = ["".join(source.choices(alphabet, k=source.randint(1, 30))) for _ in range(300)]
    wholes = fed(look, *([text] for text in texts))
    assert fed(look, *(cut(source, text) for text in texts)) == wholes
    for shown in wholes:
        assert "\u202e" not in shown
        assert "\0" not in shown


def test_a_plain_text_shows_what_is_not_seen(look: Look) -> None:
    texts = ["\x1b[31mred\x1b[0m\r\n", "a\rb", "a\x1b]0;t\x07", "\u202ea", "tab\there"]
    texts += ["a" + "\u0301" * 8, "a" + "\u0301" * 1008]
    assert look.page.evaluate(_PLAIN, texts) == [
        *("red\n", "a\u240db", "a\u241b]0;t\u2407", "\u27e8U+202E\u27e9a", "tab\there"),
        *("a" + "\u0301" * 8, "a" + "\u0301" * 8 + "\u27e81000 more marks\u27e9"),
    ]
