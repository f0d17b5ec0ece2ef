"""The entries of the key ``policies``: which logs one is for, and what it says of them: pure.

An entry is a matcher and words, separated by blanks::

    domain:'web 1'  max_size=16777216 on_write_error=block
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

from twisted_virtlog.config.globs import name_pattern, path_pattern
from twisted_virtlog.config.logging import SpecError
from twisted_virtlog.values import Domain

Value: TypeAlias = "int | str"

#: Makes the value of a word from its text; raises SpecError, whose remedy begins with "write".
ParseValue: TypeAlias = "Callable[[str], Value]"


class Kind(Enum):
    """What of a log an entry looks at; the values are what is written before the colon."""

    DOMAIN = "domain"
    UUID = "uuid"
    PATH = "path"
    DRIVER = "driver"
    #: All logs.
    ANY = "*"


_BLANKS = " \t\r\n"
_WORD = re.compile(f"[^{_BLANKS}]+")
#: A matcher's value in quotes, which may not be closed.
_QUOTED = re.compile(f"[^':{_BLANKS}]*:'[^']*(?:'|\\Z)")
_KINDS = {one.value: one for one in Kind if one is not Kind.ANY}
_MATCHERS_REMEDY = (
    f"write {', '.join(f'{kind}:...' for kind in _KINDS)} or * before the words of an entry"
)
_EXAMPLE = "write an entry as domain:ci-* max_size=1048576"


class Entry(Struct, frozen=True):
    """What holds for some logs.

    :ivar kind: see Kind.
    :ivar value: what it is to be: a glob, a UUID in lower case, or "" for all logs.
    :ivar words: in the order in which they were written.
    """

    kind: Kind
    value: str
    words: tuple[tuple[str, Value], ...]
    # (made of these two)
    _pattern: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "_pattern", _pattern(self.kind, self.value))

    def matches(self, path: str, driver: str | None, domain: Domain | None) -> bool:
        """Return whether it is for a log; where nobody knows what it looks at, it is not.

        :param path: of the log, without symbolic links.
        """
        pattern = self._pattern
        if pattern is None:
            return True
        kind = self.kind
        if kind is Kind.PATH:
            subject: str | None = path
        elif kind is Kind.DRIVER:
            subject = driver
        elif domain is None:
            return False
        else:
            subject = domain.name if kind is Kind.DOMAIN else domain.uuid
        return subject is not None and pattern.match(subject) is not None

    def __str__(self) -> str:
        """Return the entry as it may be written."""
        matcher = self.kind.value
        if self.kind is not Kind.ANY:
            quote = "'" if set(self.value) & set(_BLANKS) else ""
            matcher = f"{matcher}:{quote}{self.value}{quote}"
        return " ".join([matcher, *(f"{name}={value}" for name, value in self.words)])


def _pattern(kind: Kind, value: str) -> re.Pattern[str] | None:
    if kind is Kind.ANY:
        return None
    if kind is Kind.PATH:
        return path_pattern(value)
    if kind is Kind.UUID:
        return re.compile(rf"{value}\Z", re.IGNORECASE)
    return name_pattern(value, any_case=kind is Kind.DRIVER)


def parse(text: str, words: Mapping[str, ParseValue]) -> Entry:
    """Return the entry that a text means.

    :param words: those that there are, with what parses their values.
    :raises SpecError: the text is no entry.
    """
    entry, mistakes = examine(text, words)
    if entry is None:
        raise mistakes[0]
    return entry


def examine(text: str, words: Mapping[str, ParseValue]) -> tuple[Entry | None, Sequence[SpecError]]:
    """Return the entry that a text means, or None and all that is wrong with it."""
    mistakes: list[SpecError] = []
    matcher, rest = _split_matcher(text.strip(_BLANKS))
    kind, value = Kind.ANY, ""
    try:
        kind, value = _matcher(matcher)
    except SpecError as error:
        mistakes.append(error)
    values: dict[str, Value] = {}
    for word in _WORD.findall(rest):
        try:
            name, one = _word(word, words)
            if name in values:
                raise SpecError(f"{word!r}: {name} is set before", "write each word once")
            values[name] = one
        except SpecError as error:
            mistakes.append(error)
    if not values and not mistakes:
        mistakes.append(SpecError("it sets nothing", _EXAMPLE))
    if mistakes:
        return None, mistakes
    return Entry(kind, value, tuple(values.items())), ()


def _split_matcher(text: str) -> tuple[str, str]:
    """Return the matcher, as it is written, and the words after it."""
    quoted = _QUOTED.match(text)
    end = quoted.end() if quoted else 0
    after = _WORD.match(text, end)
    end = after.end() if after else end
    return text[:end], text[end:]


def _matcher(text: str) -> tuple[Kind, str]:
    if text == Kind.ANY.value:
        return Kind.ANY, ""
    name, colon, value = text.partition(":")
    kind = _KINDS.get(name)
    if kind is None or not colon:
        raise SpecError(f"{text!r} does not say which logs it is for", _MATCHERS_REMEDY)
    if value.startswith("'"):
        value, quote, after = value[1:].partition("'")
        if not quote or after:
            problem = f"{after!r} follows the quote" if quote else "its quote is not closed"
            raise SpecError(f"{text!r}: {problem}", f"write {name}:'...' and a blank")
    if not value:
        raise SpecError(f"{text!r} names nothing", f"write {name}:{_VALUES[kind]}")
    return kind, _CHECKS[kind](value) if kind in _CHECKS else value


#: What may stand after the colon, for messages.
_VALUES = {
    Kind.DOMAIN: "ci-*",
    Kind.UUID: "c7a5fdbd-edaf-9455-926a-d65c16db1809",
    Kind.PATH: "/var/lib/nova/instances/*/console.log",
    Kind.DRIVER: "qemu",
}


def _uuid(value: str) -> str:
    digits = value.replace("-", "").lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        raise SpecError(f"{value!r} is no UUID", f"write uuid:{_VALUES[Kind.UUID]}")
    ends = (0, 8, 12, 16, 20, 32)
    return "-".join(digits[start:end] for start, end in pairwise(ends))


def _path(value: str) -> str:
    if not value.startswith(("/", "**")):
        problem = f"{value!r} matches no path, as each begins with /"
        raise SpecError(problem, f"write path:{_VALUES[Kind.PATH]}")
    return value


_CHECKS: dict[Kind, Callable[[str], str]] = {Kind.UUID: _uuid, Kind.PATH: _path}


def _word(text: str, words: Mapping[str, ParseValue]) -> tuple[str, Value]:
    name, equals, value = text.partition("=")
    parse_value = words.get(name)
    if parse_value is None:
        raise SpecError(f"{text!r}: there is no such word", f"write one of {', '.join(words)}")
    if not equals or not value:
        raise SpecError(f"{text!r} has no value", f"write {name}=...")
    try:
        return name, parse_value(value)
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}", error.remedy) from error
