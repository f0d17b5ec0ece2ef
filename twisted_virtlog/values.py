"""The frozen values that several packages share."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

#: The longest name of a driver or a guest, in characters. It is kept for each open log, and is part
#: of every list of them. libvirt's own names are far shorter, as they are parts of file names.
MAX_NAME_CHARACTERS = 1024

#: The most backups; with more in the configuration, calls are refused, as virtlogd does.
MAX_BACKUPS = 32

#: The most files that are opened for one request; so many descriptors fit into one message.
MAX_OPENED_FILES = 64

#: The most bytes that one request may read from a log: libvirt's limit, and JSON-RPC's.
MAX_READ_BYTES = 4 * 1024 * 1024


class Position(msgspec.Struct, frozen=True, gc=False):
    """A point in a log that stays valid while rotation renames the file.

    :ivar inode: the inode number of the file.
    :ivar offset: bytes from the beginning of that file.
    :ivar birth: distinguishes the file from an earlier one with the same inode number; "" if that
        is not known. The functions at the end of this module compare births.
    """

    inode: int
    offset: int
    birth: str = ""


class Domain(msgspec.Struct, frozen=True, gc=False):
    """The guest that a log belongs to; the same one may open its log again.

    :ivar uuid: 36 characters, such as ``c7a5fdbd-edaf-9455-926a-d65c16db1809``.
    :ivar name: the guest's name.
    """

    uuid: str
    name: str


class Opened(msgspec.Struct, frozen=True):
    """A log that was opened.

    :ivar position: the end of the file, where the first byte will be written.
    :ivar write_end: a descriptor of the write end of the log's pipe, in blocking mode and
        close-on-exec. Whoever takes this value owns it, and must pass it on or close it.
    """

    position: Position
    write_end: int


class Excerpt(msgspec.Struct, frozen=True):
    """Bytes read from a log.

    :ivar pieces: the bytes, exactly as the guest wrote them; many are in several pieces, as
        megabytes take their time to be joined.
    :ivar start: where they begin.
    :ivar end: where to continue reading.
    :ivar gap: whether the position asked for was rotated away (or cut off by another program), so
        that ``start`` is the oldest byte kept after it.
    :ivar final: whether the log is not open, so that bytes follow ``end`` only after an append or
        another open.
    """

    pieces: tuple[bytes, ...]
    start: Position
    end: Position
    gap: bool
    final: bool

    @property
    def data(self) -> bytes:
        """All the bytes, joined anew each time if they are in several pieces."""
        pieces = self.pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Closed(msgspec.Struct, frozen=True):
    """A log that was closed on request, whoever still held the write end of its pipe.

    :ivar position: the end of the log's file; None if the file cannot be queried.
    :ivar dropped: bytes of the pipe that could not be written and are lost.
    """

    position: Position | None
    dropped: int


class Removed(msgspec.Struct, frozen=True):
    """What was removed of logs.

    :ivar files: how many.
    :ivar bytes: how many were in them.
    """

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Removed) -> Removed:
        """Return both together."""
        return Removed(self.files + other.files, self.bytes + other.bytes)


class LogState(enum.Enum):
    """Whether the file of a log can be written."""

    OPEN = "open"
    FAILING = "failing"
    #: The log is known, and not open.
    CLOSED = "closed"


class LogStatus(msgspec.Struct, frozen=True, gc=False):
    """What operators see of a log that is open, or known.

    :ivar position: the end of the current file, without what is still in the pipe; None if the log
        is closed.
    :ivar opened_at: an aware time, UTC; of a log that is closed, when it was opened last.
    :ivar bytes_written: bytes moved into files since the log was opened.
    :ivar rollovers: how often a new file was begun since the log was opened.
    :ivar error: why the file cannot be written, if ``state`` is FAILING.
    :ivar lost_bytes: bytes read and dropped since the log was opened, as they could not be written
        or were beyond the log's rate.
    :ivar pipe: the pipe's inode number, which /proc/PID/fd shows for processes that hold an end;
        None if the log is closed.
    :ivar pending: bytes that could not be written when they were counted last, and wait; None while
        that is not known.
    :ivar thread: where the file system is mounted whose own thread writes the log; None if the
        reactor writes it.
    :ivar followers: how many follow the log.
    :ivar kept: bytes of the log in all its files, as they were last seen.
    :ivar closed_at: when it was closed, if it is and that is known; an aware time, UTC.
    :ivar errno: the error behind ``error``.
    """

    path: str
    driver: str
    domain: Domain | None
    position: Position | None
    opened_at: datetime
    bytes_written: int
    rollovers: int
    state: LogState
    error: str | None
    lost_bytes: int
    pipe: int | None
    pending: int | None = 0
    thread: str | None = None
    followers: int = 0
    kept: int = 0
    closed_at: datetime | None = None
    errno: int | None = None


class KeptFile(msgspec.Struct, frozen=True, gc=False):
    """A file of a log.

    :ivar birth: see Position.
    :ivar size: its bytes.
    :ivar modified_at: when it was written last, as the file system says; an aware time, UTC.
    :ivar file_system: tells its file system apart, also after a reboot; "" where nothing does.
    :ivar parted: bytes are, or may be, missing between the file before it and this one.
    :ivar is_packed: it holds them compressed; all else is said of the file that it was.
    """

    inode: int
    birth: str
    size: int
    modified_at: datetime
    file_system: str
    parted: bool = False
    is_packed: bool = False


class LeftDescriptor(int):
    """A descriptor that its owner leaves to another thread to close, as that may take long.

    :ivar leave: has it closed; called in the reactor's thread, once.
    """

    leave: Callable[[], None]


class OpenedFile(msgspec.Struct, frozen=True, gc=False):
    """A file of a log, open for reading.

    :ivar descriptor: close-on-exec. Whoever takes this value owns it, and must pass it on or close
        it; it may be a LeftDescriptor.
    """

    kept: KeptFile
    descriptor: int


class OpenedFiles(msgspec.Struct, frozen=True):
    """Files of a log, open for reading, the oldest first.

    :ivar more: there are newer ones.
    """

    files: tuple[OpenedFile, ...]
    more: bool


class Followed(msgspec.Struct, frozen=True):
    """What comes next in a log that is followed.

    :ivar pieces: the bytes, exactly as they are in the files.
    :ivar start: where they begin.
    :ivar end: where they end, for :meth:`.IFollower.advance`.
    :ivar gap: bytes are missing before ``start``.
    :ivar missed: how many bytes; None where that is not known, or there is no gap.
    :ivar final: nothing will complete a character that is not complete at the end.
    """

    pieces: tuple[bytes, ...]
    start: Position
    end: Position
    gap: bool = False
    missed: int | None = None
    final: bool = False


class EndReason(enum.Enum):
    """Why a log is not followed any more.

    The values are those that clients see.
    """

    UNFOLLOWED = "unfollowed"
    #: The guest is gone, and all is sent.
    CLOSED = "closed"
    #: The files cannot be read.
    FAILED = "failed"
    SHUTTING_DOWN = "shutting down"


class FollowEnd(msgspec.Struct, frozen=True):
    """The end of a log that is followed.

    :ivar error: why its files cannot be read, if that is the reason; a LogError.
    """

    reason: EndReason
    error: Exception | None = None


class WatchKind(enum.Enum):
    """What happened to a log. The values are the ends of the notifications' names."""

    OPENED = "opened"
    CLOSED = "closed"
    STATE = "state"


