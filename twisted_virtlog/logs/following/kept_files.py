"""Keeps files open for those who follow logs: what is removed meanwhile is not lost to them.

A file that somebody reads stays open until he has read it, or has not got on for ten seconds: its
room on the disk is not free before. The time for which its thread does not get on, as its file
system does not answer, does not count. There is one descriptor for all who read it. Of many files,
those give way that have not been read for the longest time; and the last descriptors of the process
are left to whoever opens logs.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from twisted_virtlog.logs.files.removal import close_quietly
from twisted_virtlog.logs.following.segments import Segment

#: The most files of all logs together.
MOST = 256

#: A file that nobody has read for so long is closed.
KEPT_SECONDS = 10.0

#: A thread that does what it is asked for so much later did not get on.
_LATE_SECONDS = 1.0

#: So many descriptors, of those that the process may have, are for others.
_LEFT_TO_OTHERS = 64


class Home(Protocol):
    """What a segment belongs to: it knows in which thread its files are closed."""

    def in_reactor(self, call: Callable[[], object]) -> None:
        """Call something in the reactor's thread. Asked in the log's."""

    def at_home(self, call: Callable[[], object]) -> None:
        """Call something in the log's thread. Asked in the reactor's."""


class KeptFiles:
    """The files of all segments; any thread may ask, for its own."""

    def __init__(
        self, seconds: Callable[[], float], first_kept: Callable[[], object], most: int = MOST
    ) -> None:
        """:param seconds: a clock that never steps.

        :param first_kept: called in the reactor's thread when there is one, after there was none:
            :meth:`release_unused` is to be called now and then.
        """
        self._seconds = seconds
        self._first_kept = first_kept
        self._most = most
        # (each of these is done at once, whichever thread does it)
        self._kept: dict[Segment, Home] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._kept)

    def keep(
        self,
        segment: Segment,
        file: int,
        home: Home,
        *,
        is_packed: bool = False,
        closes_others: bool = True,
    ) -> None:
        """Take over a descriptor of a segment's file.

        :param is_packed: it is one of the packed file.
        :param closes_others: if there are too many, others give way.
        :raises OSError: EMFILE, as few descriptors are left; it is closed.
        """
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # (a descriptor gets the lowest number that is free)
        if limit != resource.RLIM_INFINITY and file >= limit - _LEFT_TO_OTHERS:
            close_quietly(file)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.release(segment)
        segment.file, segment.used_at = file, self._seconds()
        segment.is_packed = is_packed
        self._kept[segment] = home
        if len(self._kept) == 1:
            home.in_reactor(self._first_kept)
        if closes_others and len(self._kept) > self._most:
            home.in_reactor(self._release_oldest)

    def release(self, segment: Segment) -> None:
        """Close a segment's file, if it has one; in the log's thread."""
        self._kept.pop(segment, None)
        file, segment.file = segment.file, -1
        if file >= 0:
            close_quietly(file)

    def release_unused(self) -> None:
        """Have all closed that nobody has read for long; in the reactor's thread.

        To be called every few seconds, as it sees by that which threads do not get on.
        """
        homes: dict[Home, list[Segment]] = {}
        for segment, home in self._kept.copy().items():
            homes.setdefault(home, []).append(segment)
        for home, segments in homes.items():
            home.at_home(partial(self._release_unused, segments, self._seconds()))

    def _release_unused(self, segments: Sequence[Segment], asked_at: float) -> None:
        """Close those that nobody has read for long; in the log's thread."""
        now = self._seconds()
        late = now - asked_at
        for segment in segments:
            if segment not in self._kept:
                continue
            if late >= _LATE_SECONDS:
                # (whoever reads it had to wait as well)
                segment.used_at = min(now, segment.used_at + late)
            elif now - segment.used_at >= KEPT_SECONDS:
                self.release(segment)

    def _release_oldest(self) -> None:
        kept = self._kept.copy()
        for segment in sorted(kept, key=lambda one: one.used_at)[: len(kept) - self._most]:
            self._release_later(segment, kept[segment])

    def _release_later(self, segment: Segment, home: Home) -> None:
        used_at = segment.used_at

        def release() -> None:
            if segment.used_at == used_at:
                self.release(segment)

        home.at_home(release)
