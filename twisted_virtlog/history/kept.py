"""What happened to a log, as far as the bytes that it happened to are kept: pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from twisted_virtlog.history.records import Opening
from twisted_virtlog.values import Boot, EventKind, KeptFile, LogEvent, Position, is_outdated


class KeptFiles:
    """The files of a log, oldest first, and what lies in which."""

    def __init__(self, kept: Sequence[KeptFile]) -> None:
        self._numbers = {file.inode: number for number, file in enumerate(kept)}
        self._kept = kept

    def place(self, position: Position) -> tuple[int, int] | None:
        """Return the number of the file that a position lies in, and where; None if it is gone."""
        number = self._numbers.get(position.inode)
        if number is None or is_outdated(position.birth, self._kept[number].birth):
            return None
        return number, position.offset

    def oldest(self) -> tuple[tuple[int, int], Position] | None:
        """Return where the oldest byte is; None if none is kept."""
        for number, file in enumerate(self._kept):
            if file.size:
                return (number, 0), Position(file.inode, 0, file.birth)
        return None


def boots(openings: Sequence[Opening], kept: Sequence[KeptFile]) -> list[Boot]:
    """Return each opening of which bytes may be kept, oldest first.

    Of the one in which the oldest byte came, the start is where that is.

    :param openings: oldest first.
    :param kept: the files, oldest first.
    """
    files = KeptFiles(kept)
    placed = [(files.place(opening.start), opening) for opening in openings]
    found = [(place, opening.start, opening) for place, opening in placed if place is not None]
    first = next((n for n, (place, _) in enumerate(placed) if place is not None), len(placed))
    oldest = files.oldest()
    if first and oldest is not None and (not found or oldest[0] < found[0][0]):
        # (what came before the first one that is kept whole)
        found.insert(0, (*oldest, placed[first - 1][1]))
    return [
        Boot(start, opening.opened_at, opening.closed_at, opening.driver, opening.domain)
        for _, start, opening in found
    ]


def events(
    happened: Sequence[LogEvent], kept: Sequence[KeptFile], since: datetime | None
) -> list[LogEvent]:
    """Return what happened to a log, in its order, as far as the bytes are kept.

    Where bytes are missing between two files is told as well, with when the last ones before came:
    nobody notes when somebody takes a file away.

    :param kept: the files, oldest first.
    :param since: leave out what happened before, by the wall clock; None for nothing.
    """
    files = KeptFiles(kept)
    gaps = _gaps(kept)
    found: list[LogEvent] = []
    for event in happened:
        place = files.place(event.position)
        if place is not None:
            while gaps and gaps[0][0] <= place[0]:
                found.append(gaps.popleft()[1])
            found.append(event)
    found += (gap for _, gap in gaps)
    return [event for event in found if since is None or event.time >= since]


def _gaps(kept: Sequence[KeptFile]) -> deque[tuple[int, LogEvent]]:
    """Return where bytes are missing, oldest first: each with the number of the file after that."""
    return deque(
        (number, LogEvent(Position(file.inode, 0, file.birth), before.modified_at, EventKind.GAP))
        for number, (before, file) in enumerate(pairwise(kept), 1)
        if file.parted
    )