class Watched(msgspec.Struct, frozen=True):
    """Something happened to a log.

    :ivar status: of the log, afterwards.
    """

    kind: WatchKind
    status: LogStatus


class TimeRange(msgspec.Struct, frozen=True):
    """A part of a log of which bytes may have arrived in the time that was asked for.

    :ivar since: the earliest time at which a byte of it may have arrived; an aware time, UTC.
    :ivar until: the latest.
    :ivar exact_s: by how many seconds the ends may be off; None where no time is known.
    """

    start: Position
    end: Position
    since: datetime
    until: datetime
    exact_s: float | None


class TimeMark(msgspec.Struct, frozen=True):
    """Bytes below the position had arrived by the time, which is an aware one, UTC."""

    position: Position
    time: datetime


class Boot(msgspec.Struct, frozen=True):
    """One opening of a log.

    :ivar opened_at: an aware time, UTC.
    :ivar closed_at: likewise; None if the log is open still, or nobody knows.
    """

    start: Position
    opened_at: datetime
    closed_at: datetime | None
    driver: str
    domain: Domain | None


class EventKind(enum.Enum):
    """What can happen to a log. The values are those that clients see."""

    OPENED = "opened"
    CLOSED = "closed"
    #: The file cannot be written.
    OUTAGE = "outage"
    #: It can again.
    RECOVERED = "recovered"
    #: Bytes are lost.
    DROPPED = "dropped"
    #: Another program has cut the file.
    CUT = "cut"
    #: Bytes are missing between two files.
    GAP = "gap"


