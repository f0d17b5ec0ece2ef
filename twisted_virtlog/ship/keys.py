"""How the values of a configuration are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

#: Takes what stands in the file; returns what is meant by it, or raises Wrong.
Check: TypeAlias = "Callable[[Any], Any]"


class Wrong(Exception):
    """A value cannot be.

    :ivar remedy: what would be right.
    """

    def __init__(self, remedy: str) -> None:
        super().__init__(remedy)
        self.remedy = remedy


def text(pattern: re.Pattern[str] | None, remedy: str) -> Check:
    """Return a check of a text.

    :param pattern: what the whole of it has to match.
    """

    def check(value: Any) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise Wrong(remedy)
        if pattern is not None and not pattern.fullmatch(value):
            raise Wrong(remedy)
        return value

    return check


def texts(pattern: re.Pattern[str] | None, remedy: str) -> Check:
    """Return a check of a list of texts, which is not empty."""
    check = text(pattern, remedy)

    def check_all(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise Wrong(remedy)
        return tuple(check(one) for one in value)

    return check_all


def named_texts(names: re.Pattern[str], values: re.Pattern[str], remedy: str) -> Check:
    """Return a check of a table of texts."""

    def check_all(value: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise Wrong(remedy)
        for name, one in value.items():
            if not isinstance(one, str) or not names.fullmatch(name) or not values.fullmatch(one):
                raise Wrong(remedy)
        return value

    return check_all


def number(least: int, most: int, remedy: str) -> Check:
    """Return a check of a whole number."""

    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise Wrong(remedy)
        return value

    return check


def path(value: Any) -> str:
    """Check the path of a file."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise Wrong("write an absolute path")
    return value
