"""The table of calls: the daemon's methods as every client has them.

A method is defined here, in :mod:`.history_calls` or in :mod:`.admin_calls`, once for all clients:
with the type of its result, what is sent, and how the answer is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from twisted_virtlog.client.admin_calls import AdminCalls
from twisted_virtlog.client.call import Call, call, decoder, plain
from twisted_virtlog.client.history_calls import HistoryCalls
from twisted_virtlog.client.members import bytes_of, position_member
from twisted_virtlog.values import Closed, Domain, Ledger, Opened, Position, Removed

R = TypeVar("R")
W = TypeVar("W")

DEFAULT_READ_BYTES = 1024 * 1024


class Chunk(msgspec.Struct, frozen=True):
    """Bytes read from a log.

    :ivar data: the bytes, exactly as they were written; empty at the live end.
    :ivar start: where they begin.
    :ivar end: where to go on reading.
    :ivar gap: whether the position asked for was rotated away, so that ``start`` is the oldest byte
        kept.
    """

    data: bytes
    start: Position
    end: Position
    gap: bool


class LogInfo(msgspec.Struct, frozen=True):
    """A log that is open, or that the daemon knows.

    What an older daemon does not say is None.

    :ivar position: the end of the log's file, without what is still in the pipe; None if the log is
        closed.
    :ivar opened_at: an aware time; of a closed log, when it was opened last.
    :ivar bytes: bytes written to files since the log was opened.
    :ivar rollovers: the number of times that the log was rotated since it was opened.
    :ivar state: ``open``, ``closed``, or ``failing`` with the reason in ``error``; a newer daemon
        may know others.
    :ivar pipe: the pipe's inode number, N where ``/proc/PID/fd`` shows ``pipe:[N]``.
    :ivar pending: bytes that could not be written when they were counted last; None if none were
        counted yet.
    :ivar thread: the mount point of the file system whose own thread writes the log; None if it has
        none.
    :ivar dropped: bytes lost since the log was opened, as they could not be written or were beyond
        its rate.
    :ivar followers: how many follow the log.
    :ivar kept: bytes of the log in all its files.
    :ivar closed_at: when the log was closed, if it is and the daemon knows; an aware time.
    """

    path: str
    driver: str
    domain: Domain | None
    position: Position | None
    opened_at: datetime
    bytes: int
    rollovers: int
    state: str
    error: str | None = None
    pipe: int | None = None
    pending: int | None = None
    thread: str | None = None
    dropped: int | None = None
    followers: int | None = None
    kept: int | None = None
    closed_at: datetime | None = None


class DaemonInfo(msgspec.Struct, frozen=True):
    """What the daemon says about itself.

    :ivar started_at: an aware time.
    :ivar uptime_s: seconds since then, by a clock that never steps.
    :ivar limits: by name, such as ``{"max_size": 2097152}``.
    :ivar counts: totals since the start, and what there is now, by name.
    """

    name: str
    version: str
    pid: int
    started_at: datetime
    uptime_s: float
    limits: dict[str, Any]
    counts: dict[str, Any]


class _MetricsResult(msgspec.Struct, frozen=True):
    text: str


class _OpenResult(msgspec.Struct, frozen=True):
    position: Position


class ConsumerInfo(msgspec.Struct, frozen=True):
    """What a consumer has of a log, and has yet to read; sizes in bytes.

    :ivar position: up to where it has acknowledged; None for nothing.
    :ivar lag_bytes: what is kept of the log after that; None where nobody can look now.
    :ivar lag_s: how long ago it acknowledged last, in seconds; 0 if nothing is left to read, None
        if it never did.
    :ivar held_bytes: in files of the log that are held, whoever they are held for.
    :ivar unread_bytes: that went before it had acknowledged them.
    """

    consumer: str
    path: str
    position: Position | None
    lag_bytes: int | None
    lag_s: float | None
    held_bytes: int
    unread_bytes: int


class PolicyWord(msgspec.Struct, frozen=True):
    """What holds for a log.

    :ivar source: what says so: "policies[N]", an entry of that key, counted from 0, the name of the
        key that the configuration file sets, or "default".
    :ivar entry: the text of that entry, if it is one.
    """

    value: int | str
    source: str = msgspec.field(name="from")
    entry: str | None = None


class _ReadResult(msgspec.Struct, frozen=True):
    data: str
    start: Position
    end: Position
    gap: bool


_decode_position = plain(Position)
_decode_closed = plain(Closed)
_decode_removed = plain(Removed)
_decode_true = plain(bool)
_decode_policy = plain(dict[str, PolicyWord])
_decode_list = plain(list[LogInfo])
_decode_consumers = plain(list[ConsumerInfo])
_decode_info = plain(DaemonInfo)
_decode_document = plain(dict[str, Any])


def _decode_open(text: bytes | msgspec.Raw, descriptors: Sequence[int]) -> Opened:
    return Opened(position=decoder(_OpenResult).decode(text).position, write_end=descriptors[0])


_decode_ledger = plain(Ledger)


def _decode_metrics(text: bytes | msgspec.Raw, _descriptors: Sequence[int]) -> str:
    return decoder(_MetricsResult).decode(text).text


def _decode_read(text: bytes | msgspec.Raw, _descriptors: Sequence[int]) -> Chunk:
    result = decoder(_ReadResult).decode(text)
    data = bytes_of(result.data, "the answer to log.read")
    return Chunk(data, result.start, result.end, result.gap)


class Calls(HistoryCalls[W], AdminCalls[W]):
    """All calls; the base of every client."""

    @call
    def open(
        self,
        path: str,
        driver: str = "none",
        domain: Domain | None = None,
        truncate: bool = False,
    ) -> Call[Opened]:
        """Open a log; the result holds the write end of its pipe, which the caller owns.

        :param driver: who writes, such as ``qemu``; it is stored and shown.
        :param domain: the guest that writes, if one does.
        :param truncate: begin with an empty log, without backups.
        """
        params = {"path": path, "driver": driver, "domain": domain, "truncate": truncate}
        return Call("log.open", _decode_open, params, descriptors=1)

    @call
    def close_log(self, path: str) -> Call[Closed]:
        """Close a log, whoever holds its pipe, after writing what is in the pipe.

        What is written to the pipe later is refused: its writers get EPIPE.
        """
        return Call("log.close", _decode_closed, {"path": path})

    @call
    def remove(self, path: str) -> Call[Removed]:
        """Remove all files of a log that the daemon knows and that is not open."""
        return Call("log.remove", _decode_removed, {"path": path})

    @call
    def position(self, path: str) -> Call[Position]:
        """Return the end of an open log, after everything written to its pipe until now."""
        return Call("log.position", _decode_position, {"path": path})

    @call
    def read(
        self, path: str, position: Position | None = None, max_bytes: int = DEFAULT_READ_BYTES
    ) -> Call[Chunk]:
        """Read bytes from a position on.

        :param position: None for the oldest byte kept.
        :param max_bytes: at most :data:`.MAX_READ_BYTES`.
        """
        # In base64 on the wire, so that every byte survives.
        params = {
            "path": path,
            "position": position_member(position),
            "max_bytes": max_bytes,
            "encoding": "base64",
        }
        return Call("log.read", _decode_read, params)

    @call
    def append(
        self, path: str, message: str, driver: str = "none", domain: Domain | None = None
    ) -> Call[Position]:
        """Write a message, exactly as it is, after everything that is in the pipe.

        :param message: what to write; no newline is added.
        :param driver: who writes, as for ``open``.
        :param domain: the guest that the message is about, if there is one.
        :returns: the position after the message.
        """
        params = {"path": path, "message": message, "driver": driver, "domain": domain}
        return Call("log.append", _decode_position, params)

    @call
    def list(self, closed: bool = False) -> Call[Sequence[LogInfo]]:
        """Return all open logs, sorted by path.

        :param closed: those too that the daemon knows and that are not open.
        """
        # Older daemons refuse members that they do not know.
        return Call("log.list", _decode_list, {"closed": True} if closed else {})

    @call
    def policy(self, path: str) -> Call[dict[str, PolicyWord]]:
        """Return how a log is kept, and what says so, by the keys that may stand in policies."""
        return Call("log.policy", _decode_policy, {"path": path})

    @call
    def ledger(self, path: str | None = None) -> Call[Ledger]:
        """Return what became of every byte of an open log since it was opened.

        :param path: None for all logs together, since the daemon first started.
        """
        return Call("log.ledger", _decode_ledger, {} if path is None else {"path": path})

    @call
    def acknowledge(self, consumer: str, positions: Mapping[str, Position]) -> Call[bool]:
        """Say up to where a consumer has read logs; files of them are held for it from then on.

        :param consumer: as the daemon's configuration names it.
        :param positions: by the paths of logs; one that the daemon does not know is passed over.
        """
        acks = [
            {"path": path, "position": position_member(position)}
            for path, position in positions.items()
        ]
        return Call("consumer.ack", _decode_true, {"consumer": consumer, "acks": acks})

    @call
    def consumers(self) -> Call[Sequence[ConsumerInfo]]:
        """Return what each consumer has of each log, sorted by consumer and path."""
        return Call("consumer.list", _decode_consumers)

    @call
    def forget_consumer(self, consumer: str, path: str | None = None) -> Call[bool]:
        """Forget what a consumer has of a log, so that nothing is held for it.

        :param path: None for all logs.
        """
        params = {"consumer": consumer} if path is None else {"consumer": consumer, "path": path}
        return Call("consumer.forget", _decode_true, params)

    @call
    def info(self) -> Call[DaemonInfo]:
        """Return what the daemon says about itself."""
        return Call("daemon.info", _decode_info)

    @call
    def metrics(self) -> Call[str]:
        """Return what the daemon counts and measures, in Prometheus' text format."""
        return Call("daemon.metrics", _decode_metrics)

    @call
    def reexec(
        self, to_virtlogd: str | None = None, state_version: int | None = None
    ) -> Call[bool]:
        """Make the daemon hand over to its next image, with all logs, sockets and clients.

        :param to_virtlogd: the path of libvirt's virtlogd, to hand over to that instead; this
            connection ends then.
        :param state_version: the version of the state to write, for a next image that is an older
            release; None for the lowest that can express everything.
        :returns: True once the next image has been tested and takes over.
        """
        params: dict[str, object] = {"to_virtlogd": to_virtlogd}
        if state_version is not None:
            # Older daemons refuse members that they do not know.
            params["state_version"] = state_version
        return Call("daemon.reexec", _decode_true, params)

    @call
    def discover(self) -> Call[dict[str, Any]]:
        """Return the OpenRPC document of the daemon's methods."""
        return Call("rpc.discover", _decode_document)


class Requests(Calls[Call[Any]]):
    """The calls as requests that are not sent, for a :class:`.Dialogue` over another transport."""

    def _perform(self, call: Call[R]) -> Call[R]:
        return call