class LogEvent(msgspec.Struct, frozen=True):
    """Something that happened to a log.

    :ivar position: the end of the log's file then.
    :ivar time: an aware time, UTC.
    :ivar bytes: how many bytes it is about; None where that says nothing.
    """

    position: Position
    time: datetime
    kind: EventKind
    bytes: int | None = None


class OnWriteError(enum.Enum):
    """What happens while a log's file cannot be written and its pipe is full.

    The values are those of the configuration's key.
    """

    #: Bytes are dropped and counted, and the guest is never blocked for long.
    DROP = "drop"
    #: The guest waits.
    BLOCK = "block"


class PolicyWord(Struct, frozen=True):
    """What holds for a log.

    :ivar source: what says so: "policies[N]", counted from 0, the name of the key that the
        configuration file sets, or "default".
    :ivar entry: the text of that entry of policies, if it is one.
    """

    value: int | str
    source: str
    entry: str | None = None


class OnRate(enum.Enum):
    """What becomes of what a guest writes beyond its log's rate; the values are those of the key.

    The daemon either drops and counts it, so that the guest goes on, or leaves it in the pipe, so
    that the guest waits when that is full.
    """

    DROP = "drop"
    BLOCK = "block"


class Compress(enum.Enum):
    """What backups are packed by; the values are those of the key."""

    ZSTD = "zstd"
    NOTHING = ""


class DropReason(enum.Enum):
    """Why bytes of a guest are lost.

    The values are those that clients see.
    """

    #: The file could not be written, and the pipe was full or the guest gone.
    WRITE_ERROR = "write_error"
    #: The guest wrote more than its log may take in that time.
    RATE = "rate"
    #: The files would have become larger than they may be.
    QUOTA = "quota"
    #: The log was closed before its file took them.
    STOPPED = "stopped"


class RemovalReason(enum.Enum):
    """Why a log's file was removed by the daemon.

    The values are those that clients see.
    """

    #: There are as many backups as there may be.
    ROTATION = "rotation"
    #: It was not written for long.
    AGE = "age"
    #: The files would have become larger than they may be.
    QUOTA = "quota"
    #: Who opened the log wanted an empty one.
    TRUNCATE = "truncate"
    #: A client asked for it.
    ASKED = "asked"


class Dropped(msgspec.Struct, frozen=True):
    """Bytes of guests that are lost; see DropReason."""

    write_error: int = 0
    rate: int = 0
    quota: int = 0
    stopped: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.write_error + self.rate + self.quota + self.stopped

    def of(self, reason: DropReason) -> int:
        """Return those that are lost for a reason."""
        count: int = getattr(self, reason.value)
        return count

    def __add__(self, other: Dropped) -> Dropped:
        """Add those of other logs."""
        return _added(self, other)


class Intake(msgspec.Struct, frozen=True):
    """What guests wrote, in bytes.

    :ivar received: what has left their pipes, and what is in them.
    :ivar pending: what is in no file yet.
    """

    received: int
    dropped: Dropped
    pending: int

    def __add__(self, other: Intake) -> Intake:
        """Add that of other logs."""
        return _added(self, other)


class Written(msgspec.Struct, frozen=True):
    """Bytes that were written into logs: by guests, by clients, and the daemon's own lines."""

    guest: int = 0
    appended: int = 0
    notices: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.guest + self.appended + self.notices

    def __add__(self, other: Written) -> Written:
        """Add those of other logs."""
        return _added(self, other)


class ByteSums(msgspec.Struct, frozen=True):
    """What all logs have written, and what of their guests is lost."""

    written: Written
    dropped: Dropped


class RemovedBytes(msgspec.Struct, frozen=True):
    """Bytes in files that the daemon removed; see RemovalReason."""

    rotation: int = 0
    age: int = 0
    quota: int = 0
    truncate: int = 0
    asked: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.rotation + self.age + self.quota + self.truncate + self.asked

    def __add__(self, other: RemovedBytes) -> RemovedBytes:
        """Add those of other logs."""
        return _added(self, other)


