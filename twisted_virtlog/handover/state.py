"""The hand-over document: all that a daemon's next image needs, versioned, encoded and decoded.

It is the document that libvirt 9.0.0's virtlogd writes when it re-executes itself, so each of the
two can take over from the other. What virtlogd does not know is in members named
``twisted_virtlog``, which it ignores. Descriptors are numbers that stay open across the exec.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from mmap import mmap
from typing import Any

import msgspec
from msgspec import Struct, field

from twisted_virtlog.values import (
    Counts,
    Destination,
    Domain,
    Filter,
    Logging,
    Output,
    Priority,
    Queued,
    Suspended,
)

#: The version of the members ``twisted_virtlog``. A document with a higher one is refused; members
#: that are not known are ignored. A document never says a higher version than its content needs.
VERSION = 4

#: The first version whose readers know what clients follow. To others it is not handed over.
SUBSCRIPTIONS_VERSION = 4

#: The most pipes of former guests whose output may wait for the file of one log.
MOST_FORMER = 16

#: The servers that virtlogd has. Others are kept apart, as it would refuse the document.
OF_VIRTLOGD = ("virtlogd", "admin")

_OWN = "twisted_virtlog"
#: The highest number that a system call takes for a descriptor.
_INT_MAX = 0x7FFFFFFF

#: Stands for the UUID where no domain was named.
NO_UUID = "00000000-0000-0000-0000-000000000000"


# Longer bytes, such as those of an answer that a client has not read, are put into a document piece
# by piece, each of at most so many bytes (a multiple of three); and a document that is longer is
# decoded without making text of all of it.
_LONG_BYTES = 12 * 1024
_PIECE_BYTES = 192 * 1024
_LONG_DOCUMENT_BYTES = 1024 * 1024


class StateError(Exception):
    """A document that cannot be used; the message says what is wrong with it."""


class ConnectionState(Struct, frozen=True, omit_defaults=True):
    """A client's connection.

    :ivar closing: it is to be closed when everything is sent.
    :ivar descriptors: how many are on its way to it, by the daemon's budget for them.
    """

    conversation: Suspended = Suspended()
    queued: tuple[Queued, ...] = ()
    closing: bool = False
    descriptors: int = 0


class SocketState(Struct, frozen=True):
    """A socket.

    :ivar bound: it listens at a path that was bound for it and is removed with it.
    :ivar file: the device and inode of that path; None if virtlogd says nothing of them.
    """

    descriptor: int = field(name="fd")
    bound: bool = field(name="unlinkUNIX", default=False)
    is_client: bool = field(name="isClient", default=False)
    errfd: int = -1
    pid: int = 0
    file: tuple[int, int] | None = field(name=_OWN, default=None)


class ClientState(Struct, frozen=True):
    """A client.

    :ivar connected_at: seconds since the epoch.
    :ivar connection: None if virtlogd says nothing of it.
    """

    id: int
    connected_at: int = field(name="conn_time")
    socket: SocketState = field(name="sock")
    connection: ConnectionState | None = field(name=_OWN, default=None)
    auth: int = 0
    auth_pending: bool = False
    readonly: bool = False
    nrequests_max: int = 1
    privateData: dict[str, Any] = field(default_factory=dict)

    def descriptors(self) -> list[int]:
        """Return the socket's, and those that wait to be sent."""
        found = [self.socket.descriptor]
        if self.connection is not None:
            for message in self.connection.queued:
                found += message.descriptors
            gathered = self.connection.conversation.gathered
            found += gathered.descriptors if gathered is not None else ()
            for one in self.connection.conversation.subscriptions:
                found += one.follower.files if one.follower is not None else ()
        return found

    @property
    def follows(self) -> bool:
        """Whether it follows logs, or watches which there are."""
        return self.connection is not None and bool(self.connection.conversation.subscriptions)


class ServiceState(Struct, frozen=True):
    """What libvirt calls a service: sockets that one server listens on."""

    sockets: tuple[SocketState, ...] = field(name="socks", default=())
    auth: int = 0
    readonly: bool = False
    nrequests_client_max: int = 1


