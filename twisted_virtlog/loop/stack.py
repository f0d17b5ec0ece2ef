"""What a thread is in: its innermost function, the daemon's own one, and what that concerns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FrameType

from msgspec import Struct

from twisted_virtlog.loop.concern import Concern, Concerned

_PACKAGE = __name__.partition(".")[0]


class Place(Struct, frozen=True):
    """What a thread is in.

    :ivar function: the innermost function of Python, with its module and its line.
    :ivar own: the innermost one of this package, likewise; None if the thread is in none.
    :ivar concern: what the call concerns, as those in it know; the innermost come first.
    """

    function: str
    own: str | None
    concern: Concern


def innermost(thread: int) -> tuple[CodeType, ...]:
    """Return the functions that a thread is in, the innermost two.

    :param thread: its identifier; see threading.get_ident.
    :returns: fewer for a thread that is in no more; none for one that has ended.
    """
    # No frame is kept: what is in it would live as long.
    frame = sys._current_frames().get(thread)  # noqa: SLF001 (it is documented)
    if frame is None:
        return ()
    outer = frame.f_back
    return (frame.f_code,) if outer is None else (frame.f_code, outer.f_code)


def place(thread: int) -> Place | None:
    """Return what a thread is in; None for one that has ended.

    It reads what the interpreter knows, and no file: the sources may be where the thread hangs.

    :param thread: as of :func:`innermost`.
    """
    frame = sys._current_frames().get(thread)  # noqa: SLF001 (as above)
    if frame is None:
        return None
    own: str | None = None
    concern = Concern()
    for each in _outwards(frame):
        if own is None and _module(each).partition(".")[0] == _PACKAGE:
            own = _name(each)
        concern = concern.with_others(_concern(each))
    return Place(_name(frame), own, concern)


def _outwards(frame: FrameType) -> Iterator[FrameType]:
    following: FrameType | None = frame
    while following is not None:
        yield following
        following = following.f_back


def _concern(frame: FrameType) -> Concern:
    """Return what a method's call concerns, if its object says that."""
    if frame.f_code.co_varnames[:1] == ("self",):
        # The objects are in use in another thread, and may be half made.
        with suppress(Exception):
            names = frame.f_locals
            owner: Concerned = names["self"]
            # (asked of its class, as an object may make up attributes)
            if hasattr(type(owner), "concern"):
                told: object = owner.concern(names)
                if isinstance(told, Concern):
                    return told
    return Concern()


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def _name(frame: FrameType) -> str:
    code = frame.f_code
    # Python 3.10 does not know of which class a function is.
    function = getattr(code, "co_qualname", code.co_name)
    return f"{_module(frame)}.{function} (line {frame.f_lineno})"
