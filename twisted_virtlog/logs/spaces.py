"""How much room there is on the file systems with logs, without waiting for one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.logs.lanes.lane import Silent
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.values import Space

#: Nobody waits longer. A file system that takes longer is left out, and not asked again before it
#: has answered.
_PATIENCE_SECONDS = 0.5

#: Asks the file system of a mount, in a thread.
AskMount = Callable[[Mount], "Deferred[os.statvfs_result]"]


class Spaces:
    """Asks file systems, all at once."""

    _logger = Logger()

    def __init__(self, clock: Clock, ask: AskMount) -> None:
        """:param ask: fails with OSError, or if the file system does not answer."""
        self._clock = clock
        self._ask = ask
        # The devices of those that have not answered yet.
        self._asked: set[str] = set()

    def of(self, mounts: Sequence[Mount]) -> Deferred[Sequence[Space]]:
        """Return what is known of file systems soon; of those that do not answer, nothing.

        :param mounts: one of each file system.
        """
        looking = _Looking(len(mounts))
        for mount in mounts:
            if mount.device in self._asked:
                looking.ended()
                continue
            self._asked.add(mount.device)
            answer = self._ask(mount)
            answer.addBoth(self._answered, mount)
            answer.addCallbacks(looking.found, looking.missing, callbackArgs=(mount,))
            answer.addErrback(lambda failure: self._logger.failure("a look failed", failure))
        if not looking.is_over:
            looking.limit = self._clock.callLater(_PATIENCE_SECONDS, looking.end)
        return looking.result

    def _answered(
        self, result: os.statvfs_result | Failure, mount: Mount
    ) -> os.statvfs_result | Failure:
        self._asked.discard(mount.device)
        return result


class _Looking:
    """A look at several file systems.

    :ivar result: fires at the end.
    :ivar limit: ends it in time; None if there is none.
    """

    def __init__(self, count: int) -> None:
        """:param count: of the file systems."""
        self.result: Deferred[Sequence[Space]] = Deferred()
        self.limit: IDelayedCall | None = None
        self._left = count
        self._spaces: list[Space] = []
        if not count:
            self.end()

    @property
    def is_over(self) -> bool:
        """Whether nothing is waited for."""
        return self.result.called

    def found(self, room: os.statvfs_result, mount: Mount) -> None:
        """Take what a file system has said; some have no blocks to speak of."""
        if room.f_blocks and not self.is_over:
            size = room.f_frsize
            self._spaces.append(
                Space(
                    mount.point,
                    mount.kind,
                    room.f_blocks * size,
                    room.f_bavail * size,
                    room.f_files,
                    room.f_favail,
                )
            )
        self.ended()

    def missing(self, failure: Failure) -> None:
        """Leave out a file system that cannot be asked."""
        failure.trap(OSError, NoAnswer, Silent)
        self.ended()

    def ended(self) -> None:
        """Wait for one less."""
        self._left -= 1
        if not self._left:
            self.end()

    def end(self) -> None:
        """Wait for no more."""
        if self.is_over:
            return
        if self.limit is not None and self.limit.active():
            self.limit.cancel()
        self.result.callback(sorted(self._spaces, key=lambda space: space.mount))
