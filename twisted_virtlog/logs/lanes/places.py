"""Finds where a directory's files are served: in the reactor's thread, or in a lane."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from twisted_virtlog.errors import HeldByOther, NoAnswer
from twisted_virtlog.logs.files.places import Here, Place
from twisted_virtlog.logs.lanes.lane import Silent
from twisted_virtlog.logs.lanes.lane_logs import LaneLogs
from twisted_virtlog.logs.lanes.lock import Held
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.logs.lanes.resolving import Resolving, Table
from twisted_virtlog.loop.threads import InThread

T = TypeVar("T")

_ACTION = "Unable to look into directory"


class _InLane:
    """A directory whose logs are opened in a lane; see Place."""

    keeps_reactor = False

    def __init__(self, path: str, lane: LaneLogs, is_in_use: Callable[[str], bool]) -> None:
        self.path = path
        self._lane = lane
        self._is_in_use = is_in_use

    def look(self, call: Callable[[], T]) -> Deferred[T]:
        """See Place."""
        return _asked(self._lane, self.path, call)

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
        table: Table,
        is_inline: Callable[[Mount], bool],
        lane_of: Callable[[Mount], LaneLogs],
        is_served_by: Callable[[LaneLogs, Mount], bool],
        in_thread: InThread,
        is_in_use: Callable[[str], bool],
    ) -> None:
        """Find nothing yet.

        :param is_inline: whether files on a mount are served in the reactor's thread.
        :param lane_of: returns the lane in which they are served otherwise.
        :param is_served_by: whether they are served in a lane; called in its thread.
        :param in_thread: where directories are read whose files are served in the reactor's thread.
        :param is_in_use: see Place; called in a lane's thread, too.
        """
        self._table = table
        self._is_inline = is_inline
        self._lane_of = lane_of
        self._is_served_by = is_served_by
        self._in_thread = in_thread
        self._is_in_use = is_in_use

    def __call__(self, path: str) -> Deferred[Place]:
        """Find the place of a directory; see ``Where``."""
        return self._go_on(Resolving(path, self._table))

    def _go_on(self, resolving: Resolving) -> Deferred[Place]:
        try:
            mount = resolving.advance(self._is_inline)
        except OSError:
            return fail()
        if mount is not None:
            lane = self._lane_of(mount)

            def in_lane() -> object:
                return resolving.advance(partial(self._is_served_by, lane))

            return _asked(lane, mount.point, in_lane).addCallback(lambda _: self._go_on(resolving))
        if self._is_inline(resolving.mount):
            return succeed(Here(resolving.real, self._in_thread, self._is_in_use))
        lane = self._lane_of(resolving.mount)
        return succeed(_InLane(resolving.real, lane, self._is_in_use))


def _asked(lane: LaneLogs, path: str, call: Callable[[], T]) -> Deferred[T]:
    """Call something in a lane that may touch its files."""

    def explain(failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, Silent):
            return Failure(NoAnswer(_ACTION, path, lane.mount.point))
        if isinstance(error, Held):
            return Failure(HeldByOther(path, error.pid, lane.mount.point))
        return failure

    return lane.ask(path, lambda logs: call()).addErrback(explain)
