"""Makes regular expressions of shell patterns for names and paths: pure.

Who names a guest chooses what is matched, and is not to choose how long it takes. So a part between
two stars is looked for once, at the first place: as the next star can take whatever follows, no
other place does better. The lookaheads that keep it there are what Python 3.11 writes as (?>...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

_ANYTHING = "."
_IN_SEGMENT = "[^/]"


def name_pattern(glob: str, any_case: bool = False) -> re.Pattern[str]:
    """Return what matches a whole name: ``*`` any characters, ``?`` one, ``[...]`` one of some.

    :param any_case: letters are the same in upper and in lower case.
    """
    flags = re.DOTALL | re.IGNORECASE if any_case else re.DOTALL
    return re.compile(_section(glob, _ANYTHING, count(), is_last=True), flags)


def path_pattern(glob: str) -> re.Pattern[str]:
    """Return what matches a whole path: ``**`` any characters; the other wildcards never ``/``."""
    numbers = count()
    *sections, last = re.split(r"\*\*+", glob)
    parts = []
    for number, section in enumerate(sections):
        part = _section(section, _IN_SEGMENT, numbers, is_last=False)
        parts.append(_first_place(f".*?{part}", numbers) if number else part)
    before = ".*?" if sections else ""
    parts.append(before + _section(last, _IN_SEGMENT, numbers, is_last=True))
    return re.compile("".join(parts), re.DOTALL)


def _section(glob: str, any_one: str, numbers: Iterator[int], is_last: bool) -> str:
    """Return the expression of a glob in which each star stands for some of ``any_one``.

    :param numbers: of the groups, which no other part of the expression uses.
    :param is_last: whether what it matches ends with the whole text.
    """
    first, *others = ("".join(part) for part in _parts(glob, any_one))
    end = ""
    if is_last:
        end = rf"{any_one}*{others.pop()}\Z" if others else r"\Z"
    middle = (_first_place(f"{any_one}*?{part}", numbers) for part in others)
    return "".join([first, *middle, end])


def _first_place(expression: str, numbers: Iterator[int]) -> str:
    """Return an expression that takes the first of the matches, whatever comes after."""
    name = f"g{next(numbers)}"
    return f"(?=(?P<{name}>{expression}))(?P={name})"


def _parts(glob: str, any_one: str) -> list[list[str]]:
    """Return what stands between the stars, as expressions for one character each."""
    parts: list[list[str]] = [[]]
    at = 0
    while at < len(glob):
        character = glob[at]
        at += 1
        if character == "*":
            parts.append([])
        elif character == "?":
            parts[-1].append(any_one)
        elif character == "[" and (end := _class_end(glob, at)):
            parts[-1].append(f"(?={any_one}){_class(glob[at:end])}")
            at = end + 1
        else:
            parts[-1].append(re.escape(character))
    return parts


def _class_end(glob: str, start: int) -> int:
    """Return where a set of characters ends that begins somewhere; 0 if there is no end."""
    at = start + 1 if glob[start : start + 1] == "!" else start
    # (a bracket in the first place is one of the characters)
    return max(0, glob.find("]", at + 1))


def _class(text: str) -> str:
    """Return the expression of a set of characters, by what stands between its brackets."""
    negated = text.startswith("!")
    text = text[negated:]
    members = []
    at = 0
    while at < len(text):
        low = high = text[at]
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            high = text[at + 2]
            at += 2
        at += 1
        if low <= high:
            members.append(f"{re.escape(low)}-{re.escape(high)}")
    if not members:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(members)}]"
