"""What is told of logs to whoever follows them, or keeps their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from twisted_virtlog.logs.files.writer import Writer
    from twisted_virtlog.logs.open_log import OpenLog
    from twisted_virtlog.values import Domain, DropReason


class LogObserver(Protocol):
    """Is told what happens to logs, in the thread in which it happens; nothing here raises.

    Each is called while something is done with the log: what takes long, and whatever asks for
    something of the log, is for later.
    """

    def opened(self, log: OpenLog, truncated: bool) -> None:
        """Take note that a guest has opened a log, and nothing of it is written yet.

        :param truncated: the files of the log were removed for that.
        """

    def adopted(self, log: OpenLog) -> None:
        """Take note that this thread goes on with an open log, of another one or another process.

        Bytes may have been written already.
        """

    def closed(self, log: OpenLog) -> None:
        """Take note that the guest is gone, and all is written; the file is still open."""

    def followed(self, log: OpenLog) -> None:
        """Take note that a guest is gone, and another has the log, which was not closed between.

        All that the former guest left is written now. While the file fails nobody is told; later,
        each former guest is told of by itself.
        """

    def left(self, log: OpenLog) -> None:
        """Take note that another thread, or the next process, goes on with a log.

        The file is still open.
        """

    def state_changed(self, log: OpenLog) -> None:
        """Take note that a log's file cannot be written any more, or can again."""

    def woken(self, log: OpenLog) -> None:
        """Take note that bytes were written to a log whose writer was asleep."""

    def file_ends(self, log: OpenLog) -> None:
        """Take note that a log goes on in another file; the present one is still open.

        It may be told more than once of the same file.
        """

    def was_cut(self, log: OpenLog, size: int) -> None:
        """Take note that another program has cut a log's file, whose birth has changed.

        :param size: of the file before, in bytes.
        """

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        """Take note that so many bytes of a log are lost, and why."""

    def appending(self, real_path: str, writer: Writer) -> None:
        """Take note that a message will be appended to a log that is not open.

        Whoever wants to be told of files that end meanwhile becomes the writer's owner.
        """

    def appended(self, real_path: str, writer: Writer, driver: str, domain: Domain | None) -> None:
        """Take note that a message was appended to a log that is not open; its file still is."""

    def not_appended(self, real_path: str, writer: Writer) -> None:
        """Take note that a message could not be appended, or only a part that is in full files."""

    def removed(self, real_path: str) -> None:
        """Take note that all files of a log were removed, which is not open."""

    def paused(self) -> None:
        """Close all files: nothing may be asked of the file system for a while."""


class NoObserver:
    """Nobody wants to know."""

    def opened(self, log: OpenLog, truncated: bool) -> None:
        """Do nothing."""

    def adopted(self, log: OpenLog) -> None:
        """Do nothing."""

    def closed(self, log: OpenLog) -> None:
        """Do nothing."""

    def followed(self, log: OpenLog) -> None:
        """Do nothing."""

    def left(self, log: OpenLog) -> None:
        """Do nothing."""

    def state_changed(self, log: OpenLog) -> None:
        """Do nothing."""

    def woken(self, log: OpenLog) -> None:
        """Do nothing."""

    def file_ends(self, log: OpenLog) -> None:
        """Do nothing."""

    def was_cut(self, log: OpenLog, size: int) -> None:
        """Do nothing."""

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        """Do nothing."""

    def appending(self, real_path: str, writer: Writer) -> None:
        """Do nothing."""

    def appended(self, real_path: str, writer: Writer, driver: str, domain: Domain | None) -> None:
        """Do nothing."""

    def not_appended(self, real_path: str, writer: Writer) -> None:
        """Do nothing."""

    def removed(self, real_path: str) -> None:
        """Do nothing."""

    def paused(self) -> None:
        """Do nothing."""


class Observers:
    """Tells several, in their order."""

    def __init__(self, observers: Sequence[LogObserver]) -> None:
        self._observers = observers

    def opened(self, log: OpenLog, truncated: bool) -> None:
        """Tell all."""
        for one in self._observers:
            one.opened(log, truncated)

    def adopted(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.adopted(log)

    def closed(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.closed(log)

    def followed(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.followed(log)

    def left(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.left(log)

    def state_changed(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.state_changed(log)

    def woken(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.woken(log)

    def file_ends(self, log: OpenLog) -> None:
        """Tell all."""
        for one in self._observers:
            one.file_ends(log)

    def was_cut(self, log: OpenLog, size: int) -> None:
        """Tell all."""
        for one in self._observers:
            one.was_cut(log, size)

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        """Tell all."""
        for one in self._observers:
            one.dropped(log, count, reason)

    def appending(self, real_path: str, writer: Writer) -> None:
        """Tell all."""
        for one in self._observers:
            one.appending(real_path, writer)

    def appended(self, real_path: str, writer: Writer, driver: str, domain: Domain | None) -> None:
        """Tell all."""
        for one in self._observers:
            one.appended(real_path, writer, driver, domain)

    def not_appended(self, real_path: str, writer: Writer) -> None:
        """Tell all."""
        for one in self._observers:
            one.not_appended(real_path, writer)

    def removed(self, real_path: str) -> None:
        """Tell all."""
        for one in self._observers:
            one.removed(real_path)

    def paused(self) -> None:
        """Tell all."""
        for one in self._observers:
            one.paused()


class LogThread(Protocol):
    """The thread in which some logs are: the reactor's, or a lane's.

    :ivar is_reactor: it is the reactor's, which must not wait for a file.
    :ivar point: where the file system is mounted whose own thread it is; None for the reactor's.
    """

    is_reactor: bool
    point: str | None

    def in_reactor(self, call: Callable[[], object]) -> None:
        """Call something in the reactor's thread; at once if this is it. Asked in this thread."""

    def tell(self, call: Callable[[], object]) -> None:
        """Call something in this thread; at once if this is the reactor's. Asked in that one.

        It is called however long the thread may be silent before.
        """


class ReactorThread:
    """The reactor's thread."""

    is_reactor = True
    point: str | None = None

    def in_reactor(self, call: Callable[[], object]) -> None:
        """Call something at once."""
        call()

    def tell(self, call: Callable[[], object]) -> None:
        """Call something at once."""
        call()


#: Makes the observer of the logs of one thread.
ObserverOf: TypeAlias = Callable[[LogThread], LogObserver]

NO_OBSERVER = NoObserver()

#: All that is asked of it is done at once.
REACTOR_THREAD = ReactorThread()


def nobody(thread: LogThread) -> LogObserver:
    """Make the observer of a thread whose logs nobody wants to know of."""
    return NO_OBSERVER
