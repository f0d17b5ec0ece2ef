"""What an address asks for: its parameters, read strictly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TypeVar

from twisted_virtlog.values import Position
from twisted_virtlog.web.places import place_of

T = TypeVar("T")


class MakesNoSense(ValueError):
    """What is asked for makes no sense; the message says why."""


class Query:
    """The parameters of one request.

    Its methods raise MakesNoSense if a parameter makes none, and none may be asked for twice.
    """

    def __init__(self, arguments: Mapping[bytes, Sequence[bytes]]) -> None:
        self._arguments = arguments

    def text(self, name: str) -> str | None:
        """Return a parameter; None if it is not there."""
        values = self._arguments.get(name.encode(), ())
        if len(values) > 1:
            raise MakesNoSense(f"{name}: it is there {len(values)} times")
        try:
            return values[0].decode() if values else None
        except UnicodeDecodeError as error:
            raise MakesNoSense(f"{name}: it is no UTF-8") from error

    def path(self) -> str:
        """Return the path of the log that is asked for."""
        return _checked(self.text("path"))

    def paths(self, most: int) -> Sequence[str]:
        """Return the paths of the logs that are asked for, one or more."""
        values = self._arguments.get(b"path", ())
        if not 1 <= len(values) <= most:
            raise MakesNoSense(f"path: from one to {most} are needed")
        return [_checked(value.decode(errors="replace")) for value in values]

    def whole(self, name: str, default: int, most: int) -> int:
        """Return a number from 0 to the most that there may be."""
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= most):
            raise MakesNoSense(f"{name}: a number from 0 to {most} is needed")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return whether something is to be so: ``1``; it is not by default."""
        text = self.text(name)
        if text not in {None, "0", "1"}:
            raise MakesNoSense(f"{name}: it is 0 or 1")
        return text == "1"

    def place(self, name: str) -> Position | None:
        """Return a position."""
        return self._meaning(name, place_of)

    def time(self, name: str) -> datetime | None:
        """Return a time, given as RFC 3339, or as seconds since 1970."""
        return self._meaning(name, _time)

    def _meaning(self, name: str, make: Callable[[str], T]) -> T | None:
        text = self.text(name)
        return meaning(name, text, make) if text else None


def meaning(name: str, text: str, make: Callable[[str], T]) -> T:
    """Return what a text means.

    :param name: of what it was given as.
    :param make: returns it; it raises ValueError or OverflowError if it means nothing.
    :raises MakesNoSense: it means nothing.
    """
    try:
        return make(text)
    except (ValueError, OverflowError) as error:
        raise MakesNoSense(f"{name}: {error}") from error


def _checked(path: str | None) -> str:
    if not path or not path.startswith("/") or "\0" in path:
        raise MakesNoSense("path: the absolute path of a log is needed")
    return path


def _time(text: str) -> datetime:
    try:
        seconds = float(text)
    except ValueError:
        # (Python 3.10 does not know Z)
        time = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
        if time.utcoffset() is None:
            raise ValueError(f"{text!r} has no zone") from None
        return time
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is no time")
    return datetime.fromtimestamp(seconds, timezone.utc)
