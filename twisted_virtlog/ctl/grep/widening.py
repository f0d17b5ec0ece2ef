"""Make of a regular expression a simpler one, which matches in each line that the first matches in.

A search runs the simple one over many lines at once, and the first then over each line that it
names. It is made of Python's own parse of the expression, not of its text, so that whatever reads
it (``re``, or another library with another syntax) cannot take anything in another way: there are
only sets of bytes, repetitions, alternatives and a few anchors in it. Nothing in it matches a
newline, so that each of its matches lies in one line.

What cannot be said so is made wider: a look ahead or behind is left out, a back reference is any
text. Where carriage returns stand before a newline, they belong to the end of the line; the simple
expression sees them all the same. Of most that people search for nothing is made wider, and then
both match in the same lines.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

# (Python has no public name for its parser; a node that is not known here ends in no expression)
_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

_NEWLINE, _CARRIAGE_RETURN = b"\n\r"
_ALL = frozenset(range(256)) - {_NEWLINE}
_DIGITS = frozenset(b"0123456789")
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_SPACE": frozenset(b" \t\n\r\f\v"),
    "CATEGORY_WORD": _DIGITS | _LETTERS | {ord("_")},
}
_NOT = "CATEGORY_NOT_"

_ANY = "."
_NEVER = r"[^\x00-\xff]"
#: The end of a line, as the expression of a search sees it.
_END = r"\r*$"
_ANCHORS = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": "^",
    "AT_END": _END,
    "AT_END_STRING": _END,
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
}
#: What is not needed at the beginning or end.
_LEFT_OUT = {"ASSERT", "ASSERT_NOT", "GROUPREF"}
#: Where repetitions are to be short, none is longer.
_SHORT = 3


@dataclass(frozen=True, slots=True)
class Widened:
    """A simpler expression, for a search with MULTILINE and nothing else.

    :ivar is_exact: it matches in no other lines than the first one.
    """

    expression: bytes
    is_exact: bool


def widened(pattern: re.Pattern[bytes], plain: bool = False, lower: bool = False) -> Widened | None:
    """Make the simpler expression.

    :param plain: leave out anchors as well, and make long repetitions shorter.
    :param lower: it is for lines in lower case.
    :returns: None where the expression has something that is not known here.
    """
    if pattern.flags & re.LOCALE:
        return None
    with warnings.catch_warnings():
        # (whoever compiled it has seen them)
        warnings.simplefilter("ignore")
        tree = _parser.parse(pattern.pattern, pattern.flags)
    widening = _Widening(plain, lower)
    try:
        text = widening.whole(tree, bool(pattern.flags & re.IGNORECASE))
    except (_Unknown, RecursionError):
        return None
    return Widened(text.encode(), widening.is_exact)


class _Unknown(Exception):
    """Something in an expression is not known here."""


class _Widening:
    def __init__(self, plain: bool, lower: bool) -> None:
        self.is_exact = not (plain or lower)
        self._plain = plain
        self._lower = lower

    def whole(self, tree: Any, ignore_case: bool) -> str:
        """Return what is made of a whole expression.

        What it begins and ends with needs to be there no oftener than it must. Where it may all be
        empty but for what it looks ahead to, that is what the line must have.
        """
        items = list(tree)
        if tree.getwidth()[0] == 0:
            seen = [argument[1] for op, argument in items if op.name == "ASSERT"]
            most = max(seen, key=lambda inner: inner.getwidth()[0], default=None)
            if most is not None and most.getwidth()[0]:
                self.is_exact = False
                return self.whole(most, ignore_case)
        self.is_exact = self.is_exact and not any(op.name in _LEFT_OUT for op, _ in items)
        for end in (0, -1):
            while items and (kept := _at_end(*items[end])) is None:
                del items[end]
            if items:
                items[end] = kept
        return self._sequence(items, ignore_case)

    def _sequence(self, items: Iterable[tuple[Any, Any]], ignore_case: bool) -> str:
        return "".join(self._item(op.name, argument, ignore_case) for op, argument in items)

    def _item(self, name: str, argument: Any, ignore_case: bool) -> str:
        make = self._MAKERS.get(name)
        if make is None:
            raise _Unknown
        return make(self, argument, ignore_case)

    def _literal(self, byte: int, ignore_case: bool) -> str:
        return self._one_of(_with_cases({byte}, ignore_case))

    def _not_literal(self, byte: int, ignore_case: bool) -> str:
        return self._one_of(_ALL - _with_cases({byte}, ignore_case))

    def _any(self, _: Any, _ignore_case: bool) -> str:
        return self._one_of(_ALL)

    def _set(self, items: Sequence[tuple[Any, Any]], ignore_case: bool) -> str:
        found: set[int] = set()
        negated = False
        for op, argument in items:
            if op.name == "NEGATE":
                negated = True
            elif op.name == "LITERAL":
                found.add(argument)
            elif op.name == "RANGE":
                found.update(range(argument[0], argument[1] + 1))
            elif op.name == "CATEGORY":
                found |= _category(argument.name)
            else:
                raise _Unknown
        members = _with_cases(found, ignore_case)
        return self._one_of(_ALL - members if negated else members)

    def _one_of(self, members: frozenset[int]) -> str:
        # (one that the line may end with, which is then not seen by the expression of the search)
        self.is_exact = self.is_exact and _CARRIAGE_RETURN not in members
        return _one_of(frozenset(bytes(members).lower()) if self._lower else members)

    def _branch(self, argument: tuple[None, Sequence[Any]], ignore_case: bool) -> str:
        return f"(?:{'|'.join(self._sequence(branch, ignore_case) for branch in argument[1])})"

    def _group(self, argument: tuple[Any, int, int, Any], ignore_case: bool) -> str:
        _, added, removed, inner = argument
        ignore_case = (ignore_case or bool(added & re.I)) and not removed & re.I
        return f"(?:{self._sequence(inner, ignore_case)})"

    def _atomic(self, inner: Any, ignore_case: bool) -> str:
        self.is_exact = False
        return f"(?:{self._sequence(inner, ignore_case)})"

    def _repeat(self, argument: tuple[int, Any, Any], ignore_case: bool) -> str:
        least, most, inner = argument
        unlimited = most == _parser.MAXREPEAT
        if self._plain and (least > _SHORT or (not unlimited and most > _SHORT)):
            least, unlimited = min(least, _SHORT), True
        text = f"(?:{self._sequence(inner, ignore_case)})"
        if unlimited:
            return text + {0: "*", 1: "+"}.get(least, f"{{{least},}}")
        if least == most:
            return text if least == 1 else f"{text}{{{least}}}"
        return f"{text}{{{least},{most}}}"

    def _possessive(self, argument: tuple[int, Any, Any], ignore_case: bool) -> str:
        self.is_exact = False
        return self._repeat(argument, ignore_case)

    def _anchor(self, where: Any, _ignore_case: bool) -> str:
        # (versions of Python differ in what matches in an empty line)
        self.is_exact = self.is_exact and where.name != "AT_NON_BOUNDARY"
        if self._plain:
            return ""
        anchor = _ANCHORS.get(where.name)
        if anchor is None:
            raise _Unknown
        return anchor

    def _look(self, _: Any, _ignore_case: bool) -> str:
        self.is_exact = False
        return ""

    def _reference(self, _: Any, _ignore_case: bool) -> str:
        self.is_exact = False
        return f"{_ANY}*"

    def _condition(self, argument: tuple[Any, Any, Any], ignore_case: bool) -> str:
        self.is_exact = False
        _, when_there, otherwise = argument
        return (
            f"(?:{self._sequence(when_there, ignore_case)}|"
            + ("" if otherwise is None else self._sequence(otherwise, ignore_case))
            + ")"
        )

    _MAKERS: ClassVar[dict[str, Callable[[_Widening, Any, bool], str]]] = {
        "LITERAL": _literal,
        "NOT_LITERAL": _not_literal,
        "ANY": _any,
        "IN": _set,
        "BRANCH": _branch,
        "SUBPATTERN": _group,
        "ATOMIC_GROUP": _atomic,
        "MAX_REPEAT": _repeat,
        "MIN_REPEAT": _repeat,
        "POSSESSIVE_REPEAT": _possessive,
        "AT": _anchor,
        "ASSERT": _look,
        "ASSERT_NOT": _look,
        "FAILURE": _look,
        "GROUPREF": _reference,
        "GROUPREF_EXISTS": _condition,
    }


def _at_end(op: Any, argument: Any) -> tuple[Any, Any] | None:
    """Return what is needed of what an expression begins or ends with; None for nothing."""
    if op.name in _LEFT_OUT:
        return None
    if "REPEAT" not in op.name:
        return op, argument
    least, _, inner = argument
    return (op, (least, least, inner)) if least else None


def _category(name: str) -> frozenset[int]:
    positive = name.replace(_NOT, "CATEGORY_")
    members = _CATEGORIES.get(positive)
    if members is None:
        raise _Unknown
    return members if positive == name else _ALL - members


def _with_cases(members: Iterable[int], ignore_case: bool) -> frozenset[int]:
    found = frozenset(members)
    if not ignore_case:
        return found
    letters = bytes(found & _LETTERS)
    return found.union(letters.lower(), letters.upper())


def _one_of(members: frozenset[int]) -> str:
    """Return an expression for one byte of these, but for a newline."""
    members -= {_NEWLINE}
    if members == _ALL:
        return _ANY
    if not members:
        return _NEVER
    ranges: list[list[int]] = []
    for byte in sorted(members):
        if ranges and byte == ranges[-1][1] + 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    text = "".join(_range(first, last) for first, last in ranges)
    return text if len(members) == 1 else f"[{text}]"


def _range(first: int, last: int) -> str:
    if first == last:
        return _escaped(first)
    between = "-" if last > first + 1 else ""
    return f"{_escaped(first)}{between}{_escaped(last)}"


def _escaped(byte: int) -> str:
    return chr(byte) if byte in _LETTERS | _DIGITS else f"\\x{byte:02x}"
