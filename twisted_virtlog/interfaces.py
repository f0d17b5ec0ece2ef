"""The seams of the daemon: all that a protocol knows of logs and of its connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from twisted_virtlog.values import (
    ClientInfo,
    ClientLimits,
    Closed,
    Counts,
    DaemonStatus,
    Domain,
    Excerpt,
    Filter,
    Logging,
    LogStatus,
    Opened,
    Output,
    Position,
    Priority,
    Suspended,
    ThreadPoolStatus,
)

T = TypeVar("T")

#: An answer that is there, or one that may come later. A protocol treats both alike.
Answer: TypeAlias = "T | Deferred[T]"

# zope's interfaces have methods without self, which is no Python function's signature.
# mypy_zope knows this.


class ILogHandler(Interface):
    """The logs: one object behind all protocols.

    A path is text (bytes that are no UTF-8 as surrogates, :func:`os.fsdecode`) and names its log;
    other spellings of it (``/a//b``, a symbolic link) name the same log. Every method may raise
    any :class:`twisted_virtlog.errors.LogError`, at once or through its Deferred.
    """

    def open(path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        """Open a log and make the pipe that feeds it.

        Where a guest is gone whose output cannot be written yet, or the same guest opens its log
        again, what is in the former pipe goes first; see OpenLog.may_be_followed.

        :param driver: who asks, as ``qemu``.
        :param truncate: begin with an empty file, removing it and its backups first.
        :raises LogBusy: the log is open.
        :raises SystemFailure: the file or the pipe cannot be opened.
        :raises LimitReached: no descriptors are left.
        :raises ShuttingDown: the daemon is stopping.
        """

    def close_log(path: str) -> Answer[Closed]:
        """Write what an open log's pipe holds, and close the log, whoever holds the write end.

        What is written to the pipe later is refused (EPIPE); the path is free.

        :raises NoSuchLog: the log is not open.
        """

    def position(path: str) -> Answer[Position]:
        """Tell the end of an open log, after writing all that its pipe held when this was called.

        :raises NoSuchLog: the log is not open.
        :raises NotWritten: its file cannot be written now.
        """

    def read(path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        """Read bytes from a position on, through the newer files of the rotation.

        An open log's pipe is drained first.

        :param position: None for the oldest byte kept.
        :param max_bytes: the most bytes to return.
        :raises NoSuchLog: no file of the log exists.
        :raises SystemFailure: a file cannot be read.
        """

    def append(path: str, message: bytes, driver: str, domain: Domain | None) -> Answer[Position]:
        """Write a message after all that the pipe held when this was called.

        A log that is not open is opened for this only.

        :returns: the position after the message.
        :raises NotWritten: the log is open, and its file cannot be written now.
        :raises SystemFailure: the file cannot be opened or written.
        """

    def logs() -> Sequence[LogStatus]:
        """Tell of all open logs, sorted by path."""

    def is_known(path: str) -> bool:
        """Return whether a path names a log that is open, or was opened or appended to before.

        Before in the life of the daemon, over hand-overs, as far as it remembers.
        """

    def counts() -> Counts:
        """Tell the handler's totals."""


class IOwnLog(Interface):
    """The daemon's own log: which of its messages are logged, and where."""

    def logging() -> Logging:
        """Return what is in force."""

    def change(
        level: Priority | None = None,
        filters: Sequence[Filter] | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> None:
        """Change what is logged, from the next message on: all of it or, on an error, nothing.

        :param level: None to leave it, as for the others.
        :param outputs: empty for the default, at the level; they are opened again even if they are
            the same, so that a file that was moved away is let go.
        :raises OutputError: an output cannot be opened.
        """


class IAdministration(Interface):
    """The daemon's servers, their clients, and what may be changed while it runs.

    A server is the clients of one protocol. Every method that names one may raise NoSuchServer.
    """

    def status() -> DaemonStatus:
        """Return what the daemon is, its limits and its totals."""

    def servers() -> Sequence[str]:
        """Tell the names of the servers, sorted."""

    def clients(server: str) -> Sequence[ClientInfo]:
        """Tell of a server's clients, in order of arrival."""

    def client(server: str, number: int) -> ClientInfo:
        """Tell of one client.

        :raises NoSuchClient: the server has none of this number.
        """

    def disconnect(server: str, number: int) -> None:
        """Close a client's connection at once; the logs that it opened stay open.

        :raises NoSuchClient: the server has none of this number.
        """

    def limits(server: str) -> ClientLimits:
        """Tell how many clients a server has and may have."""

    def set_limits(server: str, max_clients: int | None, max_anonymous: int | None) -> None:
        """Change how many clients a server may have; disconnects nobody.

        :param max_clients: None to leave it.
        :param max_anonymous: None to leave it.
        :raises BadSetting: more would be anonymous than there may be.
        """

    def thread_pool(server: str) -> ThreadPoolStatus:
        """Tell of the threads that work for a server."""

    def set_thread_pool(
        server: str,
        min_workers: int | None,
        max_workers: int | None,
        priority_workers: int | None,
    ) -> None:
        """Change how many threads there may be; None leaves a number as it is.

        :raises BadSetting: the numbers contradict one another, or there would be too many.
        """

    def logging() -> Logging:
        """Tell what the daemon logs, and where.

        :raises NoOwnLog: that is not the daemon's to say.
        """

    def set_logging(level: Priority | None, filters: str | None, outputs: str | None) -> None:
        """Change what the daemon logs and where: all of it or, if one of it cannot be, nothing.

        :param level: None to leave it.
        :param filters: as in the configuration, empty for none; None to leave them.
        :param outputs: as in the configuration, empty for the default; None to leave them.
        :raises BadSetting: a filter or an output is none.
        :raises SystemFailure: an output cannot be opened.
        :raises NoOwnLog: that is not the daemon's to change.
        """

    def set_timeout(seconds: int) -> None:
        """End the daemon once it had neither clients nor open logs for so long; 0: never."""

    def shut_down() -> None:
        """End the daemon soon, whether logs are open or not; what asked for it is answered."""


class IConnection(Interface):
    """One client's connection, as its protocol sees it; see ``sockets.connection``."""

    congested = Attribute(
        "bool: more answers are queued than the client takes; its protocol handles no further"
        " request until output_drained."
    )

    def send(data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send bytes in order after all sent before, with descriptors attached to the first byte.

        Takes the descriptors over and closes them, whatever happens. Never blocks and never
        raises: a connection that is gone drops both. Bytes with descriptors are never merged with
        other bytes into one segment.
        """

    def gather() -> None:
        """Keep what is sent from now on, so that several answers leave together."""

    def flush() -> None:
        """Send what was gathered, and gather no more."""

    def pause_reading() -> None:
        """Read nothing from the client until resume_reading."""

    def resume_reading() -> None:
        """Read from the client again."""

    def close_when_sent() -> None:
        """Read no more, send what is queued, then close."""

    def abort() -> None:
        """Close at once and drop what is queued."""


class IConversation(Interface):
    """What a protocol offers to its connection. The connection calls, in its reactor's thread."""

    def connection_made(connection: IConnection) -> None:
        """Keep the connection; called once, first."""

    def data_received(data: bytes) -> None:
        """Take bytes from the client, in any split."""

    def input_ended() -> None:
        """The client shut down its writing side: answer what it asked, then close."""

    def output_drained() -> None:
        """The connection is no longer congested: go on with requests that wait."""

    def connection_lost() -> None:
        """The connection is gone; called once, last. Keep neither it nor what the client sent."""

    def finish() -> None:
        """The daemon stops: answer the request in progress, take no more, close."""

    # A hand-over to the daemon's next image: hold, then suspended; or release, if it came to
    # nothing. There, resume before connection_made.

    waiting = Attribute("bool: a request is in progress, and its answer comes later.")

    held_bytes = Attribute("int: memory that requests take which are not carried out yet.")

    def hold() -> None:
        """Carry out no more requests; one in progress goes on."""

    def release() -> None:
        """Go on with requests."""

    def suspended() -> Suspended:
        """Tell what the next image needs, after sending what there is of an answer."""

    def resume(state: Suspended) -> None:
        """Go on where the former image stopped, once the connection is made."""