class Outside(msgspec.Struct, frozen=True):
    """What other programs did to logs' files, in bytes.

    :ivar cut: a file became smaller.
    :ivar removed: a file is not there, or not under its name.
    :ivar added: a file became larger, or came to be there.
    """

    cut: int = 0
    removed: int = 0
    added: int = 0

    def __add__(self, other: Outside) -> Outside:
        """Add that of other logs."""
        return _added(self, other)


class Storage(msgspec.Struct, frozen=True):
    """What is, and was, in logs' files, in bytes.

    :ivar found: when the logs were opened.
    :ivar kept: now.
    :ivar held: now, for consumers that have not read it.
    """

    found: int
    kept: int
    held: int
    removed: RemovedBytes
    outside: Outside

    def __add__(self, other: Storage) -> Storage:
        """Add that of other logs."""
        return _added(self, other)


class ConsumerStatus(msgspec.Struct, frozen=True, gc=False):
    """What a consumer has read of a log, and has yet to read; sizes in bytes.

    :ivar path: of the log, without symbolic links.
    :ivar position: up to where it has acknowledged; None if it has acknowledged nothing, and the
        log is held for it.
    :ivar lag_bytes: what is kept of the log after that; None where nobody can tell now.
    :ivar lag_seconds: how long ago it acknowledged last; 0 if nothing is left to read, None if it
        has never acknowledged.
    :ivar held_bytes: what is in the log's held files, whoever they are held for.
    :ivar unread_bytes: what went before the consumer had acknowledged it.
    """

    consumer: str
    path: str
    position: Position | None
    lag_bytes: int | None
    lag_seconds: float | None
    held_bytes: int
    unread_bytes: int


class Ledger(msgspec.Struct, frozen=True):
    """What became of every byte of a log, or of all logs together.

    :ivar since: when the first of them was counted; an aware time, UTC.
    :ivar storage: None for what is no regular file.
    :ivar unread: by consumer, bytes that it has not read.
    :ivar holds: whether the counts agree; None where there is nothing to compare.
    """

    since: datetime
    intake: Intake
    written: Written
    storage: Storage | None
    unread: dict[str, int]
    holds: bool | None

    def with_files_of(self, log: Ledger) -> Ledger:
        """Return what is counted of all logs with what waits in one, and what is in its files.

        It holds no more if that of the log does not.
        """
        waiting = Intake(log.intake.pending, Dropped(), log.intake.pending)
        storage = self.storage
        if storage is not None and log.storage is not None:
            storage += log.storage
        holds = self.holds and log.holds is not False
        return msgspec.structs.replace(
            self, intake=self.intake + waiting, storage=storage, holds=holds
        )

    @property
    def intake_gap(self) -> int:
        """How many bytes more were received than can be accounted for; 0 if the equation holds."""
        intake = self.intake
        return intake.received - self.written.guest - intake.dropped.total - intake.pending

    @property
    def storage_gap(self) -> int:
        """How many bytes more came into the files than can be accounted for; of a single log."""
        storage = self.storage
        if storage is None:
            return 0
        outside = storage.outside
        came = storage.found + self.written.total + outside.added
        left = storage.removed.total + outside.cut + outside.removed
        return came - storage.kept - storage.held - left


_Sum = TypeVar("_Sum", bound=msgspec.Struct)


def _added(one: _Sum, other: _Sum) -> _Sum:
    """Add the fields of two values of a kind, each to that of the same name."""
    sums = (getattr(one, name) + getattr(other, name) for name in one.__struct_fields__)
    return type(one)(*sums)


class FileThreads(enum.Enum):
    """Which file systems have a thread of their own, if they are not named one by one.

    The values are those of the configuration's key.
    """

    #: Those that wait for a server or another process, and others for a while after one was slow.
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Counts(msgspec.Struct, frozen=True):
    """Totals of the log handler since the daemon started, and what it has now.

    :ivar open_logs: logs open now.
    :ivar failing_logs: open logs whose file cannot be written now.
    :ivar known_logs: logs that are open, or were opened or appended to before.
    :ivar followed_logs: logs that somebody follows, open or not.
    :ivar followed_files: files that are kept open for those who read them.
    :ivar lanes: threads of file systems now.
    :ivar lane_oldest_s: for how many seconds the longest of their present operations has lasted; 0
        if they have nothing to do.
    """

    open_logs: int
    failing_logs: int
    opened_logs: int
    bytes_written: int
    bytes_lost: int
    rollovers: int
    known_logs: int
    lanes: int = 0
    lane_oldest_s: float = 0.0
    followed_logs: int = 0
    followed_files: int = 0


