"""Text from elsewhere is shown and never obeyed by a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.escaping import as_file_name, visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("web, ä, 日本語, 😀, a\\b", "web, ä, 日本語, 😀, a\\b"),
        ("\x00\x07\x1b[2J\r\n\t", "\\x00\\x07\\x1b[2J\\r\\n\\t"),
        ("\x7f\x80\x9b31m", "\\x7f\\x80\\x9b31m"),
        ("\u202egol.\u2066\u200f\u2028\ufeff", "\\u202egol.\\u2066\\u200f\\u2028\\ufeff"),
        ("\U000e0041\udcff", "\\U000e0041\\udcff"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    """All else stays as it is."""
    assert visible(text) == shown


@given(st.text(st.characters(codec=None)))
def test_nothing_but_printable_characters_is_left(text: str) -> None:
    """Whatever a guest, a client or the daemon says."""
    assert visible(text).isprintable()


@given(st.text(st.characters(codec="utf-8")))
def test_json_means_the_same_and_is_printable(text: str) -> None:
    """Programs read what was there, and a terminal has nothing to obey."""
    written = json.dumps([text], ensure_ascii=False, separators=(",", ":"))
    shown = visible_json(written)
    assert shown.isprintable()
    assert json.loads(shown) == [text]


def test_a_name_of_a_file() -> None:
    """Every name has one of its own, whatever is in it and however long it is."""
    names = [
        b"",
        b"a",
        b"/a/b",
        b"%2Fa%2Fb",
        b"a@b",
        b"\xff\0",
        b"/" * 300,
        b"/" * 301,
        b"x" * 4096,
    ]
    found = {as_file_name(name) for name in names}
    assert len(found) == len(names)
    assert all(len(name) <= 200 and "/" not in name and "@" not in name for name in found)
