"""What the wall clock showed while the boot clock ran: it may have stepped meanwhile.

Between two steps the two clocks run alike, as both are slewed together. So it is enough to note,
for a stretch of a boot in which somebody watched, by how much they differ. Within a step between
two such stretches either difference may have held. While nobody watched at all, the wall clock may
have shown anything that is not further than an hour from what it showed before and after.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from twisted_virtlog.history.moments import boot_of, moment, ms_of

#: Two readings of the clocks show the same difference if they agree so far. What bounds times is as
#: inexact: a clock may step by less unseen, and file systems note times only now and then.
SLACK_MS = 25

#: How long a process may take to follow another one, or a kill may hide: no clock steps there and
#: back again in so short a time.
UNWATCHED_MS = 60_000

#: How far the wall clock may have been from what it showed before and after, while nobody watched.
HOUR_MS = 3_600_000

#: Where nothing is known, in milliseconds since 1970.
ANY_TIME = (0, 1 << 43)


#: So many stretches of a boot are kept apart. A clock that steps all the time has more.
_MOST_WATCHES = 512


class Watch(NamedTuple):
    """A stretch of a boot in which the wall clock did not step, or only so far.

    :ivar since: milliseconds of the boot clock at its beginning, and ``until`` at its end.
    :ivar least: by how many milliseconds the wall clock was ahead of the boot clock, at least;
        ``most`` at most.
    """

    since: int
    until: int
    least: int
    most: int


def watch(since: int, until: int, ahead: int) -> Watch:
    """Return a stretch in which the wall clock was ahead by the same all the time."""
    return Watch(since, until, ahead, ahead)


class WallTimes:
    """What is known of the wall clock, by boots."""

    def __init__(self) -> None:
        self._boots: dict[int, list[Watch]] = {}

    def __iter__(self) -> Iterator[tuple[int, Watch]]:
        """Yield each boot and watch, the boots in their order."""
        for boot in sorted(self._boots):
            for watch in self._boots[boot]:
                yield boot, watch

    def copy(self) -> WallTimes:
        """Return another one that knows the same."""
        other = WallTimes()
        other._boots = {boot: watches[:] for boot, watches in self._boots.items()}
        return other

    def become(self, other: WallTimes) -> None:
        """Know what another one knows, which is not used any more."""
        self._boots = other._boots

    def of_boot(self, boot: int) -> list[Watch]:
        """Return the watches of a boot, in their order."""
        return self._boots.get(boot, [])

    def add(self, boot: int, watch: Watch) -> Watch:
        """Add a watch that follows all of the boot, or goes on with the last one.

        :returns: the watch as it is now, which may have begun earlier.
        """
        watches = self._boots.setdefault(boot, [])
        if watches:
            last = watches[-1]
            is_same = max(watch.most, last.most) - min(watch.least, last.least) <= SLACK_MS
            if is_same and watch.since - last.until <= UNWATCHED_MS:
                watches[-1] = last._replace(until=max(last.until, watch.until))
                return watches[-1]
        watches.append(watch)
        return watch

    def thin(self, boot: int) -> bool:
        """Join watches of a boot, two by two, if there are too many; return whether any were."""
        watches = self._boots.get(boot, [])
        if len(watches) <= _MOST_WATCHES:
            return False
        # (the last one goes on)
        joined = [
            _joined(first, second)
            for first, second in zip(watches[:-1:2], watches[1:-1:2], strict=False)
        ]
        watches[: 2 * len(joined)] = joined
        return True

    def forget(self, boot: int) -> None:
        """Forget a boot."""
        self._boots.pop(boot, None)

    def between(self, since: int, until: int) -> tuple[int, int]:
        """Return the earliest and the latest that the wall clock showed between two moments.

        :param since: a moment of a boot.
        :param until: a later one, of this boot or another.
        :returns: milliseconds since 1970.
        """
        first, last = boot_of(since), boot_of(until)
        if first == last:
            return self._within(first, ms_of(since), ms_of(until))
        # Each boot as far as anybody watched, and what nobody saw between one and the next.
        lows, highs = [], []
        for boot in (first, *(boot for boot in self._boots if first < boot < last), last):
            low, high = self._within(
                boot,
                ms_of(since) if boot == first else self._begin(boot, ms_of(until)),
                ms_of(until) if boot == last else self._end(boot, ms_of(since)),
            )
            lows.append(low if boot == last else low - HOUR_MS)
            highs.append(high if boot == first else high + HOUR_MS)
        return min(lows), max(highs)

    def latest(self, moment: int) -> int:
        """Return the latest that the wall clock may have shown at a moment of a boot."""
        watches = self._boots.get(boot_of(moment))
        at = ms_of(moment)
        if watches is not None and len(watches) == 1 and watches[0].since <= at <= watches[0].until:
            # (as nearly always)
            return at + watches[0].most + SLACK_MS
        return self.between(moment, moment)[1]

    def first(self, until: int) -> int:
        """Return the first moment of which anything is known, at most the one that is given."""
        first = min(self._boots, default=boot_of(until))
        return min(moment(first, self._begin(first, ms_of(until))), until)

    def doubt(self, since: int, until: int) -> int:
        """Return how far two differences of the clocks may be apart that held between two moments.

        :param since: a moment of a boot, as ``until``.
        :returns: milliseconds: all steps that were seen, and an hour for each time without a watch.
        """
        first, last = boot_of(since), boot_of(until)
        boots = [boot for boot in self._boots if first <= boot <= last]
        steps, unwatched = 0, len(boots) - 1
        for boot in boots:
            begins = ms_of(since) if boot == first else 0
            ends = ms_of(until) if boot == last else math.inf
            watches = [
                watch
                for watch in self._boots[boot]
                if begins <= watch.until and watch.since <= ends
            ]
            most = max((watch.most for watch in watches), default=0)
            steps += most - min((watch.least for watch in watches), default=most)
            unwatched += sum(
                after.since - before.until > UNWATCHED_MS for before, after in pairwise(watches)
            )
        return steps + unwatched * HOUR_MS + SLACK_MS

    def _begin(self, boot: int, otherwise: int) -> int:
        watches = self._boots.get(boot)
        return watches[0].since if watches else otherwise

    def _end(self, boot: int, otherwise: int) -> int:
        watches = self._boots.get(boot)
        return watches[-1].until if watches else otherwise

    def _within(self, boot: int, since: int, until: int) -> tuple[int, int]:
        """Return the same between two times of one boot's clock."""
        since, until = min(since, until), max(since, until)
        watches = self._boots.get(boot)
        if not watches:
            # (marks are kept with a watch: somebody has changed the index)
            return ANY_TIME
        lows, highs = [], []
        index = bisect_left(watches, since, key=_until)
        while True:
            before = watches[index - 1] if index else None
            watch = watches[index] if index < len(watches) else None
            if watch is None or since < watch.since:
                ends = until if watch is None else min(until, watch.since)
                low, high = _unseen(before, watch, since, ends)
                lows.append(low)
                highs.append(high)
            if watch is None or until < watch.since:
                break
            lows.append(max(since, watch.since) + watch.least)
            highs.append(min(until, watch.until) + watch.most)
            index += 1
            if until <= watch.until and (index == len(watches) or until < watches[index].since):
                # (else the clock stepped within that millisecond)
                break
            since = watch.until
        return min(lows) - SLACK_MS, max(highs) + SLACK_MS


def _joined(first: Watch, second: Watch) -> Watch:
    """Return one watch for two, and for what nobody saw between them."""
    off = HOUR_MS if second.since - first.until > UNWATCHED_MS else 0
    return Watch(
        first.since,
        second.until,
        min(first.least, second.least) - off,
        max(first.most, second.most) + off,
    )


def _unseen(before: Watch | None, after: Watch | None, since: int, until: int) -> tuple[int, int]:
    """Return the same for a part of the time before, after or between watches."""
    nearest = [watch for watch in (before, after) if watch is not None]
    begins = since if before is None else before.until
    ends = until if after is None else after.since
    off = HOUR_MS if ends - begins > UNWATCHED_MS else 0
    least = min(watch.least for watch in nearest)
    most = max(watch.most for watch in nearest)
    return since + least - off, until + most + off


def _until(watch: Watch) -> int:
    return watch.until
