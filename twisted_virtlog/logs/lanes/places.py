"""Finds where a directory's files are served: in the reactor's thread, or in a lane."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.files.places import Here, Place
from twisted_virtlog.logs.lanes.lane_logs import LaneLogs, explained, no_answer
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.logs.lanes.resolving import Resolving
from twisted_virtlog.loop.threads import InThread

T = TypeVar("T")

#: What is tried, in the words of SystemFailure.
LOOK_INTO = "Unable to look into directory"


class _InLane:
    """A directory whose logs are opened in a lane; see Place."""

    keeps_reactor = False

    def __init__(self, path: str, lane: LaneLogs, is_in_use: Callable[[str], bool]) -> None:
        self.path = path
        self._lane = lane
        self._is_in_use = is_in_use

    def look(self, call: Callable[[], T]) -> Deferred[T]:
        """See Place."""
        explain = partial(no_answer, LOOK_INTO, self.path)
        asked = self._lane.ask(self.path, lambda logs: call())
        return asked.addErrback(explained, self._lane, self.path, explain)

    def change(self, call: Callable[[], T]) -> Deferred[T]:
        """See Place."""
        return self.look(call)

    def is_in_use(self, path: str) -> bool:
        """See Place."""
        return self._is_in_use(path)


class Places:
    """Finds places, by the mounts of the moment."""

    def __init__(
        self,
        resolved: Callable[[str], Answer[Resolving]],
        is_inline: Callable[[Mount], bool],
        lane_of: Callable[[Mount], LaneLogs],
        in_thread: InThread,
        is_in_use: Callable[[str], bool],
        check: Callable[[str], object],
    ) -> None:
        """Find nothing yet.

        :param resolved: resolves a path, wherever its links lead.
        :param is_inline: whether files on a mount are served in the reactor's thread.
        :param lane_of: returns the lane in which they are served otherwise.
        :param in_thread: where directories are read whose files are served in the reactor's thread.
        :param is_in_use: see Place; called in a lane's thread, too.
        :param check: raises NotAllowed if a directory, by its path without links, is none of logs.
        """
        self._resolved = resolved
        self._is_inline = is_inline
        self._lane_of = lane_of
        self._in_thread = in_thread
        self._is_in_use = is_in_use
        self._check = check

    def __call__(self, path: str) -> Deferred[Place]:
        """Find the place of a directory; see ``Where``."""
        resolved: Callable[[str], Any] = self._resolved
        found: Deferred[Any] = maybeDeferred(resolved, path)
        return found.addCallback(self._place)

    def _place(self, resolved: Resolving) -> Place:
        self._check(resolved.real)
        if self._is_inline(resolved.mount):
            return Here(resolved.real, self._in_thread, self._is_in_use)
        return _InLane(resolved.real, self._lane_of(resolved.mount), self._is_in_use)