class ServerState(Struct, frozen=True):
    """A server: its limits, its listening sockets and its clients."""

    max_clients: int
    next_client_id: int = 1
    services: tuple[ServiceState, ...] = ()
    clients: tuple[ClientState, ...] = ()
    max_anonymous_clients: int = 0
    min_workers: int = 0
    max_workers: int = 0
    priority_workers: int = 0
    keepaliveInterval: int = 0xFFFFFFFF
    keepaliveCount: int = 0

    @property
    def sockets(self) -> list[SocketState]:
        """The listening sockets."""
        return [socket for service in self.services for socket in service.sockets]

    def descriptors(self) -> list[int]:
        """Return those of the sockets, and those that wait to be sent to clients."""
        found = [socket.descriptor for socket in self.sockets]
        for client in self.clients:
            found += client.descriptors()
        return found


class OutageState(Struct, frozen=True):
    """A log's file could not be written.

    :ivar lost: bytes that were dropped and that no notice in the file reports yet.
    :ivar action: what failed, and ``errno`` why.
    """

    since: datetime
    lost: int
    action: str
    errno: int


class RateState(Struct, frozen=True, omit_defaults=True):
    """How much a log may still take, by its rate.

    :ivar tokens: bytes that might be written at a time; fewer than none if it had taken too many.
    :ivar at: that time, in seconds of CLOCK_MONOTONIC.
    :ivar lost: bytes that were dropped and that no notice in the file reports yet, and ``since``
        when the first was.
    :ivar rate: bytes a second beyond which they were.
    :ivar in_line: whether the last of them ends no line.
    """

    tokens: int
    at: float
    lost: int = 0
    since: datetime | None = None
    rate: int = 0
    in_line: bool = False


class EndedFile(Struct, frozen=True, gc=False):
    """A file that rotation moved away from the log's path, for readers that come from its end.

    :ivar size: its bytes then.
    :ivar birth: see Position.
    """

    inode: int
    size: int
    birth: str


class FilesState(Struct, frozen=True, omit_defaults=True):
    """What is known of the order of a log's files; see Lineage.

    :ivar current: the current file as it was left; None if there is none.
    """

    cuts: dict[str, str] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
    ended: tuple[EndedFile, ...] = ()
    current: EndedFile | None = None


class Stranded(Struct, frozen=True):
    """Bytes that left a log's pipe and are to be written before all others.

    Another program cut the file while they were written, so that they stood behind a hole.

    :ivar inode: the inode number of that file.
    :ivar offset: the size that the file was cut to, which is where they belong.
    :ivar end: the size of the file while they are behind the hole.
    """

    inode: int
    offset: int
    end: int
    data: bytes


class LogDetails(Struct, frozen=True, omit_defaults=True):
    """What virtlogd does not know of a log.

    :ivar file: the path of the current file.
    :ivar real_path: see OpenLog.
    :ivar steps_left: the steps left of an unfinished rollover; 0 if there is none.
    :ivar has_domain: whether a domain was named.
    :ivar gone: the inodes of files that rotation removed lately; see Writer.
    :ivar order: of the pipes of one log, the one with the lower number goes into the file first.
    :ivar left: of a former guest's pipe: how many of its bytes are still to be written; None of
        the pipe of the guest that has the log now.
    :ivar log: the log's path, where the record has another spelling of it; see
        :func:`former_path`.
    :ivar files: None if there is nothing to be known.
    :ivar stranded: see Writer.
    :ivar capacity: bytes that the pipe holds; 0 if nobody knows.
    :ivar lane: the mount point of the file system that has a thread of its own for all that is
        done with the log's files; None if it has none. Whoever goes on with the log after a crash
        waits for that thread's lock before touching them.
    :ivar staged: the read end of the pipe with bytes that have left this one, and come before what
        is in it; None if there are none. Nothing writes to it any more.
    :ivar rate: None if the log has no rate.
    """

    opened_at: datetime
    file: str
    real_path: str
    bytes_written: int = 0
    rollovers: int = 0
    lost_bytes: int = 0
    outage: OutageState | None = None
    steps_left: int = 0
    has_domain: bool = True
    gone: tuple[int, ...] = ()
    order: int = 0
    left: int | None = None
    log: str | None = None
    files: FilesState | None = None
    stranded: Stranded | None = None
    capacity: int = 0
    lane: str | None = None
    staged: int | None = None
    rate: RateState | None = None


