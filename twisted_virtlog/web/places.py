"""A position in a log as addresses and event streams have it: ``INODE:OFFSET:BIRTH``."""

from __future__ import annotations

import re

from twisted_virtlog.values import Position

#: Neither a line end nor anything else that would end a field of an event stream or a header.
_PLACE = re.compile(r"([0-9]{1,20}):([0-9]{1,20})(?::([!-~]{1,512}))?", re.ASCII)
#: No inode, and no offset, is larger.
_LARGEST = 2**64 - 1


def place_text(position: Position) -> str:
    """Return a position as a text, which is the one that ``virtlogctl read --from`` takes."""
    text = f"{position.inode}:{position.offset}"
    return f"{text}:{position.birth}" if position.birth else text


def place_of(text: str) -> Position:
    """Return the position that a text names.

    :raises ValueError: it names none.
    """
    match = _PLACE.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > _LARGEST:
        raise ValueError(
            f"{text[:80]!r} is no position, which is INODE:OFFSET or INODE:OFFSET:BIRTH"
        )
    return Position(int(match[1]), int(match[2]), match[3] or "")
