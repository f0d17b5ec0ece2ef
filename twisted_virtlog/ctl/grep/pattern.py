"""Compile the regular expression of a search, which is Python's, for lines that are bytes."""

from __future__ import annotations

import re
import warnings

#: What may not follow a character, or surround it, that is several bytes long.
_CHARACTER = "A character outside ASCII is several bytes, so "


class BadPattern(ValueError):
    """A regular expression that cannot be searched for; the text says why."""


def compile_pattern(expression: str, ignore_case: bool = False) -> re.Pattern[bytes]:
    """Compile a regular expression for bytes; characters outside ASCII stand for their UTF-8.

    :param expression: as from the command line, where bytes that are no UTF-8 are surrogates.
    :param ignore_case: of the letters of ASCII.
    :raises BadPattern: it is no regular expression, or would not mean what it says.
    """
    if not expression.isascii():
        _check_characters(expression)
    try:
        with warnings.catch_warnings():
            # (of syntax that may change its meaning in a later version of Python)
            warnings.simplefilter("ignore")
            return re.compile(
                expression.encode("utf-8", "surrogateescape"), re.IGNORECASE if ignore_case else 0
            )
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise BadPattern(_reason(error)) from error


def _check_characters(expression: str) -> None:
    """Refuse what would be said of the last byte of a character only, or of each of its bytes."""
    previous, escaped = "", False
    # Where the first member of a set is, which may be its closing bracket; 0 outside.
    first = 0
    for number, character in enumerate(expression):
        if first and not character.isascii():
            raise BadPattern(f"{_CHARACTER}write (?:{character}|...) instead of a set")
        if not escaped:
            if character == "^" and first == number and previous == "[":
                first += 1
            elif character == "]" and first < number:
                first = 0
            elif character == "[" and not first:
                first = number + 1
            elif character in "*+?{" and not previous.isascii() and not first:
                raise BadPattern(f"{_CHARACTER}write (?:{previous}) before {character}")
        escaped = character == "\\" and not escaped
        previous = character


def _reason(error: Exception) -> str:
    if isinstance(error, re.error):
        where = "" if error.pos is None else f" at position {error.pos}"
        return f"{error.msg}{where}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)
