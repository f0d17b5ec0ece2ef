"""The seams of the daemon: all that a protocol knows of logs and of its connection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from twisted_virtlog.values import (
    Boot,
    ClientInfo,
    ClientLimits,
    Closed,
    ConsumerStatus,
    Counts,
    DaemonStatus,
    Domain,
    Excerpt,
    Filter,
    Followed,
    FollowEnd,
    FollowerState,
    KeptFile,
    Ledger,
    LogEvent,
    Logging,
    LogStatus,
    MetricsText,
    Opened,
    OpenedFiles,
    Output,
    PolicyWord,
    Position,
    Priority,
    Removed,
    Suspended,
    ThreadPoolStatus,
    TimeMark,
    TimeRange,
    Watched,
)

T = TypeVar("T")

#: An answer, now or later. Protocols treat both alike.
Answer: TypeAlias = "T | Deferred[T]"


class InSlices(Protocol):
    """Does what is long by itself, so that nobody waits for all of it; see ``loop.shares``."""

    def __call__(self, slices: Generator[None, None, T]) -> Answer[T]:
        """Return the value of a generator, at once if that takes no more than a share of time.

        :param slices: yields often; whatever it knows may have changed by the time it goes on.
        """


# The methods of zope's interfaces have no self; mypy_zope knows this.


class ILogHandler(Interface):
    """The logs: one object behind all protocols.

    A path is text, with surrogates for bytes that are not UTF-8 (:func:`os.fsdecode`). Different
    spellings of a path (``/a//b``, a symbolic link) name the same log. Every method may fail with
    any :class:`twisted_virtlog.errors.LogError`, at once or through its Deferred.
    """

    def open(path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        """Open a log and make the pipe that feeds it.

        If the former guest has gone but its output could not be written yet, or the same guest
        opens its log again, what is in the former pipe is written first.

        :param driver: who asks, such as ``qemu``.
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
        """Return the end of an open log, after writing all that its pipe held at the call.

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

    def kept_files(path: str) -> Answer[Sequence[KeptFile]]:
        """Return the files of a log, oldest first; an open log's pipe is drained first.

        :raises NoSuchLog: no file of the log exists.
        :raises SystemFailure: a file cannot be opened.
        """

    def files(path: str, start: Position | None) -> Answer[OpenedFiles]:
        """Open the files of a log for reading; an open log's pipe is drained first.

        Files that are devices or the like are left out.

        :param start: begin with the file that this is in; None, or where that is gone, with the
            oldest.
        :returns: at most MAX_OPENED_FILES, with sizes as of the draining.
        :raises NoSuchLog: no file of the log exists.
        :raises SystemFailure: a file cannot be opened.
        :raises LimitReached: no descriptors are left.
        """

    def append(path: str, message: bytes, driver: str, domain: Domain | None) -> Answer[Position]:
        """Write a message after all that the pipe held at the time of the call.

        A log that is not open is opened only for this.

        :returns: the position after the message.
        :raises NotWritten: the log is open, and its file cannot be written now.
        :raises SystemFailure: the file cannot be opened or written.
        """

    def remove(path: str) -> Answer[Removed]:
        """Remove all files of a log that is known and not open; it is not known any more then.

        A link that leads to the log stays, and so does what is no regular file.

        :raises LogBusy: the log is open.
        :raises NoSuchLog: the daemon knows no such log.
        :raises SystemFailure: a file cannot be removed; older ones are.
        """

    def logs() -> Answer[Sequence[LogStatus]]:
        """Return all open logs, sorted by path.

        Of many, each is looked at in its turn: a log that is opened or closed meanwhile may be
        among them or not.
        """

    def policy(path: str) -> Answer[Mapping[str, PolicyWord]]:
        """Return what holds for a log, by the keys that may stand in policies, and why.

        A log need not be open, or be there at all: of one that is closed, what was named at its
        last opening counts, as far as that is known.
        """

    def ledger(path: str | None) -> Answer[Ledger]:
        """Return what became of every byte of an open log since it was opened.

        :param path: None for all logs together, closed ones too, since the daemon first started;
            what is in files is that of the open ones.
        :raises NoSuchLog: the log is not open.
        """

    def is_known(path: str) -> Answer[bool]:
        """Return whether a path names a log that is open, or was opened or appended to before.

        Before means since the daemon first started, across hand-overs, as far as it remembers.
        """

    def counts() -> Counts:
        """Return the handler's totals."""


class IFollower(Interface):
    """A log that a client follows: a position in it, and no bytes.

    Whoever has one asks it for bytes, as fast as its client takes them. It is used in the reactor's
    thread.
    """

    position = Attribute("Position: what comes next begins there.")

    waits = Attribute("bool: there is nothing more to read until ``ready`` is called.")

    def read(max_bytes: int) -> Answer[Followed | FollowEnd | None]:
        """Return what comes next, from :attr:`position` on; nothing else is asked meanwhile.

        :returns: None if that is nothing now: ``ready`` is called when there may be something. A
            FollowEnd ends it; nothing is asked after that.
        """

    def advance(end: Position) -> None:
        """Go on from a position at the end of what was read, or before.

        What is left out there is read once more, with what comes after it. ``ready`` is called when
        there may be more.
        """

    def be_patient(is_patient: bool) -> None:
        """Take note whether what comes may be some milliseconds later, which costs less."""

    def stop() -> None:
        """End; ``ready`` is not called any more."""

    def suspended() -> FollowerState:
        """Return what the daemon's next image needs to go on."""


class IWatch(Interface):
    """What happens to logs, as a client watches it; used in the reactor's thread."""

    def take() -> Watched | None:
        """Return what happened next; None if that is nothing yet: ``ready`` is called then.

        To one that takes it late, less is told: of each log the last that happened, at least.
        """

    def stop() -> None:
        """End; ``ready`` is not called any more."""

    def suspended() -> tuple[Watched, ...]:
        """Return the last that happened to each log and was not taken, for the next image."""


class IFollowing(Interface):
    """Follows logs as they grow, and watches which there are."""

    def follow(
        path: str,
        position: Position | None,
        until_closed: bool,
        ready: Callable[[], None],
        from_opening: bool = False,
    ) -> Answer[IFollower]:
        """Follow a log, open or not, there or not.

        :param position: None for its end now, after what its pipe holds at the call.
        :param until_closed: end with the first close; of a log that is not open, the one after its
            next opening.
        :param ready: called when there may be something to read after there was nothing.
        :param from_opening: say nothing before the daemon has opened the log.
        :raises LimitReached: too many logs are followed.
        :raises LogError: the log cannot be asked.
        """

    def resume(state: FollowerState, ready: Callable[[], None]) -> IFollower:
        """Go on where the daemon's former image stopped; takes over the descriptors."""

    def watch(ready: Callable[[], None], before: Sequence[Watched] = ()) -> IWatch:
        """Watch which logs are opened and closed, and which change their state, from now on.

        :param ready: called when there is something to take after there was nothing.
        :param before: what comes first, as the daemon's former image suspended it.
        """

    def end_all() -> None:
        """End all that follows and watches: the daemon stops. Each reads it as a FollowEnd."""


class IHistory(Interface):
    """What happened to logs, and when their bytes came; also of logs that are not open.

    Every method may fail with any :class:`twisted_virtlog.errors.LogError`, as ILogHandler's.
    """

    def locate(
        path: str, since: datetime | None, until: datetime | None
    ) -> Answer[Sequence[TimeRange]]:
        """Return the ranges in which every byte is that may have arrived in a time, oldest first.

        :param since: an aware time; None for the oldest byte kept.
        :param until: an aware time; None for now.
        :raises NoSuchLog: no file of the log exists.
        """

    def times(
        path: str, start: Position | None, end: Position | None
    ) -> Answer[Sequence[TimeMark]]:
        """Return what is known of when bytes arrived, oldest first.

        :param start: None for the oldest byte kept.
        :param end: None for the end of the log.
        :raises NoSuchLog: no file of the log exists.
        """

    def boots(path: str) -> Answer[Sequence[Boot]]:
        """Return each opening of a log, oldest first, as far as its bytes are kept.

        :raises NoSuchLog: no file of the log exists, and it is not known.
        """

    def events(path: str, since: datetime | None) -> Answer[Sequence[LogEvent]]:
        """Return what happened to a log, oldest first, as far as its bytes are kept.

        :raises NoSuchLog: no file of the log exists, and it is not known.
        """

    def closed_logs() -> Answer[Sequence[LogStatus]]:
        """Return the logs that are known and not open, sorted by path."""


class IOwnLog(Interface):
    """The daemon's own log: which of its messages are logged, and where."""

    def logging() -> Logging:
        """Return what is in force."""

    def files() -> Collection[str]:
        """Return the paths of the files that it writes, without symbolic links."""

    def change(
        level: Priority | None = None,
        filters: Sequence[Filter] | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> None:
        """Change what is logged, from the next message on; after an error, nothing has changed.

        :param level: None to leave it as it is; the same holds for the others.
        :param outputs: empty for the default, at the level. They are opened again even if they are
            the same, so that a file that was moved away is released. A file that neither opens nor
            fails within a second counts as open, and is opened later.
        :raises OutputError: an output cannot be opened.
        """


class IAdministration(Interface):
    """The daemon's servers, their clients, and what may be changed while it runs.

    A server is the clients of one protocol. Every method that names one may raise NoSuchServer.
    """

    def status() -> DaemonStatus:
        """Return what the daemon is, its limits and its totals."""

    def servers() -> Sequence[str]:
        """Return the names of the servers, sorted."""

    def clients(server: str) -> Sequence[ClientInfo]:
        """Return the clients of a server, in order of arrival."""

    def client(server: str, number: int) -> ClientInfo:
        """Return one client.

        :raises NoSuchClient: the server has none of this number.
        """

    def disconnect(server: str, number: int) -> None:
        """Close a client's connection at once; the logs that it opened stay open.

        :raises NoSuchClient: the server has none of this number.
        """

    def limits(server: str) -> ClientLimits:
        """Return how many clients a server has and may have."""

    def set_limits(server: str, max_clients: int | None, max_anonymous: int | None) -> None:
        """Change how many clients a server may have; nobody is disconnected.

        :param max_clients: None to leave it as it is.
        :param max_anonymous: None to leave it as it is.
        :raises BadSetting: more would be anonymous than there may be.
        """

    def thread_pool(server: str) -> ThreadPoolStatus:
        """Return the state of the threads that work for a server."""

    def set_thread_pool(
        server: str,
        min_workers: int | None,
        max_workers: int | None,
        priority_workers: int | None,
    ) -> None:
        """Change how many threads there may be; None leaves a number as it is.

        :raises BadSetting: the numbers contradict each other, or are too high.
        """

    def logging() -> Logging:
        """Return what the daemon logs about itself, and where.

        :raises NoOwnLog: the application that embeds the daemon decides that.
        """

    def set_logging(level: Priority | None, filters: str | None, outputs: str | None) -> None:
        """Change what the daemon logs about itself, and where; after an error, nothing has changed.

        :param level: None to leave it as it is.
        :param filters: as in the configuration, empty for none; None to leave them as they are.
        :param outputs: as in the configuration, empty for the default; None to leave them as they
            are.
        :raises BadSetting: a filter or an output is invalid.
        :raises SystemFailure: an output cannot be opened.
        :raises NoOwnLog: the application that embeds the daemon decides that.
        """

    def set_timeout(seconds: int) -> None:
        """Stop the daemon once it has had neither clients nor open logs for this long; 0: never."""

    def shut_down() -> None:
        """Stop the daemon soon, even if logs are open; the request is answered first."""


class IConsumers(Interface):
    """What others have read of logs, for whom files are held that rotation would remove."""

    def acknowledge(consumer: str, uid: int, acks: Sequence[tuple[str, Position]]) -> Answer[None]:
        """Take note up to where a consumer has read logs; a position never goes back.

        Logs that the daemon does not know are passed over.

        :param uid: of the process that says so.
        :param acks: paths of logs, and positions.
        :raises NoSuchConsumer: the configuration names none.
        :raises NotAllowed: another user may acknowledge for it.
        :raises LogError: a log cannot be asked; the others are done.
        """

    def consumers() -> Answer[Sequence[ConsumerStatus]]:
        """Return what each consumer has of each log, sorted by both."""

    def forget(consumer: str, path: str | None) -> Answer[None]:
        """Forget what a consumer has of a log, so that nothing is held for it.

        :param path: None for all logs.
        :raises NoSuchConsumer: the configuration names none, and it has nothing.
        """


class IMetrics(Interface):
    """What the daemon counts and measures, as Prometheus reads it."""

    def text(open_metrics: bool) -> Answer[MetricsText]:
        """Return all of it, as of about now.

        :param open_metrics: in OpenMetrics; else in Prometheus' own format.
        """


class IConnection(Interface):
    """One client's connection, as its protocol sees it; see ``sockets.connection``."""

    congested = Attribute(
        "bool: the client does not read its answers; its protocol handles no further request until"
        " output_drained."
    )

    def takes_more() -> bool:
        """Return whether what is sent now leaves at once, as far as is known.

        If not, the client has yet to read what was sent before: it would wait here, and
        output_drained tells when that is over.
        """

    def unread() -> int:
        """Return how much the client has yet to read of what was sent; 0 if it has read all.

        It is in a measure of the kernel's, which grows with all that is sent.
        """

    def send(data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send bytes after all that were sent before, with descriptors attached to the first byte.

        The connection owns the descriptors and closes them in any case, but for a LeftDescriptor,
        which it has closed. This never blocks and never
        raises: a connection that has ended drops both. Bytes with descriptors are never merged with
        other bytes into one segment.
        """

    def claim_descriptors(most: int) -> None:
        """Ask for leave to answer a request with several descriptors; before it is carried out.

        :param most: that there may be.
        :raises LimitReached: others are on their way to this client, or too many to all clients.
        """

    def settle_descriptors(count: int) -> None:
        """Say how many they are; before they are sent."""

    peer = Attribute("PeerCredentials: of the process at the other end, when it connected.")

    share_seconds = Attribute(
        "float: how long its protocol may carry requests out at once, before others are served;"
        " infinite for no limit."
    )

    def is_alone() -> bool:
        """Return whether a protocol may have another share at once, as nobody else waits."""

    def go_on_later(rest_seconds: float = 0.0) -> None:
        """Call the protocol's go_on when all who were quiet have been served.

        :param rest_seconds: and not before so many seconds have passed.
        """

    def gather() -> None:
        """Hold back what is sent from now on, so that several answers leave together."""

    def flush() -> None:
        """Send what was held back, and hold back no more."""

    def pause_reading() -> None:
        """Read nothing from the client until resume_reading."""

    def resume_reading() -> None:
        """Read from the client again."""

    def close_when_gone() -> None:
        """Close when the client is gone, which has shut down its writing side and is told more."""

    def close_when_sent() -> None:
        """Read no more, send what is queued, then close."""

    def abort() -> None:
        """Close at once and drop what is queued."""


class IConversation(Interface):
    """What a protocol offers to its connection, which calls it in the reactor's thread."""

    def connection_made(connection: IConnection) -> None:
        """Keep the connection. This is called once, first."""

    def data_received(data: bytes) -> None:
        """Take bytes from the client, however they are split."""

    def input_ended() -> None:
        """Answer what the client has asked, then close: it has shut down its writing side."""

    def output_drained() -> None:
        """Continue with what waits: the connection is no longer congested, or takes more."""

    def go_on() -> None:
        """Continue after go_on_later."""

    def connection_lost() -> None:
        """Release the connection, which has ended, and what the client sent. Called once, last."""

    def finish() -> None:
        """Answer the request in progress, take no more, and close: the daemon is stopping."""

    # A hand-over to the daemon's next image calls hold, then suspended, or release if the hand-over
    # fails; in the next image, resume and then connection_made.

    waiting = Attribute("bool: a request is in progress, and its answer comes later.")

    held_bytes = Attribute("int: the memory that requests take that are not carried out yet.")

    def hold() -> None:
        """Carry out no more requests; one in progress continues."""

    def release() -> None:
        """Continue with requests."""

    def outline() -> Suspended:
        """Return as much of what the next image needs as decides whether it can take over."""

    def end_subscriptions() -> None:
        """End what the client follows, and tell it: the daemon stops, or the next image cannot."""

    def suspended() -> Suspended:
        """Return what the next image needs, after sending what there is of an answer."""

    def resume(state: Suspended) -> None:
        """Continue where the former image stopped, once the connection is made."""