class OpenLogState(Struct, frozen=True):
    """An open log.

    :ivar pipe: the read end of its pipe.
    :ivar details: None if virtlogd says nothing of them.
    """

    pipe: int = field(name="pipefd")
    path: str
    driver: str
    domain_name: str = field(name="domname", default="")
    domain_uuid: str = field(name="domuuid", default=NO_UUID)
    details: LogDetails | None = field(name=_OWN, default=None)

    @property
    def domain(self) -> Domain | None:
        """The guest, if one was named."""
        if self.details is not None and not self.details.has_domain:
            return None
        return Domain(self.domain_uuid, self.domain_name)

    @property
    def log(self) -> str:
        """The path of the log, which several pipes may have."""
        return (self.details and self.details.log) or self.path

    @property
    def staged(self) -> int | None:
        """The pipe with bytes that come before those in this one; see LogDetails."""
        return self.details.staged if self.details else None

    @property
    def order(self) -> int:
        """The place of this pipe among those of the log; see LogDetails."""
        return self.details.order if self.details else 0


def with_dropped(state: OpenLogState, dropped: int, action: str, errno: int) -> OpenLogState:
    """Return a log's state with bytes that were dropped, of which the log has not heard.

    :param action: what failed, if that is not in the state, and ``errno`` why.
    """
    details = state.details
    if not dropped or details is None:
        return state
    outage = details.outage or OutageState(datetime.now(timezone.utc), 0, action, errno)
    outage = msgspec.structs.replace(outage, lost=outage.lost + dropped)
    lost = details.lost_bytes + dropped
    details = msgspec.structs.replace(details, outage=outage, lost_bytes=lost)
    return msgspec.structs.replace(state, details=details)


def by_log(states: Iterable[OpenLogState]) -> list[list[OpenLogState]]:
    """Group the pipes by log: those of former guests in order, the present one last."""
    logs: dict[str, list[OpenLogState]] = {}
    for state in states:
        logs.setdefault(state.log, []).append(state)
    for pipes in logs.values():
        pipes.sort(key=lambda state: state.order)
    return list(logs.values())


def former_path(path: str, order: int) -> str:
    """Return a spelling of a log's path for one of its former guests' pipes, different for each.

    Releases that read version 1 know one pipe for each path, and close any other with what is in
    it. Under another spelling they serve it as a log of its own that has the same file.

    :param order: that of the pipe.
    """
    directory, _, name = path.rpartition("/")
    return f"{directory}/{'/' * (order % (MOST_FORMER + 1) + 1)}{name}"


class Totals(Struct, frozen=True):
    """What was counted of closed logs, and how many logs were opened."""

    opened_logs: int = 0
    bytes_written: int = 0
    bytes_lost: int = 0
    rollovers: int = 0

    @classmethod
    def of(cls, counts: Counts) -> Totals:
        """Return those of a handler's counts, which are of open logs too."""
        return cls(counts.opened_logs, counts.bytes_written, counts.bytes_lost, counts.rollovers)

    def __add__(self, other: Totals) -> Totals:
        """Add what was counted elsewhere."""
        return Totals(
            self.opened_logs + other.opened_logs,
            self.bytes_written + other.bytes_written,
            self.bytes_lost + other.bytes_lost,
            self.rollovers + other.rollovers,
        )


class Kept(Struct, frozen=True):
    """What the service manager keeps of the daemon's descriptors.

    :ivar journal: the name of the journal of open logs.
    :ivar unstored: the names of pipes that it does not have yet.
    :ivar unremoved: the names of pipes that it still has, though their logs are closed.
    :ivar left: the names of pipes of a newer release, which stay there.
    :ivar left_journal: the name of their journal, and ``left_generation`` what that says of itself.
    :ivar lanes: the names of lanes' records and of staging pipes that it has.
    :ivar counts: it has what is counted of logs.
    """

    journal: str
    unstored: tuple[str, ...] = ()
    unremoved: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    left_journal: str | None = None
    left_generation: int | None = None
    lanes: tuple[str, ...] = ()
    counts: bool = False


class LoggingState(Struct, frozen=True):
    """The daemon's own log, as an administrator has set it.

    :ivar level: libvirt's number of it, as are those of filters and outputs.
    :ivar filters: each with its level and what it matches.
    :ivar outputs: each with its level, destination and argument.
    """

    level: int
    filters: tuple[tuple[int, str], ...]
    outputs: tuple[tuple[int, str, str], ...]

    @classmethod
    def of(cls, logging: Logging) -> LoggingState:
        """Return what the daemon's next image needs to log as this one does."""
        return cls(
            logging.level.value,
            tuple((one.priority.value, one.match) for one in logging.filters),
            tuple(
                (one.priority.value, one.destination.value, one.argument) for one in logging.outputs
            ),
        )

    def logging(self) -> Logging:
        """Return what the daemon's former image logged.

        :raises ValueError: there is no such level or destination.
        """
        return Logging(
            Priority(self.level),
            tuple(Filter(Priority(priority), match) for priority, match in self.filters),
            tuple(
                Output(Priority(priority), Destination(destination), argument)
                for priority, destination, argument in self.outputs
            ),
        )