class Start(msgspec.Struct, frozen=True):
    """When the daemon started, before any hand-overs.

    :ivar at: an aware time.
    :ivar monotonic: the same in seconds of CLOCK_MONOTONIC, which never steps.
    """

    at: datetime
    monotonic: float


class DaemonStatus(msgspec.Struct, frozen=True):
    """What the daemon is, and how much it has done.

    :ivar started_at: an aware time, UTC.
    :ivar uptime_s: seconds since then, by a steady clock.
    :ivar limits: by name, as the configuration has them.
    :ivar clients: the number of clients connected now, of all servers.
    """

    version: str
    pid: int
    started_at: datetime
    uptime_s: float
    limits: dict[str, int]
    counts: Counts
    clients: int


class MetricsLogs(enum.Enum):
    """Which logs have metrics of their own.

    The values are those of the configuration's key.
    """

    NONE = "none"
    #: Those that cannot be written, or have lost bytes.
    SOME = "some"
    ALL = "all"


class MetricsText(msgspec.Struct, frozen=True):
    """What the daemon counts and measures, as Prometheus reads it.

    :ivar media_type: of the text.
    :ivar pieces: of the text, which is in UTF-8; each ends with a line. Whoever takes it may empty
        it.
    """

    media_type: str
    pieces: deque[bytes]


class Space(msgspec.Struct, frozen=True):
    """How much room there is on a file system with logs.

    :ivar mount: where it is mounted.
    :ivar kind: its type, such as ``ext4``.
    :ivar available_bytes: those that are left for anybody.
    :ivar files: how many there may be; 0 where there is no such limit.
    """

    mount: str
    kind: str
    size_bytes: int
    available_bytes: int
    files: int
    available_files: int


class MountThread(msgspec.Struct, frozen=True):
    """The thread of a file system that may not answer.

    :ivar mount: where it is mounted.
    :ivar logs: how many are written in it.
    :ivar waited_s: for how many seconds its present operation has lasted; 0 if it has none.
    """

    mount: str
    logs: int
    waited_s: float


class DiskUse(msgspec.Struct, frozen=True):
    """What all logs take up on disk, where that is counted.

    :ivar max_bytes: what they may; 0 for no limit.
    """

    used_bytes: int
    max_bytes: int


class ConsumerSums(msgspec.Struct, frozen=True):
    """What a consumer has of all logs together.

    :ivar logs: how many it has acknowledged, or are held for it.
    :ivar unread_bytes: what went before it had acknowledged it.
    """

    consumer: str
    logs: int
    unread_bytes: int


class HeldUse(msgspec.Struct, frozen=True):
    """What held files take up on disk, and what consumers have of logs.

    :ivar max_bytes: what they may; 0 for no limit.
    :ivar consumers: those that the configuration names, and others that have something.
    """

    used_bytes: int
    max_bytes: int
    consumers: Sequence[ConsumerSums] = ()


class PackingFigures(msgspec.Struct, frozen=True):
    """How compressing backups fares.

    :ivar files: how many were compressed since the process began.
    :ivar bytes: their sizes before that, and ``packed_bytes`` after it.
    :ivar waiting: the logs that will be looked at for some.
    """

    files: int = 0
    bytes: int = 0
    packed_bytes: int = 0
    waiting: int = 0


class IndexFigures(msgspec.Struct, frozen=True):
    """How the index beside the logs fares.

    :ivar is_failing: its file cannot be used now.
    :ivar lost_notes: how many notes were forgotten, as they could not be written.
    :ivar waiting_notes: how many its thread has yet to take.
    :ivar waited_s: for how many seconds its thread has been at what it is at.
    """

    is_failing: bool
    lost_notes: int
    waiting_notes: int
    waited_s: float


class ProcessFigures(msgspec.Struct, frozen=True):
    """What the system tells of the daemon's process.

    :ivar processor_seconds: of processor time.
    :ivar started_at: in seconds since 1970.
    :ivar descriptors: how many are open.
    """

    processor_seconds: float
    resident_bytes: int
    virtual_bytes: int
    started_at: float
    descriptors: int
    max_descriptors: int


