"""What one who follows a log reads: a walk through segments, as far as nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from twisted_virtlog.logs.following.segments import Place, Segment, before_all
from twisted_virtlog.values import EndReason, Followed, FollowEnd, Position

#: One read takes bytes of so many segments at most.
_MOST_SEGMENTS = 16


class Reader:
    """One who follows a log: where he is in it.

    :ivar place: what comes next begins there; set by the reader, and by the trail before that.
    :ivar wake: called in the reactor's thread when there may be something after nothing was found.
    :ivar until_closed: he wants to read up to the first close.
    :ivar was_open: the log was open since.
    :ivar closes_at: where that was.
    :ivar wants_opening: he wants to read nothing before the log is opened.
    :ivar wanted: where he wants to begin then; None for the log's end.
    :ivar held: the segment that he holds.
    :ivar has_left: he follows the log no more.
    :ivar is_patient: what comes may be some milliseconds later.
    """

    __slots__ = (
        "closes_at",
        "has_left",
        "held",
        "is_patient",
        "place",
        "until_closed",
        "wake",
        "wanted",
        "wants_opening",
        "was_open",
    )

    def __init__(self, wake: Callable[[], None], until_closed: bool, wants_opening: bool) -> None:
        self.wake = wake
        self.place: Place = (before_all(), 0)
        self.until_closed = until_closed
        self.wants_opening = wants_opening
        self.wanted: Position | None = None
        self.was_open = False
        self.closes_at: Place | None = None
        self.held: Segment | None = None
        self.has_left = False
        self.is_patient = False


class Found(Struct, frozen=True):
    """What a reader has found.

    :ivar what: None if that is nothing now.
    :ivar spans: where the bytes are: segments, and offsets of their beginnings and ends.
    :ivar waits: there is nothing beyond that; he is woken when there is.
    """

    what: Followed | FollowEnd | None
    spans: Sequence[tuple[Segment, int, int]] = ()
    waits: bool = False


class Cold(Exception):
    """What is to be read is not in memory.

    :ivar file: a descriptor of its file, which is the catcher's to close.
    :ivar is_packed: it is one of the packed file.
    """

    def __init__(
        self, segment: Segment, offset: int, count: int, file: int, is_packed: bool
    ) -> None:
        super().__init__("not in memory")
        self.segment = segment
        self.offset = offset
        self.count = count
        self.file = file
        self.is_packed = is_packed


#: There is nothing now.
NOTHING = Found(None, (), waits=True)

_CLOSED = Found(FollowEnd(EndReason.CLOSED))


class Walk:
    """One read, as far as it has come.

    :ivar segment: in which it is, and ``offset`` in its file.
    :ivar left: how many more bytes are wanted.
    :ivar waits: there is nothing more now.
    """

    def __init__(self, reader: Reader, left: int) -> None:
        """Begin where somebody is.

        :param left: how many bytes are wanted.
        """
        self.segment, self.offset = reader.place
        self.left = left
        self.waits = False
        self._closes_at = reader.closes_at
        self._pieces: list[bytes] = []
        self._spans: list[tuple[Segment, int, int]] = []
        self._gap = self._final = self._closed = False
        self._missed: int | None = 0

    @property
    def has_found(self) -> bool:
        """Whether there are bytes to tell."""
        return bool(self._spans)

    def limit(self, end: int) -> int:
        """Return up to where the segment is read, which can be read up to ``end``."""
        closes_at = self._closes_at
        return min(end, closes_at[1]) if closes_at and closes_at[0] is self.segment else end

    def take(self, data: bytes) -> None:
        """Go on behind some bytes."""
        begin = self.offset
        self.offset += len(data)
        self.left -= len(data)
        self._pieces.append(data)
        self._spans.append((self.segment, begin, self.offset))

    def go_on(self) -> bool:
        """Go on in the next segment, as all that there is of this one is read.

        :returns: whether to read there; otherwise the walk has come to its end.
        """
        segment, closes_at, pieces = self.segment, self._closes_at, self._pieces
        if closes_at is not None and closes_at[0] is segment:
            self._final = True
            if not pieces:
                self._close(closes_at[1])
            return False
        following = segment.next
        if following is None:
            self.waits = True
            return False
        lost = max(0, segment.extent - self.offset) + segment.lost
        if lost or segment.parted:
            if pieces:
                # (it is told with what comes then)
                self._final = True
                return False
            self._miss(None if segment.parted else lost)
        self.segment, self.offset = following, following.begin
        return len(pieces) < _MOST_SEGMENTS

    def _close(self, end: int) -> None:
        lost = end - self.offset
        if lost > 0:
            self._miss(lost)
        if self._gap:
            # (what is missing is told before the end)
            self._spans.append((self.segment, end, end))
        self._closed = not self._gap

    def _miss(self, count: int | None) -> None:
        self._gap = True
        self._missed = None if count is None or self._missed is None else self._missed + count

    def found(self, may_wait: bool) -> Found:
        """Return what was found.

        :param may_wait: it is known that nothing more is there, if there was nothing more.
        """
        spans = self._spans
        if self._closed:
            return _CLOSED
        if not spans:
            return NOTHING if self.waits else Found(None)
        first, begin, _ = spans[0]
        last, _, end = spans[-1]
        what = Followed(
            tuple(self._pieces),
            first.at(begin),
            last.at(end),
            self._gap,
            self._missed if self._gap else None,
            self._final,
        )
        return Found(what, spans, self.waits and may_wait)