class Details(Struct, frozen=True):
    """What virtlogd does not know of the daemon.

    :ivar version: see :data:`VERSION`; :func:`encode` chooses it.
    :ivar started_at: an aware time.
    :ivar started: the same in seconds of CLOCK_MONOTONIC.
    :ivar servers: those that virtlogd does not have.
    :ivar kept: None without a service manager that keeps descriptors.
    :ivar logging: None if the own log is as configured.
    :ivar timeout: see VirtlogService.set_timeout; None if it was never set.
    :ivar workers: the least and the most threads of the pool; None if they were never set.
    :ivar counts: a descriptor of what is counted of logs; None if there is none.
    :ivar known_logs: the real paths of logs that were opened or appended to; see KnownLogs.
    :ivar hand_overs: how many images have handed over so far, with this one.
    """

    version: int
    started_at: datetime
    started: float
    totals: Totals = Totals()
    servers: dict[str, ServerState] = field(default_factory=dict)
    kept: Kept | None = None
    logging: LoggingState | None = None
    timeout: int | None = None
    workers: tuple[int, int] | None = None
    known_logs: tuple[str, ...] = ()
    hand_overs: int = 0
    counts: int | None = None


class DaemonState(Struct, frozen=True):
    """A daemon that stands still.

    :ivar pid: of the process, which the exec does not change.
    :ivar servers: by name.
    :ivar details: None if virtlogd wrote the document.
    """

    pid: int
    servers: dict[str, ServerState]
    logs: tuple[OpenLogState, ...]
    details: Details | None = None

    def for_virtlogd(self) -> DaemonState:
        """Return the state without what virtlogd does not have."""
        theirs = {name: self.servers[name] for name in OF_VIRTLOGD if name in self.servers}
        return DaemonState(self.pid, theirs, self.logs)

    def descriptors(self) -> list[int]:
        """Return all descriptors that must stay open, each once."""
        found = [log.pipe for log in self.logs]
        found += [log.staged for log in self.logs if log.staged is not None]
        for server in self.servers.values():
            found += server.descriptors()
        if self.details is not None and self.details.counts is not None:
            found.append(self.details.counts)
        # (those who follow one log share its files)
        return list(dict.fromkeys(found))


def beyond(state: DaemonState, version: int) -> str | None:
    """Return what a release that reads a version would misread and lose; None if nothing."""
    return next((reason for needed, reason in _reasons(state) if needed > version), None)


def needed_version(state: DaemonState) -> int:
    """Return the lowest version of a document that can say everything of a state."""
    needed = _least_version(state)
    return max(needed, SUBSCRIPTIONS_VERSION) if _has_subscriptions(state) else needed


def _least_version(state: DaemonState) -> int:
    """Return the lowest version by whose reader nothing is misread and nothing lost."""
    return max((needed for needed, _ in _reasons(state)), default=1)


def _has_subscriptions(state: DaemonState) -> bool:
    return any(client.follows for server in state.servers.values() for client in server.clients)


def _reasons(state: DaemonState) -> Iterator[tuple[int, str]]:
    """Yield what needs a version above the first, with that version."""
    for log in state.logs:
        if log.staged is not None:
            waits = (
                "has bytes on the way from its guest's pipe to its file, which does not take them"
            )
            yield 3, f"{log.log} {waits}"
        if log.details is not None and log.details.left is not None:
            precedes = "has output of a guest before the present one in a pipe of its own"
            yield 2, f"{log.log} {precedes}, as its file cannot be written"
        if log.details is not None and log.details.stranded is not None:
            yield 2, f"{log.path} has bytes that have left its pipe and wait for its file"
    kept = state.details.kept if state.details else None
    if kept is not None and kept.left_journal is not None:
        yield 2, "a newer release has left pipes in the service manager's store"


class _Daemon(Struct):
    servers: dict[str, ServerState]


class _Handler(Struct):
    files: tuple[OpenLogState, ...] = ()


class _Document(Struct):
    magic: str
    daemon: _Daemon
    handler: _Handler
    details: Details | None = field(name=_OWN, default=None)


def encode(state: DaemonState, version: int | None = None) -> bytes:
    """Return the document; see :func:`encoded`."""
    return b"".join(encoded(state, version))