class ClientInfo(msgspec.Struct, frozen=True, gc=False):
    """A connected client of a server.

    :ivar id: counts from 1 for each server and is never used again.
    :ivar connected_at: an aware time, UTC, in full seconds.
    :ivar pid: the process that connected, with its ``uid`` and ``gid`` at that time.
    :ivar user: the name that ``uid`` has now, None if it has none.
    :ivar group: the name that ``gid`` has now, None if it has none.
    """

    id: int
    connected_at: datetime
    pid: int
    uid: int
    user: str | None
    gid: int
    group: str | None


class ClientLimits(msgspec.Struct, frozen=True):
    """How many clients a server has, and may have.

    :ivar max_clients: with this many connected, others wait until one leaves.
    :ivar max_anonymous: the limit of clients that are not authenticated yet; never reached, as
        clients are authenticated at once.
    :ivar refused: how many connections were closed at once, as their users may not connect.
    """

    clients: int
    max_clients: int
    max_anonymous: int
    refused: int = 0


class ThreadPoolStatus(msgspec.Struct, frozen=True):
    """The threads that read files: those of the reactor, which all servers share.

    :ivar workers: the number of threads now.
    :ivar free_workers: how many of these are idle.
    :ivar priority_workers: a number that libvirt's tools may set for each server, without effect.
    :ivar waiting_jobs: the number of jobs that wait for a thread.
    """

    min_workers: int
    max_workers: int
    workers: int
    free_workers: int
    priority_workers: int
    waiting_jobs: int


class Priority(enum.IntEnum):
    """How serious a message of the daemon is.

    The level, each filter and each output let messages through from one of these on.
    """

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4


class Filter(Struct, frozen=True):
    """Lets messages of some parts of the daemon through to the outputs from another priority on.

    :ivar match: a shell pattern for the name of the part, as ``*logs*``.
    """

    priority: Priority
    match: str

    def __str__(self) -> str:
        return f"{self.priority.value}:{self.match}"


class Destination(enum.Enum):
    """Where an output goes."""

    STDERR = "stderr"
    FILE = "file"
    SYSLOG = "syslog"
    JOURNALD = "journald"


class Output(Struct, frozen=True):
    """A place where messages go that were let through, from a priority on.

    :ivar argument: the absolute path of a file, the identifier of syslog, otherwise empty.
    """

    priority: Priority
    destination: Destination
    argument: str = ""

    def __str__(self) -> str:
        parts = [str(self.priority.value), self.destination.value]
        return ":".join([*parts, self.argument] if self.argument else parts)


class Logging(Struct, frozen=True):
    """What the daemon itself logs, and where.

    :ivar level: for messages that no filter matches.
    """

    level: Priority
    filters: tuple[Filter, ...]
    outputs: tuple[Output, ...]


# A conversation that stands still while the daemon hands over to its next image. These are parts of
# the hand-over document (handover/state.py): a field's name is written there.


