"""Parses the text of a libvirt configuration file into statements with their lines.

The grammar and the words for what is wrong are those of libvirt 9.0.0. A file is bytes without an
encoding; a blank is a space or a tab; LF and CR both end a line.
"""

from __future__ import annotations

import re
from typing import NoReturn, TypeAlias

from msgspec import Struct


class Integer(Struct, frozen=True):
    """A number, below 2**64.

    :ivar signed: a minus stood before it, which no key takes, not even before zero.
    """

    value: int
    signed: bool = False


class String(Struct, frozen=True, eq=False):
    """The bytes between the quotes; there are no escapes.

    :ivar line: where it begins, from 1; strings are equal wherever they stand.
    """

    value: bytes
    line: int = 0

    def __eq__(self, other: object) -> bool:
        """Compare the bytes."""
        return self.value == other.value if isinstance(other, String) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)


class List(Struct, frozen=True):
    """Values in brackets."""

    values: tuple[Value, ...]


Value: TypeAlias = "Integer | String | List"


class Statement(Struct, frozen=True):
    """``name = value``.

    :ivar line: where the name stands, from 1.
    """

    name: str
    value: Value
    line: int


class GrammarError(ValueError):
    """The text is not a configuration.

    :ivar problem: what is wrong, in libvirt's words.
    :ivar line: where, from 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(f"line {line}: {problem}")
        self.problem = problem
        self.line = line


#: Lists may be nested, but never need to be this deep.
_MAX_DEPTH = 100

_BLANKS = re.compile(rb"[ \t]*")
_BLANKS_AND_LINE_ENDS = re.compile(rb"[ \t\r\n]*")
_COMMENT = re.compile(rb"#[^\r\n]*")
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_INTEGER = re.compile(rb"([-+]?)([0-9]*)")
_STRING = re.compile(rb"'([^'\r\n]*)'|\"([^\"\r\n]*)\"")
_LONG_QUOTE = b'"""'

# This many digits are read at a time, modulo 2**64.
_MODULUS = 1 << 64
_DIGITS = re.compile(rb"[0-9]{1,18}")


def parse(text: bytes) -> list[Statement]:
    """Return the statements in order.

    :raises GrammarError: the text is not a configuration.
    """
    statements, errors = parse_all(text)
    if errors:
        raise errors[0]
    return statements


def parse_all(text: bytes) -> tuple[list[Statement], list[GrammarError]]:
    """Return the statements in order, and the mistakes, of which libvirt reports the first.

    After a mistake, reading goes on in the next line.
    """
    parser = _Parser(text)
    return parser.statements(), parser.errors


class _Parser:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted_to = 0
        self.errors: list[GrammarError] = []

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        while self._at < len(self._text):
            try:
                statement = self._statement()
                self._separator()
            except GrammarError as error:
                self.errors.append(error)
                self._skip_line()
            else:
                if statement is not None:
                    found.append(statement)
        return found

    def _skip_line(self) -> None:
        ends = [self._text.find(end, self._at) for end in (b"\r", b"\n")]
        self._at = 1 + min((end for end in ends if end >= 0), default=len(self._text))

    def _statement(self) -> Statement | None:
        self._skip(_BLANKS_AND_LINE_ENDS)
        if self._skip(_COMMENT):
            return None
        name = self._take(_NAME, "expecting a name")[0].decode("ascii")
        line = self._line_here()
        self._skip(_BLANKS)
        if self._here() != b"=":
            self._fail("expecting an assignment")
        self._at += 1
        self._skip(_BLANKS)
        value = self._value(0)
        self._skip(_BLANKS)
        self._skip(_COMMENT)
        return Statement(name, value, line)

    def _separator(self) -> None:
        self._skip(_BLANKS)
        here = self._here()
        if here in (b"\r", b"\n"):
            self._skip(_BLANKS_AND_LINE_ENDS)
        elif here == b";":
            self._at += 1
            self._skip(_BLANKS_AND_LINE_ENDS)
        elif here:
            self._fail("expecting a separator")

    def _value(self, depth: int) -> Value:
        here = self._here()
        if here in {b"'", b'"'}:
            return self._string()
        if here == b"[":
            return self._list(depth)
        if not here or here not in b"-+0123456789":
            self._fail("expecting a value")
        return self._integer()

    def _integer(self) -> Integer:
        sign, digits = self._take(_INTEGER, "unterminated number").groups()
        if not digits:
            self._fail("unterminated number")
        value = 0
        for part in _DIGITS.findall(digits):
            value = (value * 10 ** len(part) + int(part)) % _MODULUS
        return Integer(value, signed=sign == b"-")

    def _string(self) -> String:
        line = self._line_here()
        if self._text.startswith(_LONG_QUOTE, self._at) and self._left() > 2 * len(_LONG_QUOTE):
            begin = self._at + len(_LONG_QUOTE)
            end = self._text.find(_LONG_QUOTE, begin)
            if end < 0:
                # libvirt looks for three quotes and gives up when fewer bytes are left.
                self._at = len(self._text) - len(_LONG_QUOTE) + 1
                self._fail("unterminated string")
            self._at = end + len(_LONG_QUOTE)
            return String(self._text[begin:end], line)
        single, double = self._take(_STRING, "unterminated string").groups()
        return String(double if single is None else single, line)

    def _list(self, depth: int) -> List:
        if depth >= _MAX_DEPTH:
            self._fail("expecting a value")
        values: list[Value] = []
        self._at += 1
        self._skip(_BLANKS_AND_LINE_ENDS)
        while (here := self._here()) and here != b"]":
            if values:
                if here != b",":
                    self._fail("expecting a separator in list")
                self._at += 1
                self._skip(_BLANKS_AND_LINE_ENDS)
                if self._here() == b"]":
                    break
            values.append(self._value(depth + 1))
            self._skip(_BLANKS_AND_LINE_ENDS)
        if not self._here():
            self._fail("list is not closed with ]")
        self._at += 1
        return List(tuple(values))

    def _left(self) -> int:
        """Return how many bytes are left; at the end libvirt reads three quotes as two and one."""
        return len(self._text) - self._at

    def _here(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[bytes]) -> bool:
        match = pattern.match(self._text, self._at)
        if match is None:
            return False
        self._at = match.end()
        return True

    def _take(self, pattern: re.Pattern[bytes], problem: str) -> re.Match[bytes]:
        match = pattern.match(self._text, self._at)
        if match is None:
            self._fail(problem)
        self._at = match.end()
        return match

    def _line_here(self) -> int:
        self._line += self._text.count(b"\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line

    def _fail(self, problem: str) -> NoReturn:
        raise GrammarError(problem, self._line_here())