def encoded(state: DaemonState, version: int | None = None) -> Iterator[bytes]:
    """Return the document in pieces, as answers that clients have not read may be hundreds of MiB.

    Bytes of paths that are not UTF-8 stay as they are, as in virtlogd's.

    :param version: its version; None for the lowest possible.
    :raises StateError: it cannot have that version.
    """
    version = check_version(state, version)
    theirs = {name: server for name, server in state.servers.items() if name in OF_VIRTLOGD}
    ours = {name: server for name, server in state.servers.items() if name not in theirs}
    details = state.details
    if details is not None:
        details = msgspec.structs.replace(details, servers=ours, version=version)
    document = _Document(str(state.pid), _Daemon(theirs), _Handler(state.logs), details)
    # It stands where long bytes are to be.
    mark = os.urandom(16).hex()
    long: list[bytes] = []

    def text_of(data: bytes) -> str:
        if len(data) <= _LONG_BYTES:
            return base64.b64encode(data).decode()
        long.append(data)
        return mark

    built = msgspec.to_builtins(document, builtin_types=(bytes,))
    text = json.dumps(built, ensure_ascii=False, default=text_of)
    return _with_long(text.split(mark), long)


def _with_long(parts: list[str], long: list[bytes]) -> Iterator[bytes]:
    """Yield a document's parts, and between them what is long."""
    yield parts[0].encode("utf-8", "surrogateescape")
    for data, part in zip(long, parts[1:], strict=True):
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            yield base64.b64encode(view[start : start + _PIECE_BYTES])
        yield part.encode("utf-8", "surrogateescape")


def check_version(state: DaemonState, version: int | None) -> int:
    """Choose the version of a state's document.

    :param version: the one that is asked for; None for the lowest possible. Subscriptions have to
        be ended for one that does not know them.
    :raises StateError: it cannot have that version.
    """
    if version is None:
        return needed_version(state)
    if version < _least_version(state):
        raise StateError(
            f"a state of version {version} cannot say all that there is: {beyond(state, version)}"
        )
    return version


# (msgspec's errors are ValueErrors only in its newer releases)
_MISTAKES = (ValueError, TypeError, AttributeError, RecursionError, msgspec.MsgspecError)


def decode(text: bytes | mmap) -> DaemonState:
    """Read a document of this version, of an older one, or of virtlogd.

    :raises StateError: it is not one.
    """
    try:
        document = _decode_long(text)
        if document is None:
            raw = json.loads(bytes(text).decode("utf-8", "surrogateescape"))
            _check_version(raw)
            document = msgspec.convert(_normalised(raw), _Document)
        pid = int(document.magic)
    except _MISTAKES as error:
        raise StateError(f"the hand-over document cannot be read: {error}") from error
    details = document.details
    servers = {**document.daemon.servers, **(details.servers if details else {})}
    state = DaemonState(pid, servers, document.handler.files, details)
    for descriptor in state.descriptors():
        if not 0 <= descriptor <= _INT_MAX:
            raise StateError(
                f"the hand-over document cannot be read: {descriptor} is not a descriptor"
            )
    return state


def _decode_long(text: bytes | mmap) -> _Document | None:
    """Decode a long document as it is, as text and objects would take several times its memory.

    :returns: None if that needs more care: it is short, has paths that are not UTF-8, is of a form
        that virtlogd no longer writes, or has a mistake.
    """
    if len(text) <= _LONG_DOCUMENT_BYTES:
        return None
    try:
        document = msgspec.json.decode(text, type=_Document)
    except _MISTAKES:
        return None
    is_newer = document.details is not None and document.details.version > VERSION
    return None if is_newer else document


def _check_version(raw: dict[str, Any]) -> None:
    details = raw.get(_OWN)
    version = details.get("version") if isinstance(details, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise StateError(
            f"the hand-over document is of version {version}, made by a newer release;"
            f" this one reads versions up to {VERSION}: hand over to a release that reads it, or"
            f" have it written for this one, with virtlogctl reexec --state-version {VERSION}"
        )


def _normalised(raw: dict[str, Any]) -> dict[str, Any]:
    """Bring the older forms of virtlogd's document into the present one."""
    daemon = raw.get("daemon")
    if not isinstance(daemon, dict):
        return raw
    servers = daemon.get("servers", [daemon])
    if isinstance(servers, list):
        # Without names: the log program's server, then perhaps the admin program's.
        servers = dict(zip(OF_VIRTLOGD, servers, strict=False))
    return {**raw, "daemon": {"servers": servers}}