class Queued(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes that a client has not taken yet, and the descriptors that go with the first of them."""

    data: bytes
    descriptors: tuple[int, ...] = ()


class TrailPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of a log that is followed, as far as it lies in one file; see logs.following.segments.

    :ivar file: a descriptor of its file, if that has no name of the log's any more; -1 if it has.
    """

    inode: int
    birth: str
    begin: int
    end: int
    extent: int
    lost: int = 0
    is_live: bool = False
    parted: bool = False
    is_aside: bool = False
    file: int = -1


class FollowerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A log that a client follows, for the daemon's next image.

    :ivar path: as the client spelled it.
    :ivar position: what comes next begins there; None for the log's first byte, or, with
        ``from_opening``, its end then.
    :ivar from_opening: nothing is to be sent before the daemon has opened the log.
    :ivar until_closed: it ends with the first close.
    :ivar was_open: the log was open since it is followed.
    :ivar parts: of the log from that position on, the oldest first.
    :ivar closes_in: the number of the part in which it ends, as the log was closed, and
        ``closes_at`` the offset there.
    """

    path: str
    position: Position | None
    from_opening: bool = False
    until_closed: bool = False
    was_open: bool = False
    parts: tuple[TrailPart, ...] = ()
    closes_in: int | None = None
    closes_at: int = 0

    @property
    def files(self) -> list[int]:
        """The descriptors that it has."""
        return [part.file for part in self.parts if part.file >= 0]


class SubscriptionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subscription of a client.

    :ivar number: by which the client knows it.
    :ivar follower: None if it watches which logs there are.
    :ivar encoding: of what is followed, as JSON-RPC has it.
    :ivar watched: what happened to logs, if it watches, and is still to be told.
    """

    number: int
    follower: FollowerState | None = None
    encoding: str = "utf-8"
    watched: tuple[Watched, ...] = ()


class HTTPState(msgspec.Struct, frozen=True, omit_defaults=True):
    """An HTTP request that is half received, or half answered.

    :ivar head: its request line and fields, as they came.
    :ivar body: what came of its body, decoded; empty if it is dropped.
    :ivar part: the part of the body that comes next.
    :ivar left: bytes that are still to come of that part.
    :ivar dropped: bytes of the body that were dropped, as the request will be refused.
    :ivar too_long: the body is longer than it may be.
    :ivar answering: the request is complete, and a part of its answer was sent.
    """

    head: bytes
    body: bytes = b""
    part: str = ""
    left: int = 0
    dropped: int = 0
    too_long: bool = False
    answering: bool = False


class Suspended(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conversation that stands still between two requests.

    :ivar received: bytes that came and are not carried out, from the first byte of a request on
        (of an HTTP request under way, what comes after ``http``).
    :ivar skipping: bytes of a refused line that were dropped while its end is looked for; with
        headers, bytes of a refused text that are still to be dropped.
    :ivar lost: nothing that comes can be understood any more.
    :ivar batch: what is left of a JSON-RPC batch, as an array.
    :ivar batch_begun: a part of the batch's answer was made.
    :ivar input_ended: the client sends nothing more.
    :ivar closed: nothing more is carried out.
    :ivar framing: a name of jsonrpc/sniffing.py; None while the first bytes have not told it.
    :ivar framing_lost: what ``lost`` is for texts alone. With another framing ``lost`` is true, so
        that older releases, which know no other, close the connection.
    :ivar http: the request under way, if the framing is HTTP.
    :ivar gathered: the part of the batch's answer that was made and not sent.
    :ivar subscriptions: of JSON-RPC, and ``last_subscription`` the number of the latest.
    """

    received: bytes = b""
    skipping: int | None = None
    lost: bool = False
    batch: bytes | None = None
    batch_begun: bool = False
    input_ended: bool = False
    closed: bool = False
    framing: str | None = None
    framing_lost: bool = False
    http: HTTPState | None = None
    gathered: Queued | None = None
    subscriptions: tuple[SubscriptionState, ...] = ()
    last_subscription: int = 0


# Births. One is ``KIND.FILE`` or ``KIND.FILE+CUT``. FILE comes from the file itself, and KIND says
# how (logs/files/identity.py); CUT is there when another program was seen to cut the file, and says
# when. To everybody else a birth is opaque.

_KIND_END = "."
_CUT_BEGIN = "+"


def birth_with_cut(birth: str, cut: str) -> str:
    """Return the birth of a file after a cut.

    :param birth: of the file itself, without a cut.
    :param cut: "" if none was seen.
    """
    return f"{birth}{_CUT_BEGIN}{cut}" if birth and cut else birth


def birth_without_cut(birth: str) -> str:
    """Return the part of a birth that comes from the file itself."""
    return birth.partition(_CUT_BEGIN)[0]


def is_in_other_file(of_position: str, of_file: str) -> bool:
    """Return whether a position is known to lie in another file.

    :param of_position: the birth in the position; "" where it has none.
    :param of_file: the birth of a file with the position's inode number.
    """
    position_file, file = birth_without_cut(of_position), birth_without_cut(of_file)
    # Those of different kinds cannot be compared.
    return position_file != file and _kind(position_file) == _kind(file)


def is_outdated(of_position: str, of_file: str) -> bool:
    """Return whether a position is known to lie in another file, or before the file was cut.

    :param of_position: the birth in the position; "" where it has none.
    :param of_file: the birth of a file with the position's inode number, as known now. If it has no
        cut, none is known any more, and that of the position decides nothing.
    """
    if is_in_other_file(of_position, of_file):
        return True
    cut = of_file.partition(_CUT_BEGIN)[2]
    cut_since = cut not in {"", of_position.partition(_CUT_BEGIN)[2]}
    return cut_since and _kind(of_position) == _kind(of_file)


def _kind(birth: str) -> str:
    return birth.partition(_KIND_END)[0]
