"""The seams of the daemon: all that a protocol knows of logs and of its connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from twisted_virtlog.values import Counts, Domain, Excerpt, LogStatus, Opened, Position

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

        :param driver: who asks, as ``qemu``; only stored and shown.
        :param truncate: begin with an empty file, removing it and its backups first.
        :raises LogBusy: the log is open.
        :raises SystemFailure: the file or the pipe cannot be opened.
        :raises LimitReached: no descriptors are left.
        :raises ShuttingDown: the daemon is stopping.
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

    def counts() -> Counts:
        """Tell the handler's totals."""


class IConnection(Interface):
    """One client's connection, as its protocol sees it; see :mod:`twisted_virtlog.connection`."""

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
        """The connection is gone; called once, last."""

    def finish() -> None:
        """The daemon stops: answer the request in progress, take no more, close."""
