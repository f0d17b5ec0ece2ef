"""What a person has chosen to see, and what each key changes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

#: What it is sorted by after a key.
SORT_KEYS: Mapping[str, str] = {
    "r": "rate",
    "d": "dropped",
    "p": "pending",
    "s": "state",
    "f": "followers",
    "g": "guest",
    "n": "path",
}

#: Keys that are no characters, by their names here.
UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"
ENTER, ESCAPE, BACKSPACE, CLEAR = "enter", "escape", "backspace", "clear"

_MAX_FILTER_CHARACTERS = 200


@dataclass(frozen=True)
class View:
    """What is to be seen.

    :ivar order: what it is sorted by.
    :ivar wanted: a part of the paths or the names of guests.
    :ivar before_typing: what ``wanted`` was before it was begun to be typed; None while it is not.
    :ivar is_paused: what is seen stays as it is.
    :ivar first: the number of the first log that is seen.
    :ivar has_ended: nothing more is to be seen.
    """

    order: str = "rate"
    is_reversed: bool = False
    wanted: str = ""
    before_typing: str | None = None
    is_paused: bool = False
    first: int = 0
    has_ended: bool = False

    @property
    def is_typing(self) -> bool:
        """Whether keys are the letters of ``wanted``."""
        return self.before_typing is not None


def pressed(view: View, key: str, logs: int, page: int) -> View:
    """Return what is to be seen after a key.

    :param key: a character, or one of the names above.
    :param logs: how many logs there are to be seen.
    :param page: how many of them are seen at once.
    """
    if view.is_typing:
        return _typed(view, key)
    if key in SORT_KEYS:
        return replace(view, order=SORT_KEYS[key], is_reversed=False, first=0)
    if change := _CHANGES.get(key):
        return change(view)
    return replace(view, first=_moved(view.first, key, logs, page))


_CHANGES: Mapping[str, Callable[[View], View]] = {
    "q": lambda view: replace(view, has_ended=True),
    "i": lambda view: replace(view, is_reversed=not view.is_reversed, first=0),
    "/": lambda view: replace(view, before_typing=view.wanted, first=0),
    ESCAPE: lambda view: replace(view, wanted="", first=0),
    " ": lambda view: replace(view, is_paused=not view.is_paused),
}


def _typed(view: View, key: str) -> View:
    if key == ENTER:
        return replace(view, before_typing=None)
    if key == ESCAPE:
        return replace(view, wanted=view.before_typing or "", before_typing=None)
    if key == BACKSPACE:
        return replace(view, wanted=view.wanted[:-1])
    if key == CLEAR:
        return replace(view, wanted="")
    if len(key) == 1 and key.isprintable():
        return replace(view, wanted=(view.wanted + key)[:_MAX_FILTER_CHARACTERS])
    return view


def _moved(first: int, key: str, logs: int, page: int) -> int:
    last = max(0, logs - page)
    moved = {
        UP: first - 1,
        "k": first - 1,
        DOWN: first + 1,
        "j": first + 1,
        PAGE_UP: first - page,
        PAGE_DOWN: first + page,
        HOME: 0,
        END: last,
    }.get(key, first)
    return max(0, min(moved, last))
