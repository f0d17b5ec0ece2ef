"""Makes text visible that comes from somebody else: nothing in it moves a cursor or ends a line."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return a text with backslash escapes for whatever is not printable.

    Control characters, line ends, bytes that are no UTF-8 (surrogates) and characters that change
    the direction of writing are escaped as in a Python string. A backslash stays as it is, so that
    ordinary paths do.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
